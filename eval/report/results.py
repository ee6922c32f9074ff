"""The result folder of every measurement: run.json, tables, summary.csv and a report.

run.json is written last, so if it exists, the result is complete. Its first field is the weights.
"""

from __future__ import annotations

import csv
import hashlib
import io
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import Any, ClassVar, Final, Literal, TypeVar

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from pandas.api.extensions import ExtensionDtype
from pandas.api.types import is_numeric_dtype
from pydantic import BaseModel, ConfigDict, ValidationError

from bogv.embedding.weights import UNTRAINED
from bogv.files import atomic_write
from eval.errors import WorkbenchError
from eval.report.abbreviations import spell_out
from eval.report.document import Report
from eval.report.document import write as write_report
from eval.statistics.intervals import summarise
from eval.statistics.percentiles import percentile, percentile_interval

SCHEMA: Final = 3
RUN, SUMMARY = "run.json", "summary.csv"
CHECKSUMS = "SHA256SUMS"
"""Of run.json and the tables, as `sha256sum --check` reads it."""
PER_QUERY = "per_query.parquet"
"""The table with one row per query."""
UPPER = {"ns": 4.0}
"""Upper bounds of metrics where these are not 1."""
UNKNOWN = "unknown"
"""The name of weights that made vectors which came in a file that doesn't say more."""
UNKNOWN_NOTE = "The vectors came in a file: what network made them, and how trained, is not known."
UNTRAINED_NOTE = (
    "UNTRAINED weights: the network finds only near-duplicates and similar colours. These figures"
    " say nothing about the quality of trained weights."
)


R = TypeVar("R", bound="Result")
M = TypeVar("M", bound=BaseModel)


class ResultPart(BaseModel):
    """A part of run.json; unknown fields are an error."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class WeightsPart(ResultPart):
    """The weights that made the result."""

    name: str
    fingerprint: str
    trained: bool | None
    """None: not known, of vectors from a file."""
    note: str | None
    """A warning unless the weights are trained."""


class Mean(ResultPart):
    """A mean over queries, or a percentile, with its 95% interval."""

    value: float
    ci95: tuple[float, float] | None
    """None where the sample is too small for one."""
    units: int | None = None
    """Number of sampling units that the interval is over: queries, or groups of them."""
    method: str | None = None
    """How the interval was computed: `eval.statistics.intervals`, or order statistics."""


class Result(ResultPart):
    """The fields common to run.json of all commands. With the same seed, only times differ."""

    FILE: ClassVar[str] = RUN
    """The file that holds it."""

    weights: WeightsPart | None
    """None: no network was used, as with synthetic vectors."""
    schema_version: Literal[3] = SCHEMA
    kind: str
    """The command's name."""
    command: str
    n: int
    """The sample size: scored queries, or requests."""
    seed: int
    metrics: dict[str, Mean]
    revision: str | None
    machine: dict[str, str | int]
    packages: dict[str, str]
    seconds: dict[str, float | None]
    """By part of the measurement."""

    @property
    def folder(self) -> str:
        """The name of the result's folder, unique to the measurement's options."""
        raise NotImplementedError

    @property
    def conditions(self) -> dict[str, Any]:
        """What must be equal in two results that are compared."""
        return {}

    @property
    def labels(self) -> dict[str, str | int]:
        """The first columns of summary.csv, which identify the run when files are joined."""
        return {"weights": weights_text(self.weights)}


def means_of(
    columns: Mapping[str, ArrayLike],
    seed: int,
    units: ArrayLike | None = None,
    classes: ArrayLike | None = None,
) -> dict[str, Mean]:
    """The means of the metrics over the queries, as `eval.statistics.intervals.summarise` has
    them."""
    summary = summarise(columns, units, classes, seed, UPPER)
    return {name: Mean.model_validate(dict(found)) for name, found in summary.items()}


def percentile_mean(ordered: ArrayLike, percent: float) -> Mean:
    """A percentile, with its interval by order statistics, under a result's metrics.

    ordered: (n,), ascending.
    """
    ends = percentile_interval(ordered, percent)
    return Mean(
        value=round(percentile(ordered, percent), 3),
        ci95=ends and (round(ends[0], 3), round(ends[1], 3)),
        units=len(np.asarray(ordered)),
        method="order statistics" if ends else "none",
    )


def interval_text(mean: Mean, digits: int = 4) -> str:
    """`[0.8100, 0.9300]`, or why there is no interval."""
    if mean.ci95 is None:
        return f"(no interval: n = {mean.units or 0:,})"
    return f"[{mean.ci95[0]:.{digits}f}, {mean.ci95[1]:.{digits}f}]"


def percentile_text(mean: Mean, digits: int = 1, unit: str = "") -> str:
    """A percentile: `12.3 [11.0, 14.2]`, or with few values without an interval.

    >>> percentile_text(Mean(value=12.3, ci95=None, units=200), unit=" ms")
    '12.3 ms (no interval: n = 200)'
    """
    return f"{mean.value:.{digits}f}{unit} {interval_text(mean, digits)}"


def weights_lead(weights: WeightsPart) -> list[str]:
    """The first lines of a report: the weights, and a warning unless they are trained."""
    lead = f"Weights: {weights_text(weights)}, fingerprint {weights.fingerprint}."
    return [lead, weights.note] if weights.note else [lead]


def weights_part(name: str, fingerprint: str) -> WeightsPart:
    """The weights as in a result. name: of `bogv.embedding.weights.Weights`."""
    notes = {UNTRAINED: UNTRAINED_NOTE, UNKNOWN: UNKNOWN_NOTE}
    return WeightsPart(
        name=name,
        fingerprint=fingerprint,
        trained=None if name == UNKNOWN else name != UNTRAINED,
        note=notes.get(name),
    )


def weights_text(weights: WeightsPart | None) -> str:
    """The weights' name; in capitals if they are untrained."""
    if weights is None:
        return "none"
    return weights.name.upper() if weights.trained is False else weights.name


def short_hash(identity: Any) -> str:
    """8 hex digits of anything that JSON can hold."""
    return hashlib.sha256(json.dumps(identity).encode()).hexdigest()[:8]


def write(
    out: Path,
    result: Result,
    tables: Mapping[str, pd.DataFrame],
    report: Report,
    files: Mapping[str, Callable[[Path], object]] | None = None,
) -> Path:
    """Write the result's folder below `out`, replacing an earlier one, and return its path.

    tables: by the name of the Parquet file. files: by name, what writes each to its path. Raises
    WorkbenchError if it can't be written.
    """
    folder = out / result.folder
    try:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / result.FILE).unlink(missing_ok=True)
        for name, frame in tables.items():
            frame.to_parquet(folder / name, index=False)
        for name, write_file in (files or {}).items():
            write_file(folder / name)
        _write_summary(folder / SUMMARY, result)
        write_report(folder, spell_out(report))
        run = f"{result.model_dump_json(indent=2)}\n".encode()
        contents = {result.FILE: run} | {name: (folder / name).read_bytes() for name in tables}
        (folder / CHECKSUMS).write_text(
            "".join(f"{_digest(data)}  {name}\n" for name, data in contents.items()), "utf-8"
        )
        with atomic_write(folder / result.FILE) as partial:
            partial.write_bytes(run)
    except OSError as error:
        raise WorkbenchError(f"The results can't be written to {folder}: {error}.") from error
    return folder


def read_kind(path: Path) -> str:
    """What a result measured. path: its folder, or the run.json in it. Raises WorkbenchError."""
    return _read_json(path, RUN, _Kind).kind


def read_result(path: Path, kind: type[R]) -> R:
    """A result. path: as of `read_kind`. Raises WorkbenchError."""
    return _read_json(path, kind.FILE, kind)


class _Kind(BaseModel):
    """The one field of run.json that says which others there are."""

    kind: str


def _read_json(path: Path, name: str, kind: type[M]) -> M:
    folder = folder_of(path)
    try:
        return kind.model_validate_json((folder / name).read_bytes())
    except ValidationError as error:
        fault = error.errors()[0]
        where = ".".join(str(part) for part in fault["loc"])
        raise WorkbenchError(
            f"{folder / name} is no result of this version (schema {SCHEMA}):"
            f" {where or 'the file'}: {fault['msg']}."
        ) from error
    except OSError as error:
        raise WorkbenchError(f"There is no complete result in {folder}: {error}") from error


def read_table(
    path: Path, name: str, required: Sequence[str], numbers: Iterable[str]
) -> pd.DataFrame:
    """A table of a result; it and run.json must be those that were written together.

    path: as of `read_kind`. required: columns that have a value in each row. numbers: columns that,
    where they are in the table, are finite numbers; one of a nullable type may have nulls.

    Raises WorkbenchError.
    """
    folder = folder_of(path)
    try:
        contents = {file: (folder / file).read_bytes() for file in (RUN, name)}
        sums = (folder / CHECKSUMS).read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise WorkbenchError(f"There is no complete result in {folder}: {error}") from error
    for file, data in contents.items():
        if f"{_digest(data)}  {file}\n" not in sums:
            raise WorkbenchError(f"{folder / file} is damaged, or not of this result.")
    try:
        table = pd.read_parquet(io.BytesIO(contents[name]))
    except (OSError, ValueError) as error:  # pyarrow's errors are of these
        raise WorkbenchError(f"{folder / name} is no Parquet table: {error}.") from error
    bad = next(chain(_unfilled(table, required), _not_finite(table, numbers)), None)
    if bad is not None:
        raise WorkbenchError(
            f"{folder / name} is no table of this version: {bad!r} is missing, or not as expected."
        )
    return table


def _unfilled(table: pd.DataFrame, columns: Iterable[str]) -> Iterator[str]:
    return (each for each in columns if each not in table.columns or table[each].isna().any())


def _not_finite(table: pd.DataFrame, columns: Iterable[str]) -> Iterator[str]:
    for name in columns:
        if name in table.columns:
            values = table[name]
            if isinstance(values.dtype, ExtensionDtype):  # has nulls, as the ranks of what is found
                values = values.dropna()
            if not (is_numeric_dtype(values) and np.isfinite(values.to_numpy(float)).all()):
                yield name


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def describe_place(root: str | None) -> str:
    """Where a dataset's files lie. root: its folder; None: it is inside a package."""
    return "from a package" if root is None else f"in {root}"


def folder_of(path: Path) -> Path:
    """A result's folder, named by itself or by the JSON file in it."""
    return path.parent if path.suffix == ".json" and not path.is_dir() else path


def _write_summary(path: Path, result: Result) -> None:
    """One line per metric, with the run's labels, so that files of several runs can be joined."""
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow([*result.labels, "metric", "value", "ci95_low", "ci95_high"])
        for name, mean in result.metrics.items():
            writer.writerow([*result.labels.values(), name, mean.value, *(mean.ci95 or ("", ""))])

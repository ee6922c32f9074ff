"""The history: a JSONL file to which runs are added, never changed.

One line for each run: the metrics with their intervals, and what they were measured on and with.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime, timezone
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from bogv.files import atomic_write
from eval.errors import WorkbenchError
from eval.report.results import RUN, Mean, WeightsPart
from eval.retrieval.result import Run, read_run

HISTORY = "history.jsonl"


class Entry(BaseModel):
    """A run in the history. Unknown fields are an error."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    date: str
    """When run.json was written, by the file's time: UTC, ISO 8601, to the second."""
    revision: str | None
    dataset: str
    digest: str
    """Runs of different digests had other queries, images or ground truth."""
    weights: WeightsPart
    engine: str
    settings: str
    """What differs from bogv's own settings; empty: nothing."""
    backend: str
    headline: str
    """Name of the dataset's usual metric."""
    n: int
    metrics: dict[str, Mean]

    @property
    def line(self) -> tuple[str, ...]:
        """What two entries must have in common to be compared over revisions."""
        weights = self.weights.fingerprint
        return (self.dataset, self.digest, self.settings, self.backend, weights, self.engine)

    @property
    def identity(self) -> str:
        """Everything but the date, as JSON: equal for the same run added twice."""
        return self.model_dump_json(exclude={"date"})


def add_runs(folder: Path, runs: Sequence[Path]) -> list[Entry]:
    """Add runs by their folders (or run.json) to the history in `folder`; returns the new entries.

    A run that is there already, but for its date, is not added again. All are added or, on an
    error, none. Processes that add at the same time wait for each other. Raises WorkbenchError.
    """
    found = [_entry(path) for path in runs]
    with _lock(folder):
        entries = read_history(folder) if (folder / HISTORY).exists() else []
        known = {entry.identity for entry in entries}
        new = []
        for entry in found:
            if entry.identity not in known:
                known.add(entry.identity)
                new.append(entry)
        if new:
            lines = [entry.model_dump_json() + "\n" for entry in [*entries, *new]]
            with atomic_write(folder / HISTORY) as partial:
                partial.write_text("".join(lines), "utf-8")
    return new


def read_history(folder: Path) -> list[Entry]:
    """All entries, in the order in which they were added. Raises WorkbenchError."""
    path = folder / HISTORY
    try:
        lines = path.read_text("utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise WorkbenchError(f"There is no history in {folder}: {error}.") from error
    entries = []
    for number, line in enumerate(lines, 1):
        try:
            entries.append(Entry.model_validate_json(line))
        except ValidationError as error:
            fault = error.errors()[0]
            where = ".".join(map(str, fault["loc"])) or "the line"
            raise WorkbenchError(
                f"{path}, line {number} is no entry of a history: {where}: {fault['msg']}."
            ) from error
    return entries


def _entry(path: Path) -> Entry:
    run, _ = read_run(path)
    file = path if path.name == RUN else path / RUN
    written = datetime.fromtimestamp(file.stat().st_mtime, timezone.utc)
    return Entry(date=written.isoformat(timespec="seconds"), **_described(run))


def _described(run: Run) -> dict[str, object]:
    return {
        "revision": run.revision,
        "dataset": run.dataset.id,
        "digest": run.dataset.digest,
        "weights": run.weights,
        "engine": run.engine,
        "settings": run.settings.tag,
        "backend": run.backend,
        "headline": run.dataset.headline,
        "n": run.n,
        "metrics": run.metrics,
    }


@contextmanager
def _lock(folder: Path) -> Iterator[None]:
    """One process at a time: a flock(2) on the folder, which the kernel releases at any end."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        file = os.open(folder, os.O_RDONLY)
    except OSError as error:
        raise WorkbenchError(f"The history can't be kept in {folder}: {error}.") from error
    try:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
    finally:
        os.close(file)

"""What a sweep is to run: datasets, seeds and settings, from a YAML file or the command line.

    YAML -> Definition -> plan_settings -> SweptSettings, the baseline first

`eval/sweep/default.yaml` is one that explains the fields.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import product
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import (
    AfterValidator,
    Discriminator,
    Field,
    Tag,
    ValidationError,
    model_validator,
)

from bogv.config import Precision
from eval.embedding.settings import Crop, FitOn, Pooling, Post, Scale, Size, Tta
from eval.errors import WorkbenchError
from eval.report.results import ResultPart
from eval.rerank.setting import Rerank
from eval.sweep.settings import SweptSettings

Design = Literal["one_at_a_time", "grid"]
Seed = Annotated[int, Field(ge=0)]


class DatasetChoice(ResultPart):
    """A dataset, and how much of it."""

    id: str
    """Of datasets.yaml."""
    root: Path | None = None
    """Its own folder; None: below $BOGV_DATASETS."""
    limit: Annotated[int, Field(ge=2)] | None = None
    """At most so many images, a sample by each seed; None: all of it."""


class Axes(ResultPart):
    """Values to vary; what isn't named stays as the baseline has it."""

    pooling: tuple[Pooling, ...] = ()
    size: tuple[Size, ...] = ()
    scales: tuple[tuple[Scale, ...], ...] = ()
    crop: tuple[Crop, ...] = ()
    tta: tuple[Tta, ...] = ()
    post: tuple[Post, ...] = ()
    fit_on: tuple[FitOn, ...] = ()
    rerank: tuple[Rerank, ...] = ()
    precision: tuple[Precision, ...] = ()

    @property
    def given(self) -> dict[str, tuple[Any, ...]]:
        """The values of what is varied, by its name."""
        return {name: values for name, values in self if values}


def _kind(settings: object) -> str:
    return "list" if isinstance(settings, list | tuple) else "values"


def _check_distinct(datasets: tuple[DatasetChoice, ...]) -> tuple[DatasetChoice, ...]:
    names = [each.id for each in datasets]
    if len(set(names)) < len(names):
        raise ValueError(f"each dataset once; these are {', '.join(names)}.")
    return datasets


class Definition(ResultPart):
    """A sweep. Raises ValidationError for whatever it doesn't know."""

    datasets: Annotated[
        tuple[DatasetChoice, ...], Field(min_length=1), AfterValidator(_check_distinct)
    ]
    seeds: Annotated[tuple[Seed, ...], Field(min_length=1)] = (0,)
    """Of the samples; a dataset without a limit is run with the first one only."""
    design: Design = "one_at_a_time"
    """Of values: each change of the baseline by itself, or all combinations."""
    baseline: SweptSettings = SweptSettings()
    """What all others are compared with; by default bogv's own settings."""
    settings: Annotated[
        Annotated[Axes, Tag("values")] | Annotated[tuple[SweptSettings, ...], Tag("list")],
        Discriminator(_kind),
    ]
    """Values to vary, or a list of settings."""

    @model_validator(mode="after")
    def _check_settings(self) -> Definition:
        if isinstance(self.settings, Axes):
            if not self.settings.given:
                raise ValueError("settings: name at least one value, as pooling: [gap, gem].")
        elif "design" in self.model_fields_set:
            raise ValueError("design: a list of settings has none; leave it out.")
        return self


class LeftOut(ResultPart):
    """A combination that no run can have."""

    name: str
    reason: str


def read_definition(path: Path) -> Definition:
    """A definition from a YAML file. Raises WorkbenchError, which says where the fault is."""
    try:
        values = yaml.safe_load(path.read_text("utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise WorkbenchError(f"The sweep {str(path)!r} can't be read: {error}") from error
    if not isinstance(values, Mapping):
        raise WorkbenchError(f"The sweep {str(path)!r} has no `datasets:` and `settings:`.")
    return make_definition(dict(values), str(path))


def make_definition(values: Mapping[str, Any], source: str) -> Definition:
    """A definition from its fields. source: where they are from. Raises WorkbenchError."""
    try:
        return Definition.model_validate(values)
    except ValidationError as error:
        faults = [
            f"{'.'.join(map(str, fault['loc'])) or 'the sweep'}:"
            f" {fault['msg'].removeprefix('Value error, ')}"
            for fault in error.errors()
        ]
        raise WorkbenchError(f"{source}: {'; '.join(faults)}") from error


def plan_settings(definition: Definition) -> tuple[list[SweptSettings], list[LeftOut]]:
    """The settings, the baseline first and none twice; and combinations that no run can have.

    Raises WorkbenchError for two different settings of one name.
    """
    planned = [definition.baseline]
    left_out = []
    for values in _candidates(definition):
        try:
            candidate = SweptSettings.model_validate(values)
        except ValidationError as error:
            # Its name doesn't depend on whether its values go together.
            name = SweptSettings.model_construct(**values).title
            message = error.errors()[0]["msg"].removeprefix("Value error, ")
            left_out.append(LeftOut(name=name, reason=message))
            continue
        same = [n for n, each in enumerate(planned) if not candidate.changed(each)]
        if not same:
            planned.append(candidate)
        elif candidate.name and not planned[same[0]].name:
            planned[same[0]] = candidate
    _check_names(planned)
    return planned, left_out


def _candidates(definition: Definition) -> Iterator[dict[str, Any]]:
    """The values of each setting that was asked for."""
    if not isinstance(definition.settings, Axes):
        yield from (each.model_dump() for each in definition.settings)
        return
    base, given = {**definition.baseline.values(), "name": ""}, definition.settings.given
    if definition.design == "one_at_a_time":
        yield from ({**base, name: value} for name, values in given.items() for value in values)
    else:
        for values in product(*given.values()):
            yield {**base, **dict(zip(given, values, strict=True))}


def _check_names(settings: list[SweptSettings]) -> None:
    titles = [each.title for each in settings]
    twice = sorted({title for title in titles if titles.count(title) > 1})
    if twice:
        raise WorkbenchError(f"Different settings have one name: {', '.join(twice)}.")

"""Runs the cells of a sweep, each an ordinary `run` in a folder of its own, unless it is there.

A cell is a setting on a dataset with a seed. One that fails doesn't end the sweep.
"""

from __future__ import annotations

import hashlib
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path

import pandas as pd

from bogv.embedding.embedder import Embedder
from bogv.errors import BogvError
from bogv.imaging.decoder import Decoder
from eval.data.catalogue import DatasetError
from eval.data.datasets import Dataset, dataset_digest
from eval.data.naming import printable
from eval.embedding.embed import canonical_of
from eval.embedding.fitting import FittingSet
from eval.embedding.settings import OWN_SETTINGS
from eval.errors import WorkbenchError
from eval.report.machine import EMBEDDING_PACKAGES, describe_environment
from eval.report.results import RUN, read_result, write
from eval.retrieval.measure import RetrievalOptions, measure, notes, with_headline
from eval.retrieval.report import result_tables, run_report
from eval.retrieval.result import Identity, Run, query_table, read_run
from eval.sweep.definition import DatasetChoice
from eval.sweep.loading import Loading
from eval.sweep.settings import SweptSettings

FAULTS = (DatasetError, WorkbenchError, BogvError, OSError, ImportError)
"""What ends a cell and no more."""


@dataclass(frozen=True)
class Task:
    """A cell to run."""

    settings: SweptSettings
    choice: DatasetChoice
    dataset: Dataset
    """A sample where there is a limit."""
    digest: str
    """As a run has it."""
    seed: int

    @property
    def title(self) -> str:
        """For people."""
        seed = f", seed {self.seed}" if self.dataset.sample else ""
        return f"{self.choice.id}{seed}: {self.settings.title}"


@dataclass(frozen=True)
class Cell:
    """What became of a task."""

    task: Task
    run: Run | None = None
    queries: pd.DataFrame | None = None
    """A row for each; None with `run`: it failed."""
    folder: str = ""
    """Its name."""
    error: str = ""
    found: bool = False
    """Whether an earlier sweep or `run` had left it."""
    notes: Sequence[str] = ()


def digest_of(dataset: Dataset) -> str:
    """The digest that a run of this dataset has. Raises DatasetError for an unreadable image."""
    digests = []
    for item in dataset.items:
        try:
            digests.append(hashlib.sha256(item.read()).hexdigest())
        except (BogvError, OSError) as error:
            raise DatasetError(
                dataset.spec.id, f"the image {item.id!r} can't be used: {error}"
            ) from error
    return dataset_digest(dataset, digests)


@dataclass(frozen=True)
class CellRunner:
    """Runs cells."""

    loading: Loading
    out: Path
    """The parent of the cells' folders."""
    cache: Path
    """Of embeddings."""
    ks: Sequence[int]
    roots: Mapping[str, Path | None]
    """Of the datasets, by their ids: what PCA is fitted on may be among them."""
    progress: bool = True

    def run(self, task: Task) -> Cell:
        """The cell, as it was left by an equal run, or made now."""
        try:
            embedder = self._load(task.settings)
            return self._find(task, embedder) or self._measure(task, embedder)
        except FAULTS as error:
            return Cell(task, error=" ".join(str(error).split()))

    def _load(self, settings: SweptSettings) -> Embedder:
        return self.loading.embedder(settings.precision, settings.embedding)

    @cached_property
    def _decoder(self) -> Decoder:
        return self.loading.decoder()

    @cached_property
    def _known(self) -> dict[str, Path]:
        """The folders of complete runs below `out`, by their identity."""
        known = {}
        for path in sorted(self.out.glob(f"*/{RUN}")):
            try:
                known[read_result(path, Run).identity.model_dump_json()] = path.parent
            except WorkbenchError:  # another kind of result, or one of an older version
                continue
        return known

    def _find(self, task: Task, embedder: Embedder) -> Cell | None:
        """What an equal run has left; None: nothing, or it is damaged."""
        folder = self._known.get(self._identity(task, embedder).model_dump_json())
        if folder is None:
            return None
        try:
            run, queries = read_run(folder)
        except WorkbenchError:
            return None
        return Cell(task, run, queries, folder.name, found=True)

    def _identity(self, task: Task, embedder: Embedder) -> Identity:
        """Of the run that the task would make."""
        settings, environment = task.settings.embedding, describe_environment()
        load = partial(self.loading.embedder, task.settings.precision)
        return Identity(
            dataset=task.choice.id,
            digest=task.digest,
            limit=task.choice.limit,
            seed=task.seed,
            k=with_headline(task.dataset.spec, self.ks),
            fingerprint=embedder.weights.fingerprint,
            engine=embedder.engine,
            settings=settings,
            backend="exact",
            canonical=canonical_of(embedder, self._decoder, settings, load),
            revision=environment["revision"],
            packages=[environment["packages"].get(name) for name in EMBEDDING_PACKAGES],
            fitted_on=self._fitting_digest(settings.fit_on),
        )

    def _fitting_digest(self, fit_on: str) -> str | None:
        fitting = FittingSet.of(fit_on, self._fit_on_root(fit_on))
        return None if fitting is None else digest_of(fitting.dataset)

    def _fit_on_root(self, fit_on: str) -> Path | None:
        return self.roots.get(fit_on.partition(":")[0])

    def _measure(self, task: Task, embedder: Embedder) -> Cell:
        settings = task.settings.embedding
        options = RetrievalOptions(
            dataset=task.choice.id,
            root=task.choice.root,
            ks=self.ks,
            settings=settings,
            fit_on_root=self._fit_on_root(settings.fit_on),
            limit=task.choice.limit,
            seed=task.seed,
            command=run_command(task, self),
            progress=self.progress,
        )
        load = partial(self.loading.embedder, task.settings.precision)
        outcome = measure(options, embedder, self._decoder, self.cache, load)
        report = run_report(outcome, self._decoder)
        folder = write(self.out, outcome.run, result_tables(outcome), report)
        queries = query_table(outcome.query_results)
        return Cell(task, outcome.run, queries, folder.name, notes=notes(outcome))


def run_command(task: Task, runner: CellRunner) -> str:
    """The command that makes the same run by itself."""
    settings, choice, loading = task.settings, task.choice, runner.loading
    own = {**OWN_SETTINGS.model_dump(), "precision": "auto"}
    given = {name: value for name, value in settings.values().items() if value != own[name]}
    if "scales" in given:
        given["scales"] = ",".join(f"{scale:g}" for scale in settings.scales)
    root = runner.roots.get(settings.fit_on)
    if "fit_on" in given and root is not None:
        given["fit_on"] = f"{settings.fit_on}:{root}"
    options = {
        "dataset": choice.id,
        "root": choice.root,
        "k": ",".join(map(str, runner.ks)),
        "weights": loading.weights,
        "engine": loading.engine,
        **given,
        "limit": choice.limit,
        "seed": task.seed,
        "out": runner.out,
        "cache": runner.cache,
    }
    words = [
        word
        for name, value in options.items()
        if value is not None
        for word in (f"--{name.replace('_', '-')}", str(value))
    ]
    return printable(shlex.join(["python", "-m", "eval", "run", *words, "--no-losses"]))

"""Whether edited images find their originals, and whether what isn't there is said to be.

Dataset -> CopyQueries -> Embedded -> Search, two a query -> tables -> Copies
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import pandas as pd

from bogv.calibration.edits import edit_variants
from bogv.copies.thresholds import THRESHOLDS
from bogv.embedding.embedder import Embedder
from bogv.imaging.decoder import Decoder
from eval.copies.evidence import Evidence
from eval.copies.queries import CopyQueries, make_copy_queries, mark_originals
from eval.copies.result import Copies
from eval.copies.scoring import score
from eval.copies.tables import of_edits, summarise_searches, tabulate
from eval.data.catalogue import Spec
from eval.data.datasets import dataset_digest, load
from eval.embedding.embed import embed
from eval.errors import WorkbenchError
from eval.harness.stopwatch import Stopwatch
from eval.report.machine import describe_environment
from eval.report.results import weights_part


@dataclass(frozen=True)
class CopiesOptions:
    """What is to be measured."""

    dataset: Spec | str
    """An entry of datasets.yaml, or its id; `folder` is any folder."""
    root: Path | None = None
    """The dataset's own folder; None: below $BOGV_DATASETS."""
    limit: int | None = None
    """At most so many images of it; None: all."""
    sample: int = 40
    """So many images are edited; all are searched."""
    edits: Sequence[str] | None = None
    """Names in `bogv.calibration.edits.EDITS`; None: all."""
    seed: int = 0
    """Of the sample, the edits and the intervals."""
    command: str = ""
    """As it was typed, for run.json."""
    progress: bool = True


@dataclass(frozen=True)
class CopiesOutcome:
    """What was found, and what the report shows of it."""

    result: Copies
    queries: CopyQueries
    pairs: pd.DataFrame
    searches: pd.DataFrame
    new: int
    """How many images had to be embedded; the others were in the cache."""


def measure(
    options: CopiesOptions, embedder: Embedder, decoder: Decoder, cache: Path
) -> CopiesOutcome:
    """Search with edits of a sample of the gallery, with the original and without it.

    Raises DatasetError, WorkbenchError, the embedder's errors.
    """
    watch = Stopwatch()
    environment = describe_environment()
    if options.sample < 1:
        raise WorkbenchError("The sample is at least 1.")
    variants = edit_variants(options.edits)
    dataset = load(options.dataset, options.root, limit=options.limit, seed=options.seed)
    queries = make_copy_queries(dataset, variants, options.sample, options.seed, decoder)
    watch.lap("load")
    embedded = embed(queries.edited.dataset, embedder, decoder, cache, progress=options.progress)
    queries = mark_originals(queries, embedded, decoder)
    watch.lap("edit_and_embed")
    pairs = tabulate(queries, Evidence(queries, embedded, decoder).searches(options.progress))
    searches = summarise_searches(pairs)
    watch.lap("search")
    metrics = score(pairs, searches, options.seed)
    watch.lap("score")
    absent = searches[~searches["there"]]
    strengths: dict[str, list[str]] = {}
    for variant in variants:
        strengths.setdefault(variant.edit, []).append(variant.strength)
    result = Copies(
        weights=weights_part(embedder.weights.name, embedder.weights.fingerprint),
        command=options.command,
        dataset=dataset.spec.id,
        dataset_name=dataset.spec.name,
        labels_are=dataset.spec.kind,
        digest=dataset_digest(queries.edited.dataset, embedded.digests),
        limit=options.limit,
        gallery=len(queries.edited.dataset.gallery),
        sample=len(queries.sampled),
        absent=len(absent),
        absent_units=absent["source"].nunique(),
        edits=strengths,
        thresholds=asdict(THRESHOLDS),
        n=len(of_edits(searches)),
        engine=embedder.engine,
        canonical=embedded.canonical,
        seed=options.seed,
        metrics=metrics,
        **environment,
        seconds=watch.seconds,
    )
    return CopiesOutcome(result, queries, pairs, searches, embedded.new)

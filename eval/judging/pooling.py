"""Making a pool: queries are drawn, settings rank, the top of each is pooled and shuffled.

    <pool>/pool.json, thumbnails/   what the judge sees: `bogv.judgements`
    <pool>/dataset.json             where the images are: `eval.data.judged`
    <pool>/settings.json            which setting ranked, and how deep
    <pool>/run-A.trec               its rankings

Pooling: Spärck Jones, van Rijsbergen, Report on the need for and provision of an "ideal"
information retrieval test collection, 1975; as TREC does it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from string import ascii_uppercase

import numpy as np
from pydantic import Field, ValidationError
from tqdm import tqdm

from bogv.embedding.embedder import Embedder
from bogv.errors import BogvError
from bogv.files import atomic_write
from bogv.imaging.decoder import Decoder
from bogv.judgements import POOL, THUMBNAILS, Pool, PooledQuery
from eval.data.catalogue import DatasetError
from eval.data.datasets import Dataset
from eval.data.judged import DATASET, PoolSource
from eval.embedding.embed import embed
from eval.embedding.fitting import FittingSet
from eval.embedding.projection import project
from eval.embedding.settings import EmbeddingSettings
from eval.errors import WorkbenchError
from eval.judging.setting import Setting
from eval.report.results import (
    ResultPart,
    WeightsPart,
    folder_of,
    read_result,
    weights_part,
)
from eval.retrieval.rerank import rerank, reranking_of
from eval.retrieval.result import Run
from eval.retrieval.scoring import drop_query_and_junk
from eval.retrieval.search import Ranking, rank
from eval.retrieval.trec import TREC_RUN, Rankings, read_rankings, write_rankings

SETTINGS = "settings.json"
MAX_SETTINGS = len(ascii_uppercase)


class PooledSetting(ResultPart):
    """One of the settings whose results were pooled."""

    label: str
    """A letter, for plots."""
    name: str
    """The options of `run` that make it, or the folder of a run."""
    weights: WeightsPart


class PooledSettings(ResultPart):
    """settings.json."""

    depth: int = Field(ge=1)
    """Results of each setting that were pooled."""
    settings: list[PooledSetting] = Field(min_length=1)


@dataclass(frozen=True)
class Ranked:
    """What one setting found."""

    name: str
    weights: WeightsPart
    rankings: Rankings


def draw_queries(
    dataset: Dataset, count: int, seed: int, among: set[str] | None = None
) -> list[int]:
    """Indices of at most so many queries, drawn at random and in a random order.

    among: the ids that may be drawn; None: all queries. Raises DatasetError where there are none.
    """
    by_id = sorted((dataset.items[query].id, query) for query in dataset.queries)
    able = [query for name, query in by_id if among is None or name in among]
    if not able:
        raise DatasetError(dataset.spec.id, "there is no query that all settings have ranked.")
    order = np.random.default_rng(seed).permutation(len(able))
    return [able[place] for place in order[:count].tolist()]


def rank_by_setting(
    dataset: Dataset,
    setting: Setting,
    load: Callable[[EmbeddingSettings], Embedder],
    decoder: Decoder,
    cache: Path,
    depth: int,
) -> Ranked:
    """The first `depth` images that each of the dataset's queries finds, without itself and junk.

    load: the embedder of a variant. Raises DatasetError, WorkbenchError, what the embedder raises.
    """
    variant, embedder = setting.embedding, load(setting.embedding)
    reranking = reranking_of(variant.rerank, setting.backend)
    fitting = FittingSet.of(variant.fit_on)
    embed_images = partial(
        embed, embedder=embedder, decoder=decoder, cache=cache, settings=variant, load=load
    )
    embedded = embed_images(dataset)
    queries = {embedded.digests[query] for query in dataset.queries}
    fitted_on = None if fitting is None else fitting.embed(embed_images, queries)[0]
    vectors = project(dataset, embedded.vectors, variant.post, fitted_on)
    fingerprint = embedder.weights.fingerprint
    found = (
        rank(dataset, vectors, setting.backend, fingerprint)
        if reranking is None
        else rerank(dataset, vectors, reranking)
    )
    rankings = {dataset.items[each.query].id: _top(dataset, each, depth) for each in found}
    return Ranked(setting.name, weights_part(embedder.weights.name, fingerprint), rankings)


def _top(dataset: Dataset, ranking: Ranking, depth: int) -> list[str]:
    kept = drop_query_and_junk(ranking.found, ranking.query, dataset.junk(ranking.query))
    return [dataset.items[index].id for index in kept[:depth].tolist()]


def read_ranked(folder: Path) -> tuple[Run, Ranked]:
    """What the run in a folder found, by its export. Raises WorkbenchError without one."""
    run = read_result(folder, Run)
    path = folder_of(folder) / TREC_RUN
    if not path.is_file():
        raise WorkbenchError(f"{folder} has no {TREC_RUN}: repeat the run with --trec.")
    return run, Ranked(run.folder, run.weights, read_rankings(path))


def make_pool(
    queries: Sequence[str], ranked: Sequence[Ranked], depth: int, seed: int
) -> tuple[Pool, PooledSettings]:
    """What any setting has among its first `depth`, in an order that depends on the seed alone.

    queries: in the order in which they are judged. Raises WorkbenchError for settings of the same
    name or that rank to different depths, and for none or too many of them.
    """
    names = [each.name for each in ranked]
    if not 1 <= len(names) <= MAX_SETTINGS or len(set(names)) < len(names):
        raise WorkbenchError(f"A pool takes 1 to {MAX_SETTINGS} settings, each of them once.")
    generator = np.random.default_rng([seed, 1])  # another stream than that of `draw_queries`
    pooled = []
    for query in queries:
        tops = [list(each.rankings[query][:depth]) for each in ranked]
        if len({len(top) for top in tops}) > 1:
            raise WorkbenchError(
                f"The settings rank to different depths, {', '.join(str(len(t)) for t in tops)}:"
                " repeat the runs with the same --depth."
            )
        images = sorted({image for top in tops for image in top})
        if images:
            pooled.append(PooledQuery(query=query, images=generator.permutation(images).tolist()))
    if not pooled:
        raise WorkbenchError("No setting has found anything: the gallery is too small.")
    shown = sorted({name for each in pooled for name in (each.query, *each.images)})
    deepest = max(len(top) for each in ranked for top in each.rankings.values())
    settings = [
        PooledSetting(label=label, name=each.name, weights=each.weights)
        for label, each in zip(ascii_uppercase, ranked, strict=False)
    ]
    return (
        Pool(
            seed=seed,
            queries=pooled,
            thumbnails={name: f"{number:05d}.webp" for number, name in enumerate(shown, 1)},
        ),
        PooledSettings(depth=min(depth, deepest), settings=settings),
    )


def check_new(folder: Path) -> None:
    """Raise WorkbenchError where there is a pool already: its judgements must not be lost."""
    if (folder / POOL).exists():
        raise WorkbenchError(f"There is a pool in {folder} already: name another folder by --out.")


def write_pool(
    folder: Path,
    made: tuple[Pool, PooledSettings],
    ranked: Sequence[Ranked],
    source: PoolSource,
    dataset: Dataset,
    decoder: Decoder,
) -> None:
    """Write the pool; pool.json last, so that where it is, the rest is whole.

    Raises WorkbenchError where there is one, or it can't be written; DatasetError for an image that
    can't be read.
    """
    check_new(folder)
    pool, settings = made
    try:
        (folder / THUMBNAILS).mkdir(parents=True, exist_ok=True)
        for name, data in _thumbnails(pool, dataset, decoder):
            (folder / THUMBNAILS / name).write_bytes(data)
        for each, rankings in zip(settings.settings, ranked, strict=True):
            tops = {
                pooled.query: rankings.rankings[pooled.query][: settings.depth]
                for pooled in pool.queries
            }
            write_rankings(run_path(folder, each), tops, each.label)
        for name, part in ((DATASET, source), (SETTINGS, settings), (POOL, pool)):
            with atomic_write(folder / name) as partial_file:
                partial_file.write_text(f"{part.model_dump_json(indent=2)}\n", "utf-8")
    except OSError as error:
        raise WorkbenchError(f"The pool can't be written to {folder}: {error}.") from error


def _thumbnails(pool: Pool, dataset: Dataset, decoder: Decoder) -> Iterator[tuple[str, bytes]]:
    items = {item.id: item for item in dataset.items}
    for name, file in tqdm(pool.thumbnails.items(), "Thumbnails", unit="image"):
        try:
            data = decoder.decode(items[name].read(), thumbnail=True).thumbnail or b""
        except (BogvError, OSError) as error:
            raise DatasetError(
                dataset.spec.id, f"the image {name!r} can't be used: {error}"
            ) from error
        yield file, data


def run_path(folder: Path, setting: PooledSetting) -> Path:
    """The file of a setting's rankings."""
    return folder / f"run-{setting.label}.trec"


def read_settings_file(folder: Path) -> PooledSettings:
    """settings.json of a pool. Raises WorkbenchError."""
    try:
        return PooledSettings.model_validate_json((folder / SETTINGS).read_bytes())
    except (OSError, ValidationError) as error:
        raise WorkbenchError(f"There is no pool to score in {folder}: {error}") from error


def with_queries(dataset: Dataset, queries: list[int]) -> Dataset:
    """The dataset with these queries alone, its gallery as it was."""
    truth = dataset.truth and {query: dataset.truth[query] for query in queries}
    return replace(dataset, queries=queries, truth=truth)

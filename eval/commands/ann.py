"""`ann`."""

from __future__ import annotations

import sys
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import numpy as np
import typer

from bogv.config import Engine, Settings
from bogv.embedding.embedder import load_embedder
from bogv.embedding.weights import DIMENSION, resolve
from bogv.imaging.decoder import Decoder
from eval.ann.measure import AnnOptions, VectorSource, measure
from eval.ann.report import ann_report, others_note
from eval.ann.result import POINTS, Ann, points_table
from eval.ann.sweep import sweeps
from eval.commands.shared import (
    Json,
    Out,
    Root,
    WeightsOption,
    print_json,
    typed_command,
    weights_line,
)
from eval.data.datasets import load
from eval.embedding.embed import embed
from eval.errors import WorkbenchError
from eval.harness.synthetic import Clustered
from eval.report.background import share_text
from eval.report.results import UNTRAINED_NOTE, weights_part, write


def ann(  # noqa: PLR0913, PLR0917 - one for each option
    context: typer.Context,
    vectors: Annotated[int, typer.Option(min=2, help="Number of synthetic vectors.")] = 20_000,
    dimension: Annotated[int, typer.Option(min=2, help="Of the vectors.")] = DIMENSION,
    clusters: Annotated[int, typer.Option(min=1, help="Number of clusters.")] = 200,
    spread: Annotated[
        float, typer.Option(min=0, max=1e6, help="Of the clusters: the more, the harder.")
    ] = Clustered.spread,
    dataset: Annotated[
        str | None, typer.Option(help="Embed this dataset instead; `list` has the ids.")
    ] = None,
    root: Root = None,
    weights: WeightsOption = "auto",
    engine: Annotated[Engine, typer.Option(help="Inference engine.")] = "auto",
    queries: Annotated[int, typer.Option(min=1, help="Held out of the gallery.")] = 500,
    k: Annotated[int, typer.Option(min=1, max=1000, help="Number of nearest neighbours.")] = 10,
    index: Annotated[
        str, typer.Option(help="Only these types: HNSW,IVF_FLAT. bogv's own is always measured.")
    ] = "",
    warm_up: Annotated[int, typer.Option(min=0, help="Queries whose time isn't counted.")] = 20,
    threads: Annotated[
        int, typer.Option(min=1, help="Concurrent searches. Milvus Lite runs one at a time.")
    ] = 1,
    build_threads: Annotated[
        int,
        typer.Option(
            min=0,
            help="Threads with which Milvus Lite builds; 0: one per core, its default, but then"
            " graph indexes vary a little between runs.",
        ),
    ] = 1,
    seed: Annotated[int, typer.Option(min=0, help="Of the vectors and the intervals.")] = 0,
    out: Out = Path("results"),
    cache: Annotated[
        Path | None, typer.Option(help="Where embeddings are kept. By default data/cache/eval.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Measure Milvus' indexes against exact search: recall, queries a second, build time, memory.

    On Milvus Lite, or on the server that MILVUS_HOST names, in a collection of its own, which is
    removed afterwards.
    """
    settings = Settings()
    if dataset is None:
        distribution = Clustered(seed, dimension, clusters, spread)
        parameters = {name: value for name, value in asdict(distribution).items() if name != "seed"}
        source = VectorSource(
            "synthetic",
            distribution.gallery(vectors),
            vectors,
            distribution.queries(queries),
            {name: value for name, value in parameters.items() if name != "dimension"},
        )
    else:
        cached = cache or settings.cache_dir / "eval"
        source = _embed_dataset(dataset, root, weights, engine, queries, seed, cached, settings)
    lite = settings.milvus_host is None
    only = [name.strip().upper() for name in index.split(",") if name.strip()]
    options = AnnOptions(
        sweeps=sweeps(source.count, k, lite=lite, only=only),
        k=k,
        seed=seed,
        warm_up=warm_up,
        threads=threads,
        build_threads=build_threads,
        lite=lite,
        database="Milvus Lite" if lite else "Milvus server",
        command=typed_command(context),
    )
    found = measure(source, options)
    folder = write(out, found, {POINTS: points_table(found)}, ann_report(found))
    if (busy := others_note(found)) is not None:
        print(busy, file=sys.stderr)
    if as_json:
        print_json(found.model_dump(mode="json"))
    else:
        _print(found, folder)


def _embed_dataset(  # noqa: PLR0917 - what `run` takes of its options
    dataset: str,
    root: Path | None,
    weights: str,
    engine: Engine,
    queries: int,
    seed: int,
    cache: Path,
    settings: Settings,
) -> VectorSource:
    """A dataset's embeddings; a random sample is held out as queries."""
    items = load(dataset, root)
    if queries >= len(items.items):
        raise WorkbenchError(
            f"{queries:,} queries can't be held out of {len(items.items):,} images: use fewer."
        )
    embedder = load_embedder(resolve(weights), engine, settings.cache_dir)
    if not embedder.weights.is_trained:
        print(UNTRAINED_NOTE, file=sys.stderr)
    rows = embed(items, embedder, Decoder(settings.max_upload, settings.max_pixels), cache).vectors
    order = np.random.default_rng(seed).permutation(len(rows))
    gallery = rows[np.sort(order[queries:])]
    part = weights_part(embedder.weights.name, embedder.weights.fingerprint)
    return VectorSource(dataset, [gallery], len(gallery), rows[order[:queries]], weights=part)


def _print(found: Ann, folder: Path) -> None:
    recall = f"ann_recall@{found.k}"
    print(f"Weights:  {weights_line(found.weights)}")
    print(f"Vectors:  {found.vectors.gallery:,} of {found.vectors.source}, {found.n:,} queries")
    print(f"Database: {found.database}\n")
    print(
        f"{'index':44} {recall:>14} {'queries/s':>10} {'p99 ms':>8} {'build s':>8} {'MiB':>7}"
        f" {'others':>12}"
    )
    for point in found.points:
        cost = point.cost
        memory = "" if cost.memory_mib is None else f"{cost.memory_mib:,.0f}"
        own = "  <- bogv's own" if point.own else ""
        others = f"{share_text(cost.build_others) or '?'}, {share_text(cost.others) or '?'}"
        print(
            f"{point.label:44} {point.metrics[recall].value:14.4f} {cost.queries_per_second:10.1f}"
            f" {cost.p99_ms:8.1f} {cost.build_seconds:8.1f} {memory:>7} {others:>12}{own}"
        )
    print(f"\nothers: CPU time that other processes used during build and search\n{folder}")

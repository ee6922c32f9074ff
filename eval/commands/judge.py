"""`judge pool` and `judge score`."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from bogv.config import Settings
from bogv.embedding.embedder import Embedder, load_embedder
from bogv.embedding.weights import resolve
from bogv.imaging.decoder import Decoder
from bogv.judgements import Pool
from eval.commands.shared import (
    Json,
    Root,
    WeightsOption,
    parse_ks,
    print_json,
    typed_command,
)
from eval.data.datasets import Dataset, load
from eval.data.judged import PoolSource
from eval.embedding.settings import EmbeddingSettings, network_of
from eval.errors import WorkbenchError
from eval.judging.pooling import (
    PooledSettings,
    Ranked,
    check_new,
    draw_queries,
    make_pool,
    rank_by_setting,
    read_ranked,
    with_queries,
    write_pool,
)
from eval.judging.report import judge_report, notes
from eval.judging.result import Judged
from eval.judging.scoring import METRICS, score_pool
from eval.judging.setting import Setting, parse_setting
from eval.report.comparison import check_conditions
from eval.report.results import PER_QUERY, UNTRAINED_NOTE, interval_text, write
from eval.retrieval.result import Run
from eval.retrieval.search import load_faiss_for_one_thread

app = typer.Typer(
    help="Judge results by eye: are they good on your own images?", no_args_is_help=True
)


@app.command()
def pool(  # noqa: PLR0913, PLR0917 - one for each option
    dataset: Annotated[
        str, typer.Option(help="Whose images: its id; `folder` is any folder, with --root.")
    ] = "folder",
    root: Root = None,
    setting: Annotated[
        list[str] | None,
        typer.Option(help="Options of `run`: '--pooling gem --size 448'. Repeat it to compare."),
    ] = None,
    run: Annotated[
        list[Path] | None,
        typer.Option(help="A folder that `run --trec` wrote. May be repeated; names the dataset."),
    ] = None,
    weights: WeightsOption = "auto",
    queries: Annotated[int, typer.Option(min=1, help="Number of queries, drawn at random.")] = 30,
    depth: Annotated[int, typer.Option(min=1, help="Results of each setting to judge.")] = 10,
    limit: Annotated[int | None, typer.Option(min=2, help="Maximum number of images.")] = None,
    seed: Annotated[int, typer.Option(min=0, help="Of the queries and of all orders.")] = 0,
    out: Annotated[
        Path | None, typer.Option(help="The pool's folder. By default data/judge/<dataset>.")
    ] = None,
    cache: Annotated[
        Path | None, typer.Option(help="Cache of embeddings. By default data/cache/eval.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Draw queries, search with each setting, and pool what they find, shuffled, to be judged."""
    settings = Settings()
    chosen = [parse_setting(text, weights) for text in setting or ([] if run else [""])]
    runs = [read_ranked(folder) for folder in run or []]
    source = _source([each for each, _ in runs], dataset, root, limit, seed)
    folder = out or settings.judge_dir / source.dataset
    check_new(folder)
    whole = load(source.dataset, source.root, limit=source.limit, seed=source.seed)
    among = [set(ranked.rankings) for _, ranked in runs]
    drawn = draw_queries(whole, queries, seed, set.intersection(*among) if among else None)
    decoder = Decoder(settings.max_upload, settings.max_pixels)
    ranked = [found for _, found in runs] + _rank(
        with_queries(whole, drawn), chosen, decoder, cache or settings.cache_dir / "eval", depth
    )
    made = make_pool([whole.items[query].id for query in drawn], ranked, depth, seed)
    root = None if whole.root is None else whole.root.absolute()
    write_pool(folder, made, ranked, source.model_copy(update={"root": root}), whole, decoder)
    if as_json:
        print_json({"folder": str(folder), **_counts(made)})
    else:
        _print_pool(made, folder, settings.judge_dir)


@app.command()
def score(
    context: typer.Context,
    folder: Annotated[Path, typer.Argument(help="A pool that is judged, if only in part.")],
    k: Annotated[str, typer.Option(help="Ranks. By default 1,5,10 and the pool's depth.")] = "",
    seed: Annotated[int, typer.Option(min=0, help="Of the intervals.")] = 0,
    out: Annotated[
        Path | None, typer.Option(help="The parent of the folder score. By default the pool.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Score the judgements: precision@k and nDCG@k of each setting, and their differences."""
    ks = parse_ks(k) if k else None
    result, table = score_pool(folder, ks, seed, typed_command(context))
    written = write(out or folder, result, {PER_QUERY: table}, judge_report(result))
    for note in notes(result):
        print(note, file=sys.stderr)
    if as_json:
        print_json(result.model_dump(mode="json"))
    else:
        _print_scores(result, written)


def _source(
    runs: Sequence[Run], dataset: str, root: Path | None, limit: int | None, seed: int
) -> PoolSource:
    """Where the images are: as the runs have it, if there are any."""
    if not runs:
        return PoolSource(dataset=dataset, root=root, limit=limit, seed=seed)
    first, *others = runs
    for other in others:
        check_conditions(first, other)
    if limit is not None:
        raise WorkbenchError("--limit is that of the runs: leave it out.")
    stored = None if first.dataset.root is None else Path(first.dataset.root)
    return PoolSource(
        dataset=first.dataset.id,
        root=root or stored,
        limit=first.dataset.limit,
        seed=first.seed,
    )


def _rank(
    dataset: Dataset, chosen: Sequence[Setting], decoder: Decoder, cache: Path, depth: int
) -> list[Ranked]:
    if any(each.backend == "milvus" for each in chosen):
        load_faiss_for_one_thread()
    ranked = [
        rank_by_setting(dataset, each, partial(_load, each), decoder, cache, depth)
        for each in chosen
    ]
    if any(not each.weights.trained for each in ranked):
        print(UNTRAINED_NOTE, file=sys.stderr)
    return ranked


def _load(setting: Setting, variant: EmbeddingSettings) -> Embedder:
    settings = Settings()
    weights = resolve(setting.weights, precision=setting.precision, models=settings.models_dir)
    return load_embedder(
        weights, setting.engine, settings.cache_dir, setting.precision, network_of(variant)
    )


def _counts(made: tuple[Pool, PooledSettings]) -> dict[str, int]:
    found, settings = made
    return {
        "queries": len(found.queries),
        "pairs": len(found.pairs),
        "depth": settings.depth,
        "settings": len(settings.settings),
    }


def _print_pool(made: tuple[Pool, PooledSettings], folder: Path, judged_in: Path) -> None:
    counts = _counts(made)
    print(
        f"{counts['pairs']:,} results of {counts['queries']:,} queries to judge: the first"
        f" {counts['depth']:,} of {counts['settings']:,} settings"
    )
    if folder.resolve().parent == judged_in.resolve():
        print("Judge them in the demo: BOGV_JUDGE=1 python -m bogv serve, tab Judge")
    else:
        print(f"To judge them in the demo (BOGV_JUDGE=1), put the folder into {judged_in}")
    print(f"Then: python -m eval judge score {folder}")


def _print_scores(result: Judged, folder: Path) -> None:
    print(
        f"Judged:   {result.judged:,} of {result.pairs:,} results; {result.n:,} of"
        f" {result.queries:,} queries scored"
    )
    print(f"Grades:   {', '.join(f'{word} {count:,}' for word, count in result.grades.items())}")
    for each in result.settings:
        print(f"{each.setting.label}:        {each.setting.name}")
    print(f"\n{'metric':22} {'setting':7} {'value':>7}  {'95% interval':16}  bounds")
    for name in (f"{metric}@{k}" for metric in METRICS for k in result.k):
        for each in result.settings:
            mean = result.metrics[f"{name}/{each.setting.label}"]
            low, high = each.bounds[name]
            print(
                f"{name:22} {each.setting.label:7} {mean.value:7.4f}  {interval_text(mean)}"
                f"  {low:.4f} to {high:.4f}"
            )
    if result.comparisons:
        print()
    for found in result.comparisons:
        ends = "" if found.ci95 is None else f" [{found.ci95[0]:+.4f}, {found.ci95[1]:+.4f}]"
        print(
            f"{found.b} against {found.a}, {found.metric}: {found.difference:+.4f}{ends}, p"
            f" {found.p:.4f}: {found.verdict}"
        )
    print(f"\n{folder}")

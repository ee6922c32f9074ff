"""`run`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from bogv.config import Engine, Settings
from bogv.embedder import load_embedder
from bogv.images import Decoder
from bogv.weights import resolve
from eval.commands.parts import (
    Json,
    Out,
    Root,
    WeightsOption,
    places,
    print_json,
    typed,
    weights_line,
)
from eval.results import PER_QUERY, UNTRAINED_NOTE, table, write
from eval.run import Options, Outcome, evaluate, leak_note
from eval.run_report import run_report
from eval.search import Backend


def run(  # noqa: PLR0913, PLR0917 - one for each option
    context: typer.Context,
    dataset: Annotated[str, typer.Option(help="Its id; `folder` is any folder, with --root.")],
    root: Root = None,
    k: Annotated[str, typer.Option(help="Count the first so many places.")] = "1,5,10",
    weights: WeightsOption = "auto",
    engine: Annotated[Engine, typer.Option(help="What runs the network.")] = "auto",
    backend: Annotated[
        Backend, typer.Option(help="All pairs; or bogv's own index, 1000 hits deep.")
    ] = "exact",
    limit: Annotated[
        int | None, typer.Option(min=2, help="At most so many images, sampled by --seed.")
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Of the sample and the bootstrap.")] = 0,
    out: Out = Path("results"),
    cache: Annotated[
        Path | None, typer.Option(help="Where embeddings are kept. By default data/cache/eval.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Embed, search and score a dataset; write run.json, its tables and a report with plots.

    Interrupted, it goes on from where it was: what is embedded is kept.
    """
    settings = Settings()
    options = Options(
        dataset=dataset,
        root=root,
        ks=places(k),
        backend=backend,
        limit=limit,
        seed=seed,
        command=typed(context),
    )
    embedder = load_embedder(resolve(weights), engine, settings.cache_dir)
    if not embedder.weights.trained:
        print(UNTRAINED_NOTE, file=sys.stderr)
    decoder = Decoder(settings.max_upload, settings.max_pixels)
    outcome = evaluate(options, embedder, decoder, cache or settings.cache_dir / "eval")
    report = run_report(outcome, decoder)
    folder = write(out, outcome.run, {PER_QUERY: table(outcome.answers)}, report)
    if note := leak_note(outcome.duplicates):
        print(note, file=sys.stderr)
    if as_json:
        print_json(outcome.run.model_dump(mode="json"))
    else:
        _print_outcome(outcome, folder)


def _print_outcome(outcome: Outcome, folder: Path) -> None:
    run = outcome.run
    counts = run.counts
    print(f"Weights:  {weights_line(run.weights)}")
    print(f"Dataset:  {run.dataset.name} ({run.dataset.protocol})")
    print(
        f"Images:   {counts.images:,} in {counts.classes:,} classes; {run.n:,} queries scored,"
        f" {counts.queries_without_relevant:,} left out (nothing to find);"
        f" gallery of {counts.gallery:,}"
    )
    deep = "the whole gallery" if run.depth is None else f"the first {run.depth:,} places"
    print(f"Search:   {run.backend}, ranking {deep}; engine {run.engine}")
    print(f"Embedded: {outcome.new:,} now, {counts.images - outcome.new:,} from the cache\n")
    print(f"{'metric':30} {'value':>8}  95% interval")
    for name, mean in run.metrics.items():
        mark = "  <- headline" if name == run.dataset.headline else ""
        print(f"{name:30} {mean.value:8.4f}  [{mean.ci95[0]:.4f}, {mean.ci95[1]:.4f}]{mark}")
    for anchor in run.anchors:
        print(
            f"{anchor.status}: {anchor.metric} {anchor.value} ({anchor.setting}; {anchor.source})"
        )
    print(f"\n{folder}")

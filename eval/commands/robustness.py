"""`robustness`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from bogv.calibration.edits import EDITS, edit_variants
from bogv.config import Engine, Settings
from bogv.embedding.embedder import load_embedder
from bogv.embedding.weights import resolve
from bogv.imaging.decoder import Decoder
from eval.commands.shared import (
    Json,
    Out,
    PrecisionOption,
    Root,
    WeightsOption,
    parse_ks,
    print_json,
    typed_command,
    weights_line,
)
from eval.report.results import PER_QUERY, UNTRAINED_NOTE, interval_text, write
from eval.retrieval.search import Backend
from eval.robustness.measure import RobustnessOptions, RobustnessOutcome, measure
from eval.robustness.report import robustness_report
from eval.robustness.result import HEADLINE, edited_query_table, notes


def robustness(  # noqa: PLR0913, PLR0917 - one for each option
    context: typer.Context,
    dataset: Annotated[str, typer.Option(help="Its id; `folder` is any folder, with --root.")],
    root: Root = None,
    sample: Annotated[
        int, typer.Option(min=1, help="Number of images to edit; all are searched.")
    ] = 100,
    edits: Annotated[str, typer.Option(help=f"Some of {','.join(EDITS)}. By default all.")] = "",
    k: Annotated[str, typer.Option(help="Ranks for hit_rate@k and the like.")] = "1,5,10",
    weights: WeightsOption = "auto",
    engine: Annotated[Engine, typer.Option(help="Inference engine.")] = "auto",
    precision: PrecisionOption = "auto",
    backend: Annotated[
        Backend, typer.Option(help="All pairs; or bogv's own index, 1000 hits deep.")
    ] = "exact",
    seed: Annotated[
        int, typer.Option(min=0, help="Of the sample, the edits and the intervals.")
    ] = 0,
    out: Out = Path("results"),
    cache: Annotated[
        Path | None, typer.Option(help="Cache of embeddings. By default data/cache/eval.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Edit a sample of any folder's images and measure how often the original is found.

    Crops, rotations, JPEG, text over it and so on, each in several strengths, search the whole
    folder; no labels are needed. Writes run.json, per_query.parquet, summary.csv and the report.
    Interrupted, it goes on from where it was: what is embedded is kept.
    """
    settings = Settings()
    options = RobustnessOptions(
        dataset=dataset,
        root=root,
        sample=sample,
        edits=_parse_names(edits),
        ks=parse_ks(k),
        backend=backend,
        seed=seed,
        command=typed_command(context),
    )
    edit_variants(options.edits)  # fails for an unknown name before the network is loaded
    chosen = resolve(weights, precision=precision, models=settings.models_dir)
    embedder = load_embedder(chosen, engine, settings.cache_dir, precision)
    if not embedder.weights.is_trained:
        print(UNTRAINED_NOTE, file=sys.stderr)
    decoder = Decoder(settings.max_upload, settings.max_pixels)
    outcome = measure(options, embedder, decoder, cache or settings.cache_dir / "eval")
    report = robustness_report(outcome, decoder)
    folder = write(
        out, outcome.result, {PER_QUERY: edited_query_table(outcome.query_results)}, report
    )
    for note in notes(outcome.result):
        print(note, file=sys.stderr)
    if as_json:
        print_json(outcome.result.model_dump(mode="json"))
    else:
        _print_outcome(outcome, folder)


def _parse_names(text: str) -> list[str] | None:
    """--edits as a list; None: all of them."""
    names = [name.strip() for name in text.split(",")]
    return [name for name in names if name] or None


def _print_outcome(outcome: RobustnessOutcome, folder: Path) -> None:
    result = outcome.result
    images = len(outcome.edited.dataset.items)
    print(f"Weights:  {weights_line(result.weights)}")
    print(f"Dataset:  {result.dataset_name}")
    print(
        f"Images:   {result.sample:,} edited in {result.n // result.sample:,} ways each, seed"
        f" {result.seed}; gallery of {result.gallery:,}"
    )
    deep = "the whole gallery" if result.depth is None else f"the top {result.depth:,} ranks"
    print(f"Search:   {result.backend}, ranking {deep}; engine {result.engine}")
    print(f"Embedded: {outcome.new:,} now, {images - outcome.new:,} from the cache\n")
    for name in (name for name in result.metrics if "/" not in name):
        mean = result.metrics[name]
        print(f"{name:14} {mean.value:.4f}  {interval_text(mean)}")
    print(f"\n{HEADLINE} by edit and strength")
    print(f"{'none':12} {result.metrics[f'{HEADLINE}/none'].value:.2f}")
    for edit, strengths in result.edits.items():
        values = [
            f"{strength} {result.metrics[f'{HEADLINE}/{edit}:{strength}'].value:.2f}"
            for strength in strengths
        ]
        print(f"{edit:12} {result.metrics[f'{HEADLINE}/{edit}'].value:.2f}   {'   '.join(values)}")
    print(f"\n{folder}")

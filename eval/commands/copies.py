"""`copies`."""

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
    print_json,
    typed_command,
    weights_line,
)
from eval.copies.decision import METHODS, TITLES
from eval.copies.goals import GOALS
from eval.copies.measure import CopiesOptions, CopiesOutcome, measure
from eval.copies.report import copies_report, share, verdict
from eval.copies.result import notes
from eval.copies.tables import PAIRS
from eval.report.results import PER_QUERY, UNTRAINED_NOTE, write


def copies(  # noqa: PLR0913, PLR0917 - one for each option
    context: typer.Context,
    dataset: Annotated[str, typer.Option(help="Its id; `folder` is any folder, with --root.")],
    root: Root = None,
    limit: Annotated[
        int | None, typer.Option(min=2, help="At most so many images of the dataset.")
    ] = None,
    sample: Annotated[
        int, typer.Option(min=1, help="Number of images to edit; all are searched.")
    ] = 40,
    edits: Annotated[str, typer.Option(help=f"Some of {','.join(EDITS)}. By default all.")] = "",
    weights: WeightsOption = "auto",
    engine: Annotated[Engine, typer.Option(help="Inference engine.")] = "auto",
    precision: PrecisionOption = "auto",
    seed: Annotated[
        int, typer.Option(min=0, help="Of the sample, the edits and the intervals.")
    ] = 0,
    out: Out = Path("results"),
    cache: Annotated[
        Path | None, typer.Option(help="Cache of embeddings. By default data/cache/eval.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Measure how often copies are told, and how often what isn't there is said to be.

    Edits of a sample, and all images unedited, search the gallery with their original and without
    it. Writes run.json, per_query.parquet, pairs.parquet, summary.csv and the report. Interrupted,
    what is embedded is kept.
    """
    settings = Settings()
    names = [name.strip() for name in edits.split(",")]
    options = CopiesOptions(
        dataset=dataset,
        root=root,
        limit=limit,
        sample=sample,
        edits=[name for name in names if name] or None,
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
    tables = {PER_QUERY: outcome.searches, PAIRS: outcome.pairs}
    folder = write(out, outcome.result, tables, copies_report(outcome, decoder))
    for note in notes(outcome.result):
        print(note, file=sys.stderr)
    if as_json:
        print_json(outcome.result.model_dump(mode="json"))
    else:
        _print_outcome(outcome, folder)


def _print_outcome(outcome: CopiesOutcome, folder: Path) -> None:
    result = outcome.result
    print(f"Weights:  {weights_line(result.weights)}")
    print(f"Dataset:  {result.dataset_name}")
    print(
        f"Images:   {result.sample:,} edited in {result.n // result.sample:,} ways each, seed"
        f" {result.seed}; gallery of {result.gallery:,}"
    )
    print(f"Absent:   {result.absent:,} searches, of {result.absent_units:,} photos")
    images = len(outcome.queries.items)
    print(f"Embedded: {outcome.new:,} now, {images - outcome.new:,} from the cache\n")
    for goal in GOALS:
        if goal.name in result.metrics:
            bound = f"{'at most' if goal.at_most else 'at least'} {goal.bound:.1%}"
            print(f"{share(result.metrics[goal.name], 2):28} {bound:15} {verdict(goal, result)}")
            print(f"    {goal.title}")
    print(f"\n{'':14} micro-AP   recall at 90%, 99%, 99.9% precision")
    for method in METHODS:
        names = ("micro_ap", "recall@p90", "recall@p99", "recall@p99.9")
        values = [f"{result.metrics[f'{method}:{name}'].value:.3f}" for name in names]
        print(f"{TITLES[method]:14} {values[0]}      {'   '.join(values[1:])}")
    print(f"\n{folder}")

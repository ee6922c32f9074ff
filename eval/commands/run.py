"""`run`."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer
from pydantic import ValidationError

from bogv.config import Engine, Settings
from bogv.embedding.embedder import Embedder, load_embedder
from bogv.embedding.weights import resolve
from bogv.imaging.decoder import Decoder
from eval.commands.backbones import (
    BackboneOption,
    OtherNetwork,
    VectorsIdsOption,
    VectorsOption,
)
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
from eval.embedding.fitting import SPLITS
from eval.embedding.settings import (
    OWN_BACKBONE,
    POST_PATTERN,
    VECTORS,
    Crop,
    EmbeddingSettings,
    Pooling,
    Size,
    Tta,
    network_of,
)
from eval.embedding.table import EMBEDDINGS, write_embeddings
from eval.report.results import UNTRAINED_NOTE, interval_text, write
from eval.retrieval.ablation import AblationSample
from eval.retrieval.ablation_result import Ablation, ablation_table
from eval.retrieval.measure import RetrievalOptions, RetrievalOutcome, measure, notes
from eval.retrieval.report import fit_note, rerank_note, result_tables, run_report
from eval.retrieval.search import Backend, load_faiss_for_one_thread
from eval.retrieval.trec import QRELS, TREC_RUN

PoolingOption = Annotated[
    Pooling, typer.Option(help="Of the last feature map: mean, generalised mean, maximum.")
]
SizeOption = Annotated[Size, typer.Option(help="The input's pixels along each side.")]
CropOption = Annotated[
    Crop, typer.Option(help="The middle; all of it, squashed; all of it, padded.")
]
ScalesOption = Annotated[
    str, typer.Option(help="The mean over inputs of these factors of --size: 0.7071,1,1.4142.")
]
TtaOption = Annotated[Tta, typer.Option(help="flip: the mean with the mirrored image's.")]
PostOption = Annotated[
    str, typer.Option(help="none, pca:512 or whiten:512 (any number), of the gallery.")
]
FitOnOption = Annotated[
    str,
    typer.Option(
        help="What --post is fitted on: gallery, or another dataset, as rparis6k, rparis6k:gallery,"
        " folder:/path."
    ),
]
RerankOption = Annotated[
    str,
    typer.Option(help="none, aqe, dba, kreciprocal or diffusion; parameters: aqe:n=10,alpha=3."),
]
BackendOption = Annotated[
    Backend, typer.Option(help="All pairs; or bogv's own index, 1000 hits deep.")
]
LimitOption = Annotated[
    int | None, typer.Option(min=2, help="Maximum number of images, sampled by --seed.")
]
SeedOption = Annotated[int, typer.Option(min=0, help="Of the samples and the intervals.")]
LossesOption = Annotated[
    bool, typer.Option(help="Measure the losses by PCA, the index and the REST path.")
]
LossQueriesOption = Annotated[
    int, typer.Option(min=1, help="Maximum number of queries for --losses.")
]
LossImagesOption = Annotated[
    int, typer.Option(min=2, help="Maximum number of images through the service for --losses.")
]
TrecOption = Annotated[
    bool, typer.Option("--trec", help="Write the rankings and the ground truth for TREC's tools.")
]
DepthOption = Annotated[int, typer.Option(min=1, help="Ranks of each ranking for --trec.")]
EmbeddingsOption = Annotated[
    bool, typer.Option("--embeddings", help="Write the embeddings to a Parquet file.")
]
CacheOption = Annotated[
    Path | None, typer.Option(help="Cache of embeddings. By default data/cache/eval.")
]


def run(  # noqa: PLR0913, PLR0917 - one for each option
    context: typer.Context,
    dataset: Annotated[str, typer.Option(help="Its id; `folder` is any folder, with --root.")],
    root: Root = None,
    k: Annotated[str, typer.Option(help="Ranks for recall@k and the like.")] = "1,5,10",
    weights: WeightsOption = "auto",
    engine: Annotated[Engine, typer.Option(help="Inference engine.")] = "auto",
    precision: PrecisionOption = "auto",
    backbone: BackboneOption = OWN_BACKBONE,
    vectors: VectorsOption = None,
    vectors_ids: VectorsIdsOption = None,
    pooling: PoolingOption = "gap",
    size: SizeOption = 224,
    crop: CropOption = "center",
    scales: ScalesOption = "1",
    tta: TtaOption = "none",
    post: PostOption = "none",
    fit_on: FitOnOption = "gallery",
    rerank: RerankOption = "none",
    backend: BackendOption = "exact",
    limit: LimitOption = None,
    seed: SeedOption = 0,
    losses: LossesOption = True,
    loss_queries: LossQueriesOption = 200,
    loss_images: LossImagesOption = 500,
    trec: TrecOption = False,
    depth: DepthOption = 1000,
    embeddings: EmbeddingsOption = False,
    out: Out = Path("results"),
    cache: CacheOption = None,
    as_json: Json = False,
) -> None:
    """Embed, search and score a dataset; write run.json, its tables and a report with plots.

    Interrupted, it goes on from where it was: what is embedded is kept.
    """
    given = {"weights": weights, "engine": engine, "precision": precision}
    other = OtherNetwork.of(backbone, vectors, vectors_ids, given)
    fitted, fit_on_root = _parse_fit_on(fit_on)
    options = RetrievalOptions(
        dataset=dataset,
        root=root,
        ks=parse_ks(k),
        backend=backend,
        settings=_settings(
            backbone=OWN_BACKBONE if other is None else other.name,
            pooling=pooling,
            size=size,
            crop=crop,
            scales=scales.split(","),
            tta=tta,
            post=_parse_post(post),
            fit_on=fitted,
            rerank=rerank,
        ),
        fit_on_root=fit_on_root,
        ablation=AblationSample(loss_queries, loss_images) if losses else None,
        limit=limit,
        seed=seed,
        depth=depth if trec else None,
        command=typed_command(context),
    )

    def load(settings: Settings, variant: EmbeddingSettings) -> Embedder:
        chosen = resolve(weights, precision=precision, models=settings.models_dir)
        network = network_of(variant)
        return load_embedder(chosen, engine, settings.cache_dir, precision, network)

    outcome, folder = _measure_and_write(options, load, other, out, cache, embeddings)
    if as_json:
        print_json(outcome.run.model_dump(mode="json"))
    else:
        _print_outcome(outcome, folder)


def _measure_and_write(
    options: RetrievalOptions,
    load: Callable[[Settings, EmbeddingSettings], Embedder],
    other: OtherNetwork | None,
    out: Path,
    cache: Path | None,
    embeddings: bool,
) -> tuple[RetrievalOutcome, Path]:
    """The outcome and the folder that it was written to."""
    if options.ablation is not None or options.backend == "milvus":
        load_faiss_for_one_thread()
    settings = Settings()
    load_variant = partial(load, settings)
    embedder = load_variant(options.settings) if other is None else other.load()
    if not embedder.weights.is_trained:
        print(UNTRAINED_NOTE, file=sys.stderr)
    decoder = Decoder(settings.max_upload, settings.max_pixels)
    cache = cache or settings.cache_dir / "eval"
    outcome = measure(options, embedder, decoder, cache, load_variant)
    report = run_report(outcome, decoder)
    files = _exports(outcome, embeddings)
    for name in {TREC_RUN, QRELS, EMBEDDINGS} - set(files):
        (out / outcome.run.folder / name).unlink(missing_ok=True)  # of an earlier run
    folder = write(out, outcome.run, result_tables(outcome), report, files)
    for note in notes(outcome):
        print(note, file=sys.stderr)
    return outcome, folder


def _exports(outcome: RetrievalOutcome, embeddings: bool) -> dict[str, Callable[[Path], None]]:
    """What writes each file that was asked for, by its name."""
    run = outcome.run
    files: dict[str, Callable[[Path], None]] = {}
    if outcome.rankings is not None:
        files |= outcome.rankings.files(outcome.dataset, run.folder)
    if embeddings:
        made_by = {
            "dataset": run.dataset.id,
            "digest": run.dataset.digest,
            "weights": run.weights.name,
            "fingerprint": run.weights.fingerprint,
            "engine": run.engine,
            "settings": run.settings.model_dump(),
        }
        files[EMBEDDINGS] = lambda path: write_embeddings(
            path, outcome.dataset, outcome.vectors, made_by
        )
    return files


def _parse_post(text: str) -> str:
    if re.fullmatch(POST_PATTERN, text) is None:
        raise typer.BadParameter(f"--post takes none, pca:<n> or whiten:<n>, as pca:512: {text!r}")
    return text


def _parse_fit_on(text: str) -> tuple[str, Path | None]:
    """The setting, and the folder of that dataset if the text has one after the colon."""
    dataset, _, rest = text.partition(":")
    return (text, None) if rest in {"", *SPLITS} else (dataset, Path(rest))


def _settings(**values: Any) -> EmbeddingSettings:
    try:
        return EmbeddingSettings(**values)
    except ValidationError as error:
        fault = error.errors()[0]
        option = f"--{str(fault['loc'][0]).replace('_', '-')}: " if fault["loc"] else ""
        raise typer.BadParameter(option + fault["msg"].removeprefix("Value error, ")) from error


def _print_outcome(outcome: RetrievalOutcome, folder: Path) -> None:
    run = outcome.run
    counts = run.counts
    print(f"Weights:  {weights_line(run.weights)}")
    print(f"Dataset:  {run.dataset.name} ({run.dataset.protocol}), {run.dataset.place}")
    if run.dataset.sample:
        print(f"SAMPLE:   {run.dataset.sample}; not to be compared with figures of the whole")
    print(
        f"Images:   {counts.images:,} in {counts.classes:,} classes; {run.n:,} queries scored,"
        f" {counts.queries_without_relevant:,} left out (nothing to find);"
        f" gallery of {counts.gallery:,}"
    )
    deep = "the whole gallery" if run.depth is None else f"the top {run.depth:,} ranks"
    print(f"Settings: {run.settings.text}")
    print(f"Search:   {run.backend}, ranking {deep}; engine {run.engine}")
    for note in filter(None, (fit_note(run), rerank_note(run))):
        print(note)
    for name, value in run.network.items():
        print(f"Network:  {name}: {value}")
    if run.settings.backbone != VECTORS:
        print(f"Embedded: {outcome.new:,} now, {counts.images - outcome.new:,} from the cache")
    print()
    print(f"{'metric':30} {'value':>8}  {'95% interval':16}  at chance")
    for name, mean in run.metrics.items():
        level = f"{run.chance[name]:.4f}" if name in run.chance else ""
        mark = "  <- headline" if name == run.dataset.headline else ""
        print(f"{name:30} {mean.value:8.4f}  {interval_text(mean)}  {level}{mark}")
    if run.losses is not None:
        _print_ablation(run.losses)
    for anchor in run.anchors:
        print(
            f"{anchor.status}: {anchor.metric} {anchor.value} ({anchor.setting}; {anchor.source})"
        )
    print(f"\n{folder}")


def _print_ablation(ablation: Ablation) -> None:
    table = ablation_table(ablation)
    lines = [table.columns, *table.rows]
    widths = [max(len(line[column]) for line in lines) for column in range(len(table.columns))]
    print("\nLoss account")
    for line in lines:
        first, *others = (cell.rjust(width) for cell, width in zip(line, widths, strict=True))
        print("  ".join([first.lstrip().ljust(widths[0]), *others]))
    print(table.caption)

"""The workbench's command line: `python -m eval --help`."""

from __future__ import annotations

import io
import json
import logging
import shlex
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer
from pydantic import ValidationError

from bogv.config import Engine, Settings
from bogv.embedder import load_embedder
from bogv.errors import BogvError
from bogv.images import Decoder
from bogv.weights import resolve
from eval.compare import Comparison
from eval.compare import compare as compare_runs
from eval.datasets import DatasetError, Spec, catalogue, root_of
from eval.errors import WorkbenchError
from eval.fetch import fetch as fetch_dataset
from eval.results import UNTRAINED_NOTE, Run, write
from eval.run import Options, Outcome, evaluate, leak_note
from eval.search import Backend
from eval.selftest import selftest as run_canaries

app = typer.Typer(
    help="Measure what bogv finds, on public datasets or on a folder of yours: see eval/README.md."
    " An error is one line and exit status 2.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

Json = Annotated[bool, typer.Option("--json", help="Print JSON, for machines.")]
Root = Annotated[
    Path | None,
    typer.Option(help="The dataset's own folder. By default $BOGV_DATASETS/<its name>."),
]


@app.command("list")
def list_command(as_json: Json = False) -> None:
    """List the datasets that can be measured on, and which are here."""
    specs = catalogue()
    if as_json:
        _print_json(
            [{**each.model_dump(by_alias=True), "here": _is_here(each)} for each in specs.values()]
        )
        return
    print(f"{'id':18} {'tier':6} {'kind':9} {'protocol':14} {'headline':13} {'images':>7}  here")
    for spec in specs.values():
        images = f"{spec.counts.images:,}" if spec.counts.images else "any"
        print(
            f"{spec.id:18} {spec.tier:6} {spec.kind:9} {spec.protocol:14} {spec.headline:13}"
            f" {images:>7}  {'yes' if _is_here(spec) else 'no'}"
        )


@app.command()
def fetch(
    dataset: Annotated[str, typer.Argument(help="Its id; `list` has them.")], root: Root = None
) -> None:
    """Download a dataset, check it and unpack it; or say where to get it and where to put it."""
    folder = fetch_dataset(dataset, root)
    print(folder or f"{dataset} needs no files.")


@app.command()
def run(  # noqa: PLR0913, PLR0917 - one for each option
    context: typer.Context,
    dataset: Annotated[str, typer.Option(help="Its id; `folder` is any folder, with --root.")],
    root: Root = None,
    k: Annotated[str, typer.Option(help="Count the first so many places.")] = "1,5,10",
    weights: Annotated[
        str, typer.Option(help="auto, imagenet, untrained, or the path of a state dict.")
    ] = "auto",
    engine: Annotated[Engine, typer.Option(help="What runs the network.")] = "auto",
    backend: Annotated[
        Backend, typer.Option(help="All pairs; or bogv's own index, 1000 hits deep.")
    ] = "exact",
    limit: Annotated[
        int | None, typer.Option(min=2, help="At most so many images, sampled by --seed.")
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Of the sample and the bootstrap.")] = 0,
    out: Annotated[Path, typer.Option(help="Where the run's folder goes.")] = Path("results"),
    cache: Annotated[
        Path | None, typer.Option(help="Where embeddings are kept. By default data/cache/eval.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Embed, search and score a dataset; write run.json, per_query.parquet and summary.csv.

    Interrupted, it goes on from where it was: what is embedded is kept.
    """
    settings = Settings()
    options = Options(
        dataset=dataset,
        root=root,
        ks=_places(k),
        backend=backend,
        limit=limit,
        seed=seed,
        command=shlex.join(["python", "-m", "eval", *(context.obj or [])]),
    )
    embedder = load_embedder(resolve(weights), engine, settings.cache_dir)
    if not embedder.weights.trained:
        print(UNTRAINED_NOTE, file=sys.stderr)
    decoder = Decoder(settings.max_upload, settings.max_pixels)
    outcome = evaluate(options, embedder, decoder, cache or settings.cache_dir / "eval")
    folder = write(out, outcome.run, outcome.answers)
    if note := leak_note(outcome.duplicates):
        print(note, file=sys.stderr)
    if as_json:
        _print_json(outcome.run.model_dump(mode="json"))
    else:
        _print_outcome(outcome, folder)


@app.command()
def compare(
    a: Annotated[Path, typer.Argument(help="The folder of the run before.")],
    b: Annotated[Path, typer.Argument(help="The folder of the run after.")],
    metric: Annotated[
        str | None, typer.Option(help="As in run.json. By default the dataset's headline.")
    ] = None,
    max_drop: Annotated[
        float, typer.Option(min=0, help="By so much the metric may fall, 0.01 for a point.")
    ] = 0.0,
    as_json: Json = False,
) -> None:
    """Say whether run B is worse than run A, and which queries flipped.

    Exit status 1 if the metric fell by more than --max-drop and the 95% interval of the difference
    (paired bootstrap over the queries) excludes 0; 2 if the runs can't be compared.
    """
    comparison = compare_runs(a, b, metric, max_drop)
    if as_json:
        _print_json(_comparison_json(comparison))
    else:
        _print_comparison(comparison)
    if comparison.worse:
        raise typer.Exit(1)


@app.command()
def selftest(as_json: Json = False) -> None:
    """Check the workbench itself on made-up embeddings; seconds, no weights, no network.

    Exit status 1 if any canary is dead: then no figure can be trusted.
    """
    canaries = run_canaries()
    if as_json:
        _print_json([asdict(canary) for canary in canaries])
    else:
        for canary in canaries:
            print(f"{'ok  ' if canary.alive else 'DEAD'}  {canary.name}: {canary.detail}")
    if not all(canary.alive for canary in canaries):
        raise typer.Exit(1)


def _is_here(spec: Spec) -> bool:
    """Whether its folder is there; whether it is whole, loading it tells."""
    try:
        folder = root_of(spec)
    except DatasetError:
        return False
    return folder is None or folder.is_dir()


def _places(text: str) -> list[int]:
    try:
        places = sorted({int(part) for part in text.split(",")})
    except ValueError as error:
        raise typer.BadParameter("--k takes whole numbers with commas between: 1,5,10") from error
    if places[0] < 1:
        raise typer.BadParameter("--k counts places: at least 1")
    return places


def _print_outcome(outcome: Outcome, folder: Path) -> None:
    run = outcome.run
    counts = run.counts
    print(f"Weights:  {_weights_text(run)}")
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


def _weights_text(run: Run) -> str:
    name = run.weights.name if run.weights.trained else run.weights.name.upper()
    return f"{name}, fingerprint {run.weights.fingerprint}"


def _comparison_json(comparison: Comparison) -> dict[str, Any]:
    found = comparison.difference
    return {
        "weights": [comparison.a.weights.name, comparison.b.weights.name],
        "depth": [comparison.a.depth, comparison.b.depth],
        "metric": comparison.metric,
        "a": comparison.before,
        "b": comparison.after,
        "queries": comparison.queries,
        "difference": {"value": found.value, "ci95": list(found.ci95)},
        "max_drop": comparison.max_drop,
        "worse": comparison.worse,
        "flipped": {"k": comparison.k, "lost": comparison.lost, "won": comparison.won},
    }


def _print_comparison(comparison: Comparison) -> None:
    found = comparison.difference
    for name, run in (("A", comparison.a), ("B", comparison.b)):
        deep = "" if run.depth is None else f", the first {run.depth:,} places"
        print(f"{name}: weights {_weights_text(run)}; {run.engine}; {run.backend}{deep}")
    print(
        f"{comparison.metric} on {comparison.a.dataset.id}: {comparison.before:.4f} ->"
        f" {comparison.after:.4f} over {comparison.queries:,} queries;"
        f" difference {found.value:+.4f} [{found.ci95[0]:+.4f}, {found.ci95[1]:+.4f}]"
    )
    for what, queries in (("lost", comparison.lost), ("won", comparison.won)):
        print(f"{len(queries):,} {what} (right among the first {comparison.k}, in one run only)")
        for query in queries:
            print(f"  {query}")
    verdict = "worse than A" if comparison.worse else "not shown to be worse than A"
    print(f"B is {verdict} by more than {comparison.max_drop:g}.")


def _print_json(value: Any) -> None:
    print(json.dumps(value, ensure_ascii=False, indent=2))


def main(arguments: list[str] | None = None) -> None:
    """Run the command line, by default with the process' arguments; an error is one line."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # names of files that are no UTF-8
    logging.basicConfig(level="WARNING", format="%(levelname)s %(name)s: %(message)s")
    arguments = sys.argv[1:] if arguments is None else arguments
    try:
        # The context's object: what was typed, for run.json.
        app(arguments, prog_name="python -m eval", obj=arguments)
    except (DatasetError, WorkbenchError, BogvError, OSError, ImportError) as error:
        _fail(str(error))
    except ValidationError as error:
        faults = [f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors()]
        _fail("; ".join(faults))


def _fail(message: str) -> None:
    print(f"eval: {' '.join(message.split())}", file=sys.stderr)
    sys.exit(2)


if __name__ == "__main__":
    main()

"""`latency`."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path
from typing import Annotated
from urllib.parse import urlsplit

import typer

from bogv.config import Engine, Precision, Settings
from eval.commands.shared import (
    Json,
    Out,
    PrecisionOption,
    WeightsOption,
    print_json,
    typed_command,
    weights_line,
)
from eval.latency.measure import (
    REQUESTS,
    LatencyOptions,
    LatencyOutcome,
    measure_server,
    measure_service,
    requests_table,
)
from eval.latency.report import latency_report, others_note, spread_text
from eval.latency.result import Latency
from eval.latency.service_target import ServiceSetup
from eval.report.background import share_text
from eval.report.results import write


def latency(  # noqa: PLR0913, PLR0917 - one for each option
    context: typer.Context,
    target: Annotated[
        str, typer.Option(help="`service`: in this process; or a server: http://127.0.0.1:7000.")
    ] = "service",
    images: Annotated[
        Path | None, typer.Option(help="A folder of images to send. By default bogv's samples.")
    ] = None,
    concurrency: Annotated[str, typer.Option(help="Callers in the closed loop.")] = "1,2,4,8,16",
    rates: Annotated[
        str,
        typer.Option(
            help="Requests a second in the open loop: 5,10,20. By default 25%, 50%, 75% and 90%"
            " of the closed loop's best throughput."
        ),
    ] = "",
    requests: Annotated[int, typer.Option(min=1, help="Maximum per step.")] = 200,
    seconds: Annotated[float, typer.Option(min=0.1, help="Maximum duration of a step.")] = 60,
    limit: Annotated[int, typer.Option(min=1, max=1000, help="Hits per search.")] = 10,
    timeout: Annotated[
        float, typer.Option(min=0.001, help="Time-out of a request in seconds.")
    ] = 30,
    warm_up: Annotated[int, typer.Option(min=0, help="Requests that aren't counted.")] = 20,
    weights: WeightsOption = "auto",
    engine: Annotated[Engine, typer.Option(help="The service's inference engine.")] = "auto",
    precision: PrecisionOption = "auto",
    seed: Annotated[int, typer.Option(min=0, help="Of the images' order and the arrivals.")] = 0,
    out: Out = Path("results"),
    as_json: Json = False,
) -> None:
    """Measure the latency and throughput of searches.

    The service is measured on a gallery of the images in Milvus Lite, in a temporary folder, with
    --weights and --engine. A server is measured as it is, and nothing is added to it; its token is
    taken from the variable TOKEN, not from an option, for the command is written down.
    """
    options = LatencyOptions(
        concurrency=[
            int(each) for each in _parse_numbers(concurrency, "--concurrency", whole=True)
        ],
        rates=_parse_numbers(rates, "--rates") if rates else (),
        requests=requests,
        seconds=seconds,
        limit=limit,
        timeout=timeout,
        warm_up=warm_up,
        seed=seed,
        command=typed_command(context),
    )
    outcome = _measure(target, images, options, weights, engine, precision)
    found = outcome.latency
    table = requests_table(outcome.sent)
    folder = write(out, found, {REQUESTS: table}, latency_report(found, table))
    for note in (found.weights.note, others_note(found)):
        if note is not None:
            print(note, file=sys.stderr)
    if as_json:
        print_json(found.model_dump(mode="json"))
    else:
        _print_outcome(found, folder)


def _measure(
    target: str,
    images: Path | None,
    options: LatencyOptions,
    weights: str,
    engine: Engine,
    precision: Precision,
) -> LatencyOutcome:
    settings = Settings()
    if target.startswith(("http://", "https://")):
        _check_port(target)
        token = settings.token.get_secret_value() if settings.token else None
        return measure_server(target, token, images, options)
    if target != "service":
        raise typer.BadParameter("--target is `service` or a URL: http://127.0.0.1:7000")
    with tempfile.TemporaryDirectory(prefix="bogv-latency-") as folder:
        setup = ServiceSetup(Path(folder), weights, engine, precision, settings)
        return measure_service(setup, images, options)


def _check_port(url: str) -> None:
    """Connecting to an impossible port fails deep in the event loop."""
    try:
        _ = urlsplit(url).port
    except ValueError as error:
        raise typer.BadParameter(f"--target {url} is no URL: {error}.") from error


def _parse_numbers(text: str, option: str, *, whole: bool = False) -> list[float]:
    try:
        numbers = [float(int(part) if whole else float(part)) for part in text.split(",")]
    except ValueError as error:
        raise typer.BadParameter(f"{option} takes numbers with commas between: 1,2,4") from error
    if not all(0 < number < 1e6 for number in numbers):
        raise typer.BadParameter(f"{option} takes numbers above 0")
    return numbers


def _print_outcome(found: Latency, folder: Path) -> None:
    print(f"Weights:  {weights_line(found.weights)}")
    print(f"Target:   {found.target}; {found.engine}; {found.database}, {found.gallery:,} images")
    print(f"Images:   {found.images.count:,} from {found.images.source}\n")
    for cold in found.cold:
        opening = (
            "" if cold.opening_seconds is None else f", opened in {cold.opening_seconds:.1f} s"
        )
        print(f"Cold:     first of a {cold.what} {cold.latency_ms:.1f} ms{opening}")
    names = ("p50", "p99", "p99.9")
    heads = "".join(f"  {name + ' ms [95%]':27}" for name in names)
    print(f"\n{'load':>10} {'rate/s':>8}{heads} {'max ms':>9} {'errors':>7} {'others':>7}")
    for step in found.steps:
        got = step.measured
        spread = "".join(f"  {spread_text(found, step, name):27}" for name in names)
        print(
            f"{step.label:>10} {got.throughput:8.2f}{spread} {got.latency_ms['max']:9.1f}"
            f" {sum(got.errors.values()):7,} {share_text(got.others):>7}"
        )
    print("others: CPU time that other processes used meanwhile")
    print(f"\n{folder}")

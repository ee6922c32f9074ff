"""`speed`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, get_args

import typer

from bogv.config import Precision
from eval.commands.shared import Json, Out, WeightsOption, print_json, typed_command, weights_line
from eval.report.results import write
from eval.speed.measure import measure
from eval.speed.report import cells, notes, precision_cells, speed_report
from eval.speed.result import Speed
from eval.speed.setting import SpeedOptions

UNJUDGED = 3
"""Exit status if a goal has no verdict."""


def speed(  # noqa: PLR0913, PLR0917 - one for each option
    context: typer.Context,
    images: Annotated[
        Path | None,
        typer.Option(help="A folder of images to make the inputs from. By default bogv's samples."),
    ] = None,
    count: Annotated[
        int, typer.Option(min=4, help="Images of 640 × 480. Fewer give no verdict on adding.")
    ] = SpeedOptions.count,
    large: Annotated[
        int, typer.Option(min=1, help="Images of 12 megapixels, 5 MB each. Fewer give no verdict.")
    ] = SpeedOptions.large,
    rounds: Annotated[
        int, typer.Option(min=1, help="How often bogv and the baseline are measured, in turns.")
    ] = SpeedOptions.rounds,
    gallery: Annotated[
        int, typer.Option(min=10, help="Rows that are searched.")
    ] = SpeedOptions.gallery,
    searches: Annotated[
        int, typer.Option(min=1, help="For each of 1, 8 and 16 clients, in each round.")
    ] = SpeedOptions.searches,
    soak: Annotated[
        int, typer.Option(min=1, help="Searches between two measurements of the server's memory.")
    ] = SpeedOptions.soak,
    precision: Annotated[
        list[str] | None,
        typer.Option(
            help="auto, fp32, bf16 or int8; may be repeated: the first one is measured whole, all"
            " are compared. By default bogv's own, and all that the machine has. int8 needs the"
            " model made by `bogv quantize`."
        ),
    ] = None,
    weights: WeightsOption = "auto",
    seed: Annotated[int, typer.Option(min=0, help="Of the inputs and the rows.")] = 0,
    out: Out = Path("results"),
    as_json: Json = False,
) -> None:
    """Measure bogv's speed: each stage by itself, the bound, a baseline, bogv, the ratios.

    About ten minutes on two quiet cores, in temporary folders, on Milvus Lite. Exit status 0 if
    each goal has a verdict, reached or not; 3 if one has none: other processes used more than 10%
    of the CPU, the rounds differ too much, or there were too few images.
    """
    options = SpeedOptions(
        images=images,
        count=count,
        large=large,
        rounds=rounds,
        gallery=gallery,
        searches=searches,
        soak=soak,
        weights=weights,
        precisions=_parse_precisions(precision or ["auto"]),
        seed=seed,
        command=typed_command(context),
    )
    found = measure(options)
    folder = write(out, found, {}, speed_report(found))
    for note in (found.weights.note, *notes(found)):
        if note is not None:
            print(note, file=sys.stderr)
    if as_json:
        print_json(found.model_dump(mode="json"))
    else:
        _print(found, folder)
    if found.unjudged:
        raise typer.Exit(UNJUDGED)


def _parse_precisions(given: list[str]) -> list[Precision]:
    """Raises typer.BadParameter."""
    known: dict[str, Precision] = {each: each for each in get_args(Precision)}
    unknown = [each for each in given if each not in known]
    if unknown:
        raise typer.BadParameter(f"--precision is one of {', '.join(known)}, not {unknown[0]}.")
    return [known[each] for each in given]


def _print(found: Speed, folder: Path) -> None:
    print(f"Weights:  {weights_line(found.weights)}")
    print(f"Engine:   {found.engine}, {found.cores} cores of {found.machine['processor']}")
    print(f"Inputs:   {found.n:,} of 640 × 480, {found.large:,} of 12 megapixels\n")
    for stages in found.stages:
        parts = ", ".join(f"{stage} {value:.2f}" for stage, value in stages.cpu_ms.items())
        print(f"{stages.what}, ms of one core: {parts}")
        busy = "" if stages.busy_bound is None else f"; of busy cores {stages.busy_bound:.1f}"
        print(f"  the bound: {stages.bound:.1f} images/s{busy}\n")
    for each in found.lines:
        what, baseline, bogv, ratio, spread, wanted, verdict, others = cells(each)
        spread = f" (rounds: {spread})" if spread else ""
        others = f"; others {others}" if others else ""
        print(f"{what}: {bogv}" + (f", {ratio} {baseline}" if baseline else "") + spread + others)
        if wanted:
            print(f"  to reach {wanted}: {verdict}")
    _print_precisions(found)
    for add in found.adds:
        print(f"{add.what}: {add.images:,} images, filling and draining {add.fill_share:.0%}")
    print(f"\n{folder}")


def _print_precisions(found: Speed) -> None:
    print(
        f"\n{'precision':>9} {'images/s':>9} {'single ms':>10} {'cosine to fp32':>15} {'others':>7}"
    )
    for part in found.precisions:
        name, _, rate, _, single, cosine, _, others = precision_cells(part)
        why = f" missing: {part.missing}" if part.missing else ""
        print(f"{name:>9} {rate:>9} {single:>10} {cosine:>15} {others:>7}{why}")
    print()

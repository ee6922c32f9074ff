"""Options and output shared by the commands."""

from __future__ import annotations

import json
import shlex
from pathlib import Path
from typing import Annotated, Any

import typer

from bogv.config import Precision
from eval.data.naming import printable
from eval.report.results import WeightsPart, weights_text

Json = Annotated[bool, typer.Option("--json", help="Print JSON, for scripts.")]
Root = Annotated[
    Path | None,
    typer.Option(help="The dataset's own folder. By default $BOGV_DATASETS/<its name>."),
]
WeightsOption = Annotated[
    str, typer.Option(help="auto, imagenet, untrained, or the path of a state dict.")
]
PrecisionOption = Annotated[
    Precision,
    typer.Option(help="Of the network; int8 needs the model that `python -m bogv quantize` made."),
]
Out = Annotated[Path, typer.Option(help="The parent of the result's folder.")]


def typed_command(context: typer.Context) -> str:
    """The command line, for run.json."""
    return printable(shlex.join(["python", "-m", "eval", *(context.obj or [])]))


def parse_ks(text: str) -> list[int]:
    """--k as numbers, ascending. Raises typer.BadParameter."""
    try:
        found = sorted({int(part) for part in text.split(",")})
    except ValueError as error:
        raise typer.BadParameter("--k takes integers separated by commas: 1,5,10") from error
    if found[0] < 1:
        raise typer.BadParameter("each --k must be at least 1")
    return found


def weights_line(weights: WeightsPart | None) -> str:
    """The weights, in one line."""
    if weights is None:
        return "none: synthetic vectors"
    return f"{weights_text(weights)}, fingerprint {weights.fingerprint}"


def print_json(value: Any) -> None:
    """Print JSON to stdout, with nothing else there."""
    print(json.dumps(value, ensure_ascii=False, indent=2))

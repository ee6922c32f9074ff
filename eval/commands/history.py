"""`history add`, `history list` and `history plot`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from bogv.files import atomic_write
from eval.commands.shared import Json, print_json
from eval.history.store import HISTORY, Entry, add_runs, read_history
from eval.history.trend import short_revision, trend_plot
from eval.report.results import interval_text, weights_text

app = typer.Typer(help="Keep the figures of runs, and plot them by revision.", no_args_is_help=True)

Folder = Annotated[Path, typer.Option(help=f"The folder of {HISTORY}.")]
MetricOption = Annotated[
    str | None, typer.Option(help="As in run.json. By default each dataset's headline.")
]
DEFAULT = Path("results/history")


@app.command()
def add(
    runs: Annotated[list[Path], typer.Argument(help="Folders that `run` wrote.")],
    folder: Folder = DEFAULT,
    as_json: Json = False,
) -> None:
    """Add runs; one that is there already is left as it is."""
    new = add_runs(folder, runs)
    if as_json:
        print_json([entry.model_dump(mode="json") for entry in new])
    else:
        print(f"{len(new)} added, {len(runs) - len(new)} there already: {folder / HISTORY}")


@app.command("list")
def list_entries(
    folder: Folder = DEFAULT, metric: MetricOption = None, as_json: Json = False
) -> None:
    """List the runs in the order in which they were added."""
    entries = read_history(folder)
    if as_json:
        print_json([entry.model_dump(mode="json") for entry in entries])
        return
    for entry in entries:
        print(_row(entry, metric or entry.headline))


@app.command()
def plot(
    to: Annotated[Path | None, typer.Option(help="The PNG. By default beside the history.")] = None,
    folder: Folder = DEFAULT,
    metric: MetricOption = None,
    as_json: Json = False,
) -> None:
    """Plot a metric by revision: a line for each dataset, digest, setting, engine and weights."""
    target = to or folder / "trend.png"
    png = trend_plot(read_history(folder), metric)
    with atomic_write(target) as partial:
        partial.write_bytes(png)
    if as_json:
        print_json({"plot": str(target)})
    else:
        print(target)


def _row(entry: Entry, name: str) -> str:
    mean = entry.metrics.get(name)
    value = "-" if mean is None else f"{mean.value:.4f} {interval_text(mean)}"
    return (
        f"{entry.date}  {short_revision(entry.revision):9} {entry.dataset:14} {entry.digest}"
        f"  {entry.settings or 'own'}, {entry.backend}, {entry.engine},"
        f" {weights_text(entry.weights)} {entry.weights.fingerprint}  {name} {value}"
    )

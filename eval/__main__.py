"""The workbench's command line: `python -m eval --help`."""

from __future__ import annotations

import io
import logging
import sys

import typer
from pydantic import ValidationError

from bogv.errors import BogvError
from eval.commands.ann import ann
from eval.commands.compare import compare
from eval.commands.copies import copies
from eval.commands.datasets import fetch, list_command
from eval.commands.history import app as history
from eval.commands.judge import app as judge
from eval.commands.latency import latency
from eval.commands.robustness import robustness
from eval.commands.run import run
from eval.commands.scale import scale
from eval.commands.selftest import selftest
from eval.commands.speed import speed
from eval.commands.sweep import sweep
from eval.data.catalogue import DatasetError
from eval.errors import WorkbenchError

app = typer.Typer(
    help="Measure how well and how fast bogv searches, on public datasets or your own folder: see"
    " eval/README.md. An error prints one line and exits with status 2.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.command("list")(list_command)
for command in (
    fetch,
    run,
    robustness,
    copies,
    ann,
    latency,
    speed,
    scale,
    sweep,
    compare,
    selftest,
):
    app.command()(command)
app.add_typer(history, name="history")
app.add_typer(judge, name="judge")


def main(arguments: list[str] | None = None) -> None:
    """Run the command line, by default with the process' arguments; errors print one line."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # for file names that aren't UTF-8
    logging.basicConfig(level="WARNING", format="%(levelname)s %(name)s: %(message)s")
    arguments = sys.argv[1:] if arguments is None else arguments
    try:
        # The context's object: the command line, for run.json.
        app(arguments, prog_name="python -m eval", obj=arguments)
    except (DatasetError, WorkbenchError, BogvError, OSError, ImportError) as error:
        _fail(str(error))
    except MemoryError as error:
        _fail(f"There is not enough memory. {error}")
    except ValidationError as error:
        problems = [f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors()]
        _fail("; ".join(problems))


def _fail(message: str) -> None:
    print(f"eval: {' '.join(message.split())}", file=sys.stderr)
    sys.exit(2)


if __name__ == "__main__":
    main()

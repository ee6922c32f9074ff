"""`selftest`."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer

from eval.commands.shared import Json, print_json
from eval.selftest import selftest as run_canaries
from eval.statistics.simulation import DRAWS, SimulationRow, simulate


def selftest(
    statistics: Annotated[
        bool,
        typer.Option(help="Simulate how often intervals hold and tests raise false alarms."),
    ] = False,
    draws: Annotated[
        int, typer.Option(min=100, help="Of each design of --statistics; takes a minute at 1000.")
    ] = DRAWS,
    as_json: Json = False,
) -> None:
    """Check the workbench itself on synthetic embeddings: takes seconds, needs no weights.

    With --statistics, check its intervals and tests instead, on datasets whose truth is known.

    Exit status 1 if anything fails: then no figure can be trusted.
    """
    if not (_simulate(draws, as_json) if statistics else _run_canaries(as_json)):
        raise typer.Exit(1)


def _run_canaries(as_json: bool) -> bool:
    canaries = run_canaries()
    if as_json:
        print_json([asdict(canary) for canary in canaries])
    else:
        for canary in canaries:
            print(f"{'ok  ' if canary.alive else 'DEAD'}  {canary.name}: {canary.detail}")
    return all(canary.alive for canary in canaries)


def _simulate(draws: int, as_json: bool) -> bool:
    rows = []
    for row in simulate(draws):
        rows.append(row)
        if not as_json:
            print(_line(row), flush=True)
    if as_json:
        print_json([asdict(row) for row in rows])
    return all(row.held for row in rows)


def _line(row: SimulationRow) -> str:
    low, high = row.expected
    return (
        f"{'ok    ' if row.held else 'FAILED'}  {row.figure:12}  {row.value:.3f}"
        f"  ({low:g} to {high:g})  {row.what}"
    )

"""`selftest`."""

from __future__ import annotations

from dataclasses import asdict

import typer

from eval.commands.shared import Json, print_json
from eval.selftest import selftest as run_canaries


def selftest(as_json: Json = False) -> None:
    """Check the workbench itself on synthetic embeddings: takes seconds, needs no weights.

    Exit status 1 if any canary is dead: then no figure can be trusted.
    """
    canaries = run_canaries()
    if as_json:
        print_json([asdict(canary) for canary in canaries])
    else:
        for canary in canaries:
            print(f"{'ok  ' if canary.alive else 'DEAD'}  {canary.name}: {canary.detail}")
    if not all(canary.alive for canary in canaries):
        raise typer.Exit(1)

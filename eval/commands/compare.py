"""`compare`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from eval.ann.result import Ann
from eval.commands.shared import Json, print_json, weights_line
from eval.copies.compare import compare_copies
from eval.errors import WorkbenchError
from eval.latency.result import Latency
from eval.report.comparison import Comparison, Flips, compare_independent
from eval.report.results import Result, read_kind, read_result
from eval.retrieval.compare import compare_runs
from eval.retrieval.result import Run
from eval.robustness.compare import compare_robustness

INDEPENDENT: dict[str, type[Result]] = {"ann": Ann, "latency": Latency}
"""Kinds of results without common queries."""


def compare(
    a: Annotated[Path, typer.Argument(help="The folder of the result before.")],
    b: Annotated[list[Path], typer.Argument(help="The folders of one or more results after.")],
    metric: Annotated[
        list[str] | None,
        typer.Option(help="As in run.json; may be repeated. By default the headline."),
    ] = None,
    max_drop: Annotated[
        float,
        typer.Option(min=0, help="The margin of a non-inferiority test, 0.01 for a point."),
    ] = 0.0,
    as_json: Json = False,
) -> None:
    """Say whether result B is worse than result A: of run, robustness, copies, ann or latency.

    Runs, robustness and copies are compared query by query, over the sampling units (classes,
    groups, landmarks, originals); of runs, the queries that flipped are listed. Several comparisons
    are corrected by Holm's method.

    Without --max-drop, exit status 1 if B is shown to be worse. With it, exit status 1 unless B is
    shown to be worse by no more than that (non-inferiority). 2 if they can't be compared.
    """
    comparisons = _compare(a, b, metric or [], max_drop)
    if as_json:
        print_json({"comparisons": [_comparison_json(each) for each in comparisons]})
    else:
        for each in comparisons:
            _print_comparison(each)
    if any(each.fails for each in comparisons):
        raise typer.Exit(1)


def _compare(
    a: Path, others: Sequence[Path], metrics: Sequence[str], max_drop: float
) -> list[Comparison]:
    kind = read_kind(a)
    for other in others:
        if read_kind(other) != kind:
            raise WorkbenchError(
                f"The runs can't be compared: one is of {kind!r}, {other} of {read_kind(other)!r}."
            )
    if kind == "run":
        return compare_runs(a, others, metrics, max_drop)
    if kind == "robustness":
        return compare_robustness(a, others, metrics, max_drop)
    if kind == "copies":
        return compare_copies(a, others, metrics, max_drop)
    if kind not in INDEPENDENT:
        raise WorkbenchError(f"Results of {kind!r} have no comparison.")
    before, *afters = (read_result(path, INDEPENDENT[kind]) for path in (a, *others))
    return compare_independent(before, afters, metrics, max_drop)


def _comparison_json(comparison: Comparison) -> dict[str, Any]:
    found, a, b = comparison.difference, comparison.a, comparison.b
    return {
        "weights": [each.weights.name if each.weights else None for each in (a, b)],
        "settings": [each.settings.model_dump() for each in (a, b) if isinstance(each, Run)],
        "metric": comparison.metric,
        "a": comparison.before,
        "b": comparison.after,
        "n": comparison.n,
        "units": found.units,
        "difference": {"value": found.value, "ci95": found.ci95},
        "detectable": found.detectable,
        "p_worse": comparison.p_worse,
        "max_drop": comparison.max_drop,
        "verdict": comparison.verdict,
        "flipped": _flips_json(comparison.flips),
    }


def _flips_json(flips: Flips | None) -> dict[str, Any] | None:
    return None if flips is None else {"k": flips.k, "lost": flips.lost, "won": flips.won}


def _print_comparison(comparison: Comparison) -> None:
    for name, result in (("A", comparison.a), ("B", comparison.b)):
        print(f"{name}: weights {weights_line(result.weights)}{_run_text(result)}")
    found = comparison.difference
    ends = "no interval" if found.ci95 is None else f"[{found.ci95[0]:+.4f}, {found.ci95[1]:+.4f}]"
    print(
        f"{comparison.metric}: {comparison.before:.4f} -> {comparison.after:.4f}, n ="
        f" {comparison.n:,} in {found.units:,} units; difference {found.value:+.4f} {ends},"
        f" p {comparison.p_worse:.3f}"
    )
    if comparison.flips is not None:
        _print_flips(comparison.flips)
    print(_verdict_text(comparison))


def _run_text(result: Result) -> str:
    if not isinstance(result, Run):
        return ""
    deep = "" if result.depth is None else f", the top {result.depth:,} ranks"
    return f"; {result.engine}; {result.backend}{deep}\n   {result.settings.text}"


def _print_flips(flips: Flips) -> None:
    for what, queries in (("lost", flips.lost), ("won", flips.won)):
        print(f"{len(queries):,} {what} (right in the top {flips.k}, in one run only)")
        for query in queries:
            print(f"  {query}")


def _verdict_text(comparison: Comparison) -> str:
    margin, found = f"{comparison.max_drop:g}", comparison.difference
    words = {
        "worse": f"B is worse than A by more than {margin}.",
        "not worse": f"B is worse than A by at most {margin}, or not at all.",
        "undecided": f"B is not shown to be worse than A, nor to be within {margin} of it.",
    }
    power = (
        ""
        if found.detectable is None
        else (f" A drop of {found.detectable:.4f} would be found in 4 of 5 such comparisons.")
    )
    return words[comparison.verdict] + power

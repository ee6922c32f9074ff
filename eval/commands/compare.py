"""`compare`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from eval.commands.shared import Json, print_json, weights_line
from eval.retrieval.compare import Comparison
from eval.retrieval.compare import compare as compare_runs


def compare(
    a: Annotated[Path, typer.Argument(help="The folder of the run before.")],
    b: Annotated[Path, typer.Argument(help="The folder of the run after.")],
    metric: Annotated[
        str | None, typer.Option(help="As in run.json. By default the dataset's headline.")
    ] = None,
    max_drop: Annotated[
        float, typer.Option(min=0, help="The metric's largest acceptable drop; a point is 0.01.")
    ] = 0.0,
    as_json: Json = False,
) -> None:
    """Say whether run B is worse than run A, and which queries flipped.

    Exit status 1 if the metric fell by more than --max-drop and the 95% interval of the difference
    (paired bootstrap over the queries) excludes 0; 2 if the runs can't be compared.
    """
    comparison = compare_runs(a, b, metric, max_drop)
    if as_json:
        print_json(_comparison_json(comparison))
    else:
        _print_comparison(comparison)
    if comparison.worse:
        raise typer.Exit(1)


def _comparison_json(comparison: Comparison) -> dict[str, Any]:
    found = comparison.difference
    return {
        "weights": [comparison.a.weights.name, comparison.b.weights.name],
        "settings": [comparison.a.settings.model_dump(), comparison.b.settings.model_dump()],
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
        deep = "" if run.depth is None else f", the top {run.depth:,} ranks"
        print(f"{name}: weights {weights_line(run.weights)}; {run.engine}; {run.backend}{deep}")
        print(f"   {run.settings.text}")
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

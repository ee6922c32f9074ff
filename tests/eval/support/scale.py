"""A small gallery's growth."""

from __future__ import annotations

from eval.harness.synthetic import Clustered
from eval.scale.result import Scale, ScalePoint, SearchFigures

DISTRIBUTION = Clustered(dimension=16, clusters=4)


def made(*, lite: bool = True) -> Scale:
    searched = SearchFigures(queries=9, p50_ms=4.5, p99_ms=7.25, ann_recall=0.998, others=0.02)
    points = [
        ScalePoint(
            rows=rows,
            add_rate=2000,
            add_others=0.4,
            build_seconds=rows / 1000,
            building=searched.model_copy(update={"ann_recall": 0.875}),
            built=searched,
            restart_seconds=0.5,
            restart_others=None,
            memory_mib=rows / 100 if lite else None,
            disk_mib=rows / 50 if lite else None,
        )
        for rows in (1000, 10_000)
    ]
    return Scale(
        weights=None,
        command="python -m eval scale",
        n=9,
        seed=0,
        metrics={
            "ann_recall@10@1000": {"value": 0.998, "ci95": (0.99, 1)},
            **{
                f"search_{name}_ms@{rows}": {"value": value, "ci95": (4, 9.5)}
                for rows in (1000, 10_000)
                for name, value in (("p50", 4.5), ("p99", 7.25))
            },
        },
        revision=None,
        machine={"processor": "abacus", "cores": 2},
        packages={},
        seconds={},
        database="Milvus Lite" if lite else "Milvus server",
        dimension=2048,
        k=10,
        others=0.4,
        points=points,
    )

from __future__ import annotations

from typing import Any

from eval.retrieval.ablation_result import (
    Ablation,
    AblationStep,
    MetricLoss,
    StepMetric,
    ablation_table,
)


def test_the_table_shows_losses_in_points_and_missing_steps() -> None:
    def step(name: Any, value: float, loss: MetricLoss | None) -> AblationStep:
        cost = StepMetric(value=value, loss=loss)
        return AblationStep(
            name=name, what=name, queries=1200, gallery=5, metrics={"ns": cost, "map": cost}
        )

    steps = [
        step("exact", 0.5, None),
        step("milvus", 0.4875, MetricLoss(value=0.0125, ci95=(-0.001, 0.03))),
    ]
    table = ablation_table(Ablation(depth=1000, steps=steps, left_out={"rest": "no service."}))
    assert table.columns[:5] == ["after", "queries", "gallery", "ns", "ns: loss, points"]
    first, second = table.rows
    assert first == ["exact", "1,200", "5", "0.5000", "–", "0.5000", "–"]
    assert second[3:] == ["0.4875", "+0.01 [+0.00, +0.03]", "0.4875", "+1.25 [-0.10, +3.00]"]
    assert "end at rank 1,000" in table.caption
    assert "Not measured: rest, for no service." in table.caption

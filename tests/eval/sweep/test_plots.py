from __future__ import annotations

import numpy as np
import pytest

from eval.report import plots
from eval.sweep.plots import Box, front_figure, place_labels
from eval.sweep.result import Front
from eval.sweep.settings import SweptSettings
from tests.eval.support.sweep import make_row, make_sweep

FRAME = Box(0, 0, 600, 400)


def test_labels_meet_no_other_label_or_point_and_stay_inside() -> None:
    drawn = np.random.default_rng(0).uniform((20, 20), (580, 380), (40, 2))
    points = [(float(x), float(y)) for x, y in drawn]
    texts = [f"setting {number}" for number in range(40)]
    boxes = [
        Box(x, y, x + 0.62 * 10 * len(text), y + 12.5)
        for text, corner in zip(texts, place_labels(points, texts, FRAME, 10), strict=True)
        if corner is not None
        for x, y in [corner]
    ]
    assert len(boxes) > 30
    for number, box in enumerate(boxes):
        assert not any(box.meets(other) for other in boxes[:number])
        assert not any(box.left < x < box.right and box.bottom < y < box.top for x, y in points)
        assert box.left >= 0 <= box.bottom
        assert box.right <= 600
        assert box.top <= 400


def test_a_label_without_room_is_left_out_and_the_first_ones_stay() -> None:
    points = [(300.0, 200.0)] * 60
    found = place_labels(points, ["a long name of a setting"] * 60, FRAME)
    assert found[0] is not None
    assert None in found


@pytest.mark.parametrize("cost", ["ms", "bytes"])
def test_a_figure_has_a_panel_for_each_dataset_with_figures(cost: Front) -> None:
    settings = [
        SweptSettings(),
        SweptSettings(pooling="gem"),
        SweptSettings(pooling="mac", size=448),
    ]
    rows = [
        make_row(each.title, 0.5 + n / 10, 10 + n, dataset=name, fronts=["ms", "bytes"])
        for name in ("one", "two")
        for n, each in enumerate(settings)
    ]
    failed = make_row("default", 0.5, 10, dataset="three").model_copy(update={"mean": None})
    figure = front_figure(make_sweep([*rows, failed], settings), cost)
    assert figure.name == f"quality-{cost}"
    assert int.from_bytes(figure.png[16:20], "big") == 12 * plots.DPI
    assert int.from_bytes(figure.png[20:24], "big") == 2 * 7 * plots.DPI
    assert figure == front_figure(make_sweep([*rows, failed], settings), cost)

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from eval.data.datasets import load
from eval.embedding.settings import prepare_input
from eval.sweep import cost
from eval.sweep.cost import measure_costs, sample_images
from eval.sweep.settings import SweptSettings
from tests.eval.support.sweep import make_loading
from tests.support.fakes import png

OWN, LARGE = SweptSettings(), SweptSettings(size=448)


def test_images_are_spread_over_the_dataset(root: Path) -> None:
    dataset = load("folder", root)
    three = sample_images(dataset, 3)
    assert three == [dataset.items[place].read() for place in (0, 7, 15)]
    assert len(sample_images(dataset, 99)) == 16


def test_a_setting_takes_turns_with_the_baseline(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, networks: None
) -> None:
    turns: list[str] = []
    slower = iter(range(1, 100))

    def timed(_loading: Any, _decoder: Any, _images: Any, settings: SweptSettings) -> float:
        turns.append(settings.title)
        return (4.0 if settings.size == 448 else 1.0) * (1 + (next(slower) - 1) // 2)

    monkeypatch.setattr(cost, "_ms_of_an_image", timed)
    own, large = measure_costs(make_loading(tmp_path), [png(1), png(2)], [OWN, LARGE])
    assert turns == ["default"] * 3 + ["default", "448 px"] * 3
    assert (own.ratio, own.lowest, own.highest) == (1, 1, 1)
    assert large.ratio == pytest.approx(large.ms / own.ms, abs=0.01)
    assert large.lowest <= large.ratio <= large.highest


def test_all_scales_and_mirrors_are_embedded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, networks: None
) -> None:
    shapes: list[tuple[int, bool]] = []
    whole = prepare_input

    def count(data: bytes, decoder: Any, settings: Any, *, mirror: bool) -> Any:
        shapes.append((settings.size, mirror))
        return whole(data, decoder, settings, mirror=mirror)

    monkeypatch.setattr(cost, "prepare_input", count)
    monkeypatch.setattr(cost, "ROUNDS", 1)
    several = SweptSettings(scales=(1, 0.7071), tta="flip", precision="fp32")
    [found] = measure_costs(make_loading(tmp_path), [png(1), png(2)], [several])
    assert found.ms > 0
    assert set(shapes) == {(160, False), (160, True), (224, False), (224, True)}


def test_a_gpu_is_timed_by_the_clock() -> None:
    assert cost._clock("openvino cpu bf16").__name__ == "seconds"
    assert cost._clock("torch cuda bf16").__name__ == "<lambda>"

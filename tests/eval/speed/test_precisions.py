from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bogv.embedding.weights import DIMENSION, resolve
from bogv.errors import EngineFailed, WeightsUnavailable
from eval.speed import precisions
from eval.speed.precisions import PrecisionRun, compare_precisions, embed_images
from eval.speed.setting import PRECISIONS, Setting


def run_of(rate: float, angle: float) -> PrecisionRun:
    vectors = np.zeros((3, DIMENSION), np.float32)
    vectors[:, 0], vectors[:, 1] = np.cos(angle), np.sin(angle)
    return PrecisionRun(f"fake {rate:g}", rate, 1000 / rate, vectors, 0.02)


@pytest.fixture
def ran(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The precisions in the order in which they are measured, on a machine without bf16."""
    measured: list[str] = []

    def run(_: Any, setting: Setting, *__: object) -> PrecisionRun:
        if setting.precision == "bf16":
            raise EngineFailed("This CPU doesn't support bf16")
        measured.append(setting.precision)
        angle, rate = (0.0, 20.0) if setting.precision == "fp32" else (0.1, 60.0)
        return run_of(rate * (1 + measured.count(setting.precision) / 10), angle)

    def with_precision(self: Setting, precision: Any) -> Setting:
        return Setting(self.data, self.weights, self.engine, precision, 1, 1)

    monkeypatch.setattr(precisions, "run_in_process", run)
    monkeypatch.setattr(Setting, "with_precision", with_precision)
    return measured


def test_precisions_are_measured_in_turns_and_missing_ones_say_why(
    setting: Setting, ran: list[str]
) -> None:
    fp32, bf16, int8 = compare_precisions(setting, PRECISIONS, [], 2, lambda _: None)
    assert ran == ["fp32", "int8"] * 2
    assert (fp32.cosine_mean, fp32.cosine_min) == (1, 1)
    assert bf16.missing == "This CPU doesn't support bf16"
    assert bf16.rate is None
    assert (int8.rate, int8.rates) == (69, (66, 72))
    assert int8.cosine_mean == pytest.approx(np.cos(0.1), abs=1e-5)
    assert int8.single_ms == pytest.approx((1000 / 66 + 1000 / 72) / 2, abs=1e-3)
    assert int8.others == 0.02


def test_a_precision_alone_is_still_compared_with_fp32(setting: Setting, ran: list[str]) -> None:
    [int8] = compare_precisions(setting, ["int8"], [], 1, lambda _: None)
    assert ran == ["int8", "fp32"]
    assert int8.cosine_mean == pytest.approx(np.cos(0.1), abs=1e-5)


def test_int8_needs_its_model(
    setting: Setting, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BOGV_DATA_DIR", str(tmp_path / "mine"))
    untrained = Setting(setting.data, resolve("untrained"), "auto", "auto", 1, 1)
    with pytest.raises(WeightsUnavailable, match=r"There is no int8 model.*mine"):
        untrained.with_precision("int8")
    assert untrained.with_precision("fp32").precision == "fp32"


def test_images_are_embedded_one_by_one_and_in_bulk(setting: Setting, paths: list[Path]) -> None:
    run = embed_images(setting, paths)
    assert run.engine == "fake"
    assert run.vectors.shape == (3, DIMENSION)
    assert np.linalg.norm(run.vectors, axis=1) == pytest.approx([1, 1, 1])
    assert run.rate > 0
    assert run.single_ms > 0

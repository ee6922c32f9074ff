from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from bogv.ingest import BATCH
from eval.speed import adding
from eval.speed.adding import AddRun, make_bulk_add, measure_large, measure_small
from eval.speed.setting import Setting
from eval.speed.worker import WorkTiming

CPU = {"decode and resize": 5.0, "embed": 20.0}
NAMES = {"add_by_baseline": "usual", "add_images": "bogv", "measure_stages": "stages"}


class FakeProcesses:
    """`run_in_process` with made-up results, on a machine that slows down by half midway."""

    def __init__(self, others: float = 0.0) -> None:
        self.ran: list[str] = []
        self.environments: dict[str, dict[str, str]] = {}
        self._others = others

    def __call__(self, work: Callable[..., Any], *arguments: Any, **environment: str) -> Any:
        name = NAMES.get(work.__name__, work.__name__)
        self.ran.append(name)
        self.environments[name] = environment
        if name == "stages":
            return CPU
        if name == "measure_baseline_stages":
            return {"decode and resize": 10.0, "embed": 140.0}
        slow = 2 if self.ran.count(name) > 1 else 1
        images = arguments[3]
        whole = name == "bogv" and not arguments[4]
        rate = (40 if whole else 5) / slow
        return WorkTiming(len(images) / rate, len(images), self._others, 0.04)


@pytest.fixture
def run_of(
    setting: Setting, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[[FakeProcesses], AddRun]:
    def make(processes: FakeProcesses) -> AddRun:
        monkeypatch.setattr(adding, "run_in_process", processes)
        monkeypatch.setattr(adding, "run_in_processes", lambda *_, **__: [CPU, CPU])
        monkeypatch.setattr(adding, "cpu_count", lambda: 2)
        return AddRun(setting, tmp_path, rounds=2, report_step=lambda _: None)

    return make


PATHS = [Path(f"{number}.jpg") for number in range(BATCH + 100)]


def test_bogv_and_the_baseline_are_measured_in_turns(run_of: Any) -> None:
    processes = FakeProcesses()
    found = measure_small(run_of(processes), PATHS, "openvino cpu bf16")
    assert processes.ran[:6] == ["stages", "usual", "bogv"] * 2
    add, cpu, share, _ = found.lines
    assert (add.ratio, add.spread, add.reached) == (8, (8, 8), True)
    assert (cpu.baseline, cpu.bogv, cpu.ratio, cpu.goal) == (150, 25, 6, None)
    assert share.spread == (0.25, 0.5)
    assert "the bound (80.0 images/s)" in share.what
    assert [stages.what for stages in found.stages] == ["640 × 480", "640 × 480, the usual way"]


def test_processor_time_is_measured_with_one_thread(run_of: Any) -> None:
    processes = FakeProcesses()
    measure_small(run_of(processes), PATHS, "openvino cpu f32")
    for name in ("stages", "measure_baseline_stages"):
        assert processes.environments[name]["OMP_NUM_THREADS"] == "1"
    assert processes.environments["bogv"] == {}


def test_a_busy_machine_gets_no_verdict_on_adding(run_of: Any) -> None:
    found = measure_small(run_of(FakeProcesses(0.23)), PATHS, "openvino cpu int8")
    add, cpu, share, _ = found.lines
    assert add.unjudged == share.unjudged == "other processes used 23% of the CPU"
    assert cpu.unjudged is None


def test_large_images_are_compared_with_decoding_at_full_size_in_turns(run_of: Any) -> None:
    processes = FakeProcesses()
    found = measure_large(run_of(processes), PATHS)
    assert processes.ran == ["stages", "stages", *["bogv"] * 4]
    assert found.lines[0].against == "full-size decode"
    assert [add.what for add in found.adds] == ["12 megapixels", "12 megapixels, full-size decode"]
    assert found.adds[0].images == len(PATHS) - 3


def test_the_count_of_images_and_batches_is_told() -> None:
    rounds = [WorkTiming(5.0, 7 * BATCH, 0.0, fill) for fill in (0.02, 0.05, 0.3)]
    add = make_bulk_add("640 × 480", rounds)
    assert (add.images, add.batches, add.fill_share) == (224, 7, 0.05)
    assert add.rates == [44.8] * 3

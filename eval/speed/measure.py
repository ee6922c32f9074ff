"""The speed of bogv: each stage by itself, the bound they give, the baseline, bogv, the ratios.

The bound of a pipeline is the processor time of its stages, each measured alone on one core, added
up and divided by the cores: no order of work can be faster. Everything runs in processes of its
own on the same inputs, one after the other, so that a ratio compares two things of the same hour.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from os import cpu_count
from pathlib import Path

from tqdm import tqdm

from bogv.ingest import BATCH
from eval.harness.cpu import BackgroundLoad
from eval.harness.processes import run_in_process, run_in_processes
from eval.report.machine import describe_environment
from eval.report.results import Mean, weights_part
from eval.speed.inputs import LARGE, SMALL, find_sources, make_inputs
from eval.speed.result import Goal, Line, Speed, Stages, bound, make_line
from eval.speed.server import measure_searches, measure_starts
from eval.speed.setting import Setting, SpeedOptions, make_setting
from eval.speed.worker import WorkTiming, add_by_baseline, add_images, engine_of, measure_stages

USUAL_ADDS = 40
"""Images for the baseline, which is slow, with little variance."""
WARM_UP = 3
"""Images added before the timing, where a whole batch would take too long."""
USUAL = "the usual way"
MOST_PROCESSES = 8
"""Each holds a network; as many tell how fast busy cores are."""

# Goals, by the engine's precision.
ADD_RATIO = {"bf16": 7.0, "int8": 9.0}
BOUND_SHARE = Goal(of="bogv", at_least=0.85)
LARGE_RATIO = Goal(of="ratio", at_least=3)


@dataclass
class _Found:
    """The results so far."""

    lines: list[Line] = field(default_factory=list)
    stages: list[Stages] = field(default_factory=list)
    metrics: dict[str, Mean] = field(default_factory=dict)


def measure(options: SpeedOptions) -> Speed:
    """Everything, in some minutes. Raises WorkbenchError, and what bogv raises."""
    begun, others, found = time.perf_counter(), BackgroundLoad(), _Found()
    with tempfile.TemporaryDirectory(prefix="bogv-speed-") as name:
        folder = Path(name)
        setting = make_setting(options, folder / "data")
        source, paths = find_sources(options.images, folder / "samples")
        report_step = _Progress(options.progress)
        with report_step:
            report_step("making the inputs")
            small, large = _make_inputs(paths, folder, options)
            report_step("starting")
            starts = measure_starts(setting, folder, small[0])
            engine = run_in_process(engine_of, setting)
            _add_small(found, setting, folder, small, engine, report_step)
            _add_large(found, setting, folder, large, report_step)
            lines, found.metrics = measure_searches(setting, folder, small, options, report_step)
        found.lines += [*lines, *starts]
    return Speed(
        weights=weights_part(setting.weights.name, setting.weights.fingerprint),
        command=options.command,
        n=options.count,
        seed=options.seed,
        metrics=found.metrics,
        **describe_environment(),
        seconds={"whole": round(time.perf_counter() - begun, 1)},
        engine=engine,
        precision=options.precision,
        images=source,
        large=options.large,
        gallery=options.gallery,
        searches=options.searches,
        soak=options.soak,
        cores=cpu_count() or 1,
        others=_rounded(others.share()),
        stages=found.stages,
        lines=found.lines,
    )


def _make_inputs(
    paths: Sequence[Path], folder: Path, options: SpeedOptions
) -> tuple[list[Path], list[Path]]:
    """Small and large ones, those of the warm-up first."""
    small = make_inputs(paths, folder / "small", BATCH + options.count, SMALL, options.seed)
    large = make_inputs(paths, folder / "large", WARM_UP + options.large, LARGE, options.seed)
    return small, large


class _Progress:
    """The progress bar, one step for each measurement."""

    STEPS = 13

    def __init__(self, shown: bool) -> None:
        self._bar = tqdm(total=self.STEPS, unit="step", disable=not shown)
        self._begun = False

    def __enter__(self) -> None:
        return None

    def __exit__(self, *_: object) -> None:
        self._bar.close()

    def __call__(self, step: str) -> None:
        """The next step begins."""
        self._bar.update(int(self._begun))
        self._begun = True
        self._bar.set_description(step)


# Adding


def _add_small(
    found: _Found,
    setting: Setting,
    folder: Path,
    paths: Sequence[Path],
    engine: str,
    report_step: Callable[[str], None],
) -> None:
    warm_up, images = paths[:BATCH], paths[BATCH:]
    report_step("each stage alone, 640 × 480")
    stages = _measure_stages_of(found, "640 × 480", setting, folder / "stages", images)
    report_step("the same on every core at once")
    busy = _measure_busy_bound(setting, folder / "busy", images)
    found.stages[-1] = stages = stages.model_copy(update={"busy_bound": busy})
    report_step("adding the usual way")
    usual = run_in_process(
        add_by_baseline, setting, folder / "usual", warm_up[:WARM_UP], images[:USUAL_ADDS]
    )
    report_step("adding")
    bogv = run_in_process(add_images, setting, folder / "added", warm_up, images, False)
    wanted = ADD_RATIO.get(engine.rsplit(" ", 1)[-1])
    goal = None if wanted is None else Goal(of="ratio", at_least=wanted)
    found.lines += [
        *_add_lines("640 × 480", bogv, usual, USUAL, goal),
        _bound_line(bogv, stages),
        make_line(
            f"bulk add, 640 × 480: share of the bound of busy cores ({busy:.1f} images/s)",
            "",
            bogv.rate / busy,
        ),
    ]


def _add_large(
    found: _Found,
    setting: Setting,
    folder: Path,
    paths: Sequence[Path],
    report_step: Callable[[str], None],
) -> None:
    warm_up, images = paths[:WARM_UP], paths[WARM_UP:]
    report_step("each stage alone, 12 megapixels")
    stages = _measure_stages_of(found, "12 megapixels", setting, folder / "large-stages", images)
    report_step("adding 12 megapixels")
    bogv = run_in_process(add_images, setting, folder / "large-added", warm_up, images, False)
    report_step("adding 12 megapixels, full-size decode")
    full = run_in_process(add_images, setting, folder / "large-full", warm_up, images, True)
    found.lines += [
        *_add_lines("12 megapixels", bogv, full, "full-size decode", LARGE_RATIO),
        _bound_line(bogv, stages, judged=False),
    ]


def _measure_stages_of(
    found: _Found, what: str, setting: Setting, folder: Path, paths: Sequence[Path]
) -> Stages:
    cpu = run_in_process(measure_stages, setting, folder, paths)
    stages = Stages(
        what=what,
        images=len(paths),
        cpu_ms={stage: round(value, 3) for stage, value in cpu.items()},
        bound=round(bound(cpu, cpu_count() or 1), 3),
    )
    found.stages.append(stages)
    return stages


def _measure_busy_bound(setting: Setting, folder: Path, paths: Sequence[Path]) -> float:
    cores = min(cpu_count() or 1, MOST_PROCESSES)
    each = run_in_processes(
        measure_stages, [(setting, folder / f"{n}", paths, n) for n in range(cores)]
    )
    means = {stage: sum(cpu[stage] for cpu in each) / cores for stage in each[0]}
    return round(bound(means, cpu_count() or 1), 3)


def _add_lines(
    what: str, bogv: WorkTiming, other: WorkTiming, against: str, goal: Goal | None
) -> list[Line]:
    return [
        make_line(
            f"bulk add, {what}",
            "images/s",
            bogv.rate,
            baseline=other.rate,
            against=against,
            goal=goal,
        ),
        make_line(
            f"bulk add, {what}: processor time of an image",
            "ms",
            bogv.cpu_ms,
            baseline=other.cpu_ms,
            against=against,
            less_is_better=True,
        ),
    ]


def _bound_line(bogv: WorkTiming, stages: Stages, *, judged: bool = True) -> Line:
    what = f"bulk add, {stages.what}: share of the bound ({stages.bound:.1f} images/s)"
    return make_line(what, "", bogv.rate / stages.bound, goal=BOUND_SHARE if judged else None)


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 3)

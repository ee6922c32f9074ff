"""What `speed` measures of adding images: each stage, the bound, a baseline, bogv, the ratios.

bogv and what it is compared with are measured in turns, each time in fresh processes: a machine
that is slower for some minutes is slower for both.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from os import cpu_count
from pathlib import Path

from bogv.ingest import BATCH
from eval.harness.processes import ONE_THREAD, run_in_process, run_in_processes
from eval.speed.result import BulkAdd, Goal, Line, Sample, Stages, bound, make_line
from eval.speed.setting import Setting
from eval.speed.worker import (
    WorkTiming,
    add_by_baseline,
    add_images,
    measure_baseline_stages,
    measure_stages,
)

BASELINE_ADDS = 40
"""Images for the baseline, which is slow, with little variance; in each round."""
STAGE_IMAGES = 2 * BATCH
"""Images whose stages are measured, in each round."""
WARM_UP = 3
"""Images added before the timing, where a whole batch would take too long."""
BASELINE = "the usual way"
FULL_SIZE = "full-size decode"
MOST_PROCESSES = 8
"""Each holds a network; as many tell how fast busy cores are."""

# Goals, by the engine's precision.
ADD_RATIO = {"bf16": 7.0, "int8": 9.0}
BOUND_SHARE = Goal(of="bogv", at_least=0.85)
LARGE_RATIO = Goal(of="ratio", at_least=3)

OnStep = Callable[[str], None]


@dataclass
class AddResults:
    """What was measured of adding."""

    lines: list[Line] = field(default_factory=list)
    stages: list[Stages] = field(default_factory=list)
    adds: list[BulkAdd] = field(default_factory=list)


@dataclass(frozen=True)
class AddRun:
    """How adding is measured."""

    setting: Setting
    folder: Path
    """For galleries; each one is made in a folder of its own."""
    rounds: int
    report_step: OnStep


@dataclass
class _SmallRounds:
    """What each round of 640 × 480 gave."""

    cpu: list[dict[str, float]] = field(default_factory=list)
    usual: list[WorkTiming] = field(default_factory=list)
    bogv: list[WorkTiming] = field(default_factory=list)


def measure_small(run: AddRun, paths: Sequence[Path], engine: str) -> AddResults:
    """640 × 480, against the baseline. paths: those of the warm-up first, a batch."""
    rounds = _SmallRounds()
    for number in range(run.rounds):
        _add_small(run, rounds, number, paths[:BATCH], paths[BATCH:])
    run.report_step("adding 640 × 480: the stages with every core at work, and of the usual way")
    images = paths[BATCH:]
    busy = _measure_busy_bound(run, images)
    few = images[:BASELINE_ADDS]
    folder = run.folder / "usual-stages"
    usual = run_in_process(measure_baseline_stages, run.setting, folder, few, **ONE_THREAD)
    what = "640 × 480"
    return AddResults(
        lines=_small_lines(what, rounds, usual, busy, ADD_RATIO.get(engine.rsplit(" ", 1)[-1])),
        stages=[
            make_stages(what, len(images[:STAGE_IMAGES]), rounds.cpu, busy),
            make_stages(f"{what}, {BASELINE}", len(few), [usual]),
        ],
        adds=[make_bulk_add(what, rounds.bogv)],
    )


def _add_small(
    run: AddRun, rounds: _SmallRounds, number: int, warm_up: Sequence[Path], images: Sequence[Path]
) -> None:
    folder, of = run.folder / f"small-{number}", f"{number + 1} of {run.rounds}"
    few = warm_up[:WARM_UP], images[:BASELINE_ADDS]
    run.report_step(f"adding 640 × 480, {of}: each stage alone")
    rounds.cpu.append(_stages_of(run, folder / "stages", images))
    run.report_step(f"adding 640 × 480, {of}: the usual way")
    rounds.usual.append(run_in_process(add_by_baseline, run.setting, folder / "usual", *few))
    run.report_step(f"adding 640 × 480, {of}: bogv")
    added = folder / "added"
    rounds.bogv.append(run_in_process(add_images, run.setting, added, warm_up, images, False))


def _small_lines(
    what: str, rounds: _SmallRounds, usual: dict[str, float], busy: float, wanted: float | None
) -> list[Line]:
    """usual: ms of the baseline by stage. wanted: the ratio to reach."""
    goal = None if wanted is None else Goal(of="ratio", at_least=wanted)
    return [
        _add_line(what, rounds.bogv, rounds.usual, BASELINE, goal),
        _cpu_line(what, rounds.cpu, [usual], BASELINE),
        _bound_line(what, rounds.bogv, rounds.cpu, goal=BOUND_SHARE),
        make_line(
            f"bulk add, {what}: share of the bound of busy cores ({busy:.1f} images/s)",
            "",
            [Sample(each.rate / busy, each.others) for each in rounds.bogv],
        ),
    ]


def measure_large(run: AddRun, paths: Sequence[Path]) -> AddResults:
    """12 megapixels, against decoding at full size. paths: WARM_UP for the warm-up first."""
    warm_up, images = paths[:WARM_UP], paths[WARM_UP:]
    what, folder = "12 megapixels", run.folder / "large"
    run.report_step(f"adding {what}: each stage alone")
    cpu = _stages_of(run, folder / "stages", images)
    full_cpu = _stages_of(run, folder / "full-stages", images, full_size=True)
    full: list[WorkTiming] = []
    bogv: list[WorkTiming] = []
    for number in range(run.rounds):
        of = f"{number + 1} of {run.rounds}"
        for timings, name, full_size in ((full, FULL_SIZE, True), (bogv, "bogv", False)):
            run.report_step(f"adding {what}, {of}: {name}")
            place = folder / f"{name}-{number}"
            timings.append(
                run_in_process(add_images, run.setting, place, warm_up, images, full_size)
            )
    counted = len(images[:STAGE_IMAGES])
    return AddResults(
        lines=[
            _add_line(what, bogv, full, FULL_SIZE, LARGE_RATIO),
            _cpu_line(what, [cpu], [full_cpu], FULL_SIZE),
            _bound_line(what, bogv, [cpu] * len(bogv), goal=None),
        ],
        stages=[
            make_stages(what, counted, [cpu]),
            make_stages(f"{what}, {FULL_SIZE}", counted, [full_cpu]),
        ],
        adds=[make_bulk_add(what, bogv), make_bulk_add(f"{what}, {FULL_SIZE}", full)],
    )


def _stages_of(
    run: AddRun, folder: Path, images: Sequence[Path], *, full_size: bool = False
) -> dict[str, float]:
    asked = run.setting, folder, images[:STAGE_IMAGES], 0, full_size
    return run_in_process(measure_stages, *asked, **ONE_THREAD)


def _measure_busy_bound(run: AddRun, images: Sequence[Path]) -> float:
    cores = min(cpu_count() or 1, MOST_PROCESSES)
    asked = [
        (run.setting, run.folder / f"busy-{core}", images[:STAGE_IMAGES], core)
        for core in range(cores)
    ]
    each = run_in_processes(measure_stages, asked, **ONE_THREAD)
    means = {stage: sum(cpu[stage] for cpu in each) / cores for stage in each[0]}
    return round(bound(means, cpu_count() or 1), 3)


def make_stages(
    what: str, images: int, cpu: Sequence[dict[str, float]], busy: float | None = None
) -> Stages:
    """The stages' medians over the rounds, and their bound. cpu: ms by stage, of each round."""
    medians = {stage: statistics.median(each[stage] for each in cpu) for stage in cpu[0]}
    return Stages(
        what=what,
        images=images,
        cpu_ms={stage: round(value, 3) for stage, value in medians.items()},
        bound=round(bound(medians, cpu_count() or 1), 3),
        busy_bound=busy,
    )


def make_bulk_add(what: str, timings: Sequence[WorkTiming]) -> BulkAdd:
    """What the rounds of adding the same images have in common."""
    return BulkAdd(
        what=what,
        images=timings[0].images,
        batches=-(-timings[0].images // BATCH),
        rates=[round(each.rate, 3) for each in timings],
        fill_share=round(_fill(timings), 4),
    )


def _fill(timings: Sequence[WorkTiming]) -> float:
    return statistics.median(each.fill for each in timings)


def _add_line(
    what: str,
    bogv: Sequence[WorkTiming],
    other: Sequence[WorkTiming],
    against: str,
    goal: Goal | None,
) -> Line:
    return make_line(
        f"bulk add, {what}",
        "images/s",
        [each.sample for each in bogv],
        baseline=[each.sample for each in other],
        against=against,
        goal=goal,
        fill=max(_fill(bogv), _fill(other)),
    )


def _cpu_line(
    what: str,
    bogv: Sequence[dict[str, float]],
    other: Sequence[dict[str, float]],
    against: str,
) -> Line:
    """Without a goal, and not doubted: other processes change no processor time of one thread."""
    mine, theirs = (
        [Sample(statistics.median(sum(cpu.values()) for cpu in side))] for side in (bogv, other)
    )
    return make_line(
        f"bulk add, {what}: processor time of an image, one thread a stage",
        "ms",
        mine,
        baseline=theirs,
        against=against,
        less_is_better=True,
    )


def _bound_line(
    what: str, bogv: Sequence[WorkTiming], cpu: Sequence[dict[str, float]], *, goal: Goal | None
) -> Line:
    bounds = [bound(each, cpu_count() or 1) for each in cpu]
    return make_line(
        f"bulk add, {what}: share of the bound ({statistics.median(bounds):.1f} images/s)",
        "",
        [Sample(a.rate / b, a.others) for a, b in zip(bogv, bounds, strict=True)],
        goal=goal,
        fill=_fill(bogv),
    )

"""The speed of bogv: each stage by itself, the bound they give, the baseline, bogv, the ratios.

The bound of a pipeline is the processor time of its stages, each measured alone on one core, added
up and divided by the cores: no order of work can be faster. Everything runs in processes of its
own on the same inputs, bogv and its baseline in turns, so that a ratio compares two things of the
same minutes.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Sequence
from os import cpu_count
from pathlib import Path

from tqdm import tqdm

from bogv.ingest import BATCH
from eval.harness.cpu import BackgroundLoad
from eval.harness.processes import run_in_process
from eval.report.machine import describe_environment
from eval.report.results import weights_part
from eval.speed.adding import WARM_UP, AddRun, measure_large, measure_small
from eval.speed.inputs import LARGE, SMALL, find_sources, make_inputs
from eval.speed.precisions import compare_precisions
from eval.speed.result import Speed
from eval.speed.server import measure_searches, measure_starts
from eval.speed.setting import SpeedOptions, make_setting
from eval.speed.worker import engine_of


def measure(options: SpeedOptions) -> Speed:
    """Everything, in some minutes. Raises WorkbenchError, and what bogv raises."""
    begun, others = time.perf_counter(), BackgroundLoad()
    with tempfile.TemporaryDirectory(prefix="bogv-speed-") as name:
        folder = Path(name)
        setting = make_setting(options, folder / "data")
        source, paths = find_sources(options.images, folder / "samples")
        report_step = _Progress(options)
        with report_step:
            report_step("making the inputs")
            small, large = _make_inputs(paths, folder, options)
            report_step("starting")
            starts = measure_starts(setting, folder, small[0])
            engine = run_in_process(engine_of, setting)
            run = AddRun(setting, folder, options.rounds, report_step)
            added = [measure_small(run, small, engine), measure_large(run, large)]
            precisions = compare_precisions(
                setting, options.compared, small, options.rounds, report_step
            )
            lines, metrics = measure_searches(setting, folder, small, options, report_step)
    return Speed(
        weights=weights_part(setting.weights.name, setting.weights.fingerprint),
        command=options.command,
        n=options.count,
        seed=options.seed,
        metrics=metrics,
        **describe_environment(),
        seconds={"whole": round(time.perf_counter() - begun, 1)},
        engine=engine,
        precision=options.precision,
        images=source,
        large=options.large,
        gallery=options.gallery,
        searches=options.searches,
        soak=options.soak,
        rounds=options.rounds,
        cores=cpu_count() or 1,
        others=others.share(),
        stages=[stages for each in added for stages in each.stages],
        adds=[add for each in added for add in each.adds],
        precisions=precisions,
        lines=[*(line for each in added for line in each.lines), *lines, *starts],
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

    STEPS = 7
    STEPS_OF_ROUND = 7

    def __init__(self, options: SpeedOptions) -> None:
        total = self.STEPS + self.STEPS_OF_ROUND * options.rounds
        self._bar = tqdm(total=total, unit="step", disable=not options.progress)
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

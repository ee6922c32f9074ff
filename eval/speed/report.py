"""The report of `speed`."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes

from eval.report.document import Figure, Report, Section, Table
from eval.report.plots import COLOURS, render
from eval.report.results import weights_lead
from eval.speed.result import Goal, Line, Speed, Stages

COLUMNS = ("what", "baseline", "bogv", "ratio", "to reach", "")
BUSY = 0.1
"""Share of the CPU time that other processes may use before a report has a warning."""
STAGES = (
    "Processor time, not the clock's: a busy host takes the processor away for a while, and a clock"
    " counts that. Each stage alone, on one core, over the images named; the thumbnail is what"
    " decoding takes longer with it. Their sum divided by the cores is the bound: no order of work"
    " adds more images a second on this machine."
)
USUAL = (
    "The usual way (eval/speed/baseline.py): PIL decodes the whole image, torch runs eagerly in"
    " fp32, one image at a time, one insert an image, thumbnails too; FLAT search in Milvus Lite"
    " over the same rows. It ran in a process of its own on the same inputs. Its searches have no"
    " HTTP overhead. The clients ran on this machine too, and used a part of its CPU time."
)
UNJUDGED = (
    "Lines without a verdict have no goal, or need more for it: 10,000 images in the gallery,"
    " 20,000 searches for the growth of memory, bf16 or int8 for the bulk add."
)


def speed_report(found: Speed) -> Report:
    """The report of a measurement."""
    lead = weights_lead(found.weights)
    lead.append(
        f"{found.engine}; {found.machine['processor']}, {found.cores} cores;"
        f" {found.n:,} images of 640 × 480 and {found.large:,} of 12 megapixels,"
        f" made from {found.images}."
    )
    if (busy := others_note(found)) is not None:
        lead.append(busy)
    rows = [list(cells(each)) for each in found.lines]
    return Report(
        "Speed",
        lead,
        [
            Section("What was reached", [Table(COLUMNS, rows), USUAL, UNJUDGED]),
            Section("Each stage alone", [_figure(found), *map(_stages, found.stages), STAGES]),
            Section("How often", [_counts(found)]),
        ],
    )


def others_note(found: Speed) -> str | None:
    """A warning if other processes used the machine."""
    if found.others is None or found.others <= BUSY:
        return None
    return (
        f"The machine was BUSY: other processes used {found.others:.0%} of its CPU time meanwhile."
        " Wall-clock times and their ratios are unreliable; CPU times are valid."
    )


def cells(line: Line) -> tuple[str, ...]:
    """A line's cells, in the order of COLUMNS."""
    baseline = "" if line.baseline is None else f"{number(line.baseline)} {line.unit}".strip()
    verdict = {None: "", True: "reached", False: "NOT reached"}[line.reached]
    return (
        line.what,
        f"{baseline} ({line.against})" if baseline else "",
        "unknown" if line.bogv is None else f"{number(line.bogv)} {line.unit}".strip(),
        "" if line.ratio is None else f"{number(line.ratio)} ×",
        _wanted(line.goal, line.unit),
        verdict,
    )


def number(value: float) -> str:
    """Three significant digits; integers without decimals."""
    if value == round(value) or abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.2f}" if abs(value) >= 10 else f"{value:.3f}"


def _wanted(goal: Goal | None, unit: str) -> str:
    if goal is None:
        return ""
    unit = "×" if goal.of == "ratio" else unit
    limits = (("≥", goal.at_least), ("≤", goal.at_most))
    return " ".join(
        f"{sign} {value:g} {unit}".strip() for sign, value in limits if value is not None
    )


def _figure(found: Speed) -> Figure:
    height = 2.4 + 0.9 * len(found.stages)
    alt = "Processor time of an image in each stage, for each size of image."
    return Figure("stages", render(lambda axes: _draw(axes, found.stages), height=height), alt)


def _draw(axes: Axes, stages: list[Stages]) -> None:
    positions = np.arange(len(stages))[::-1]
    left = np.zeros(len(stages))
    for colour, name in zip(COLOURS, stages[0].cpu_ms, strict=False):
        widths = np.array([max(0.0, each.cpu_ms[name]) for each in stages])
        axes.barh(positions, widths, left=left, color=colour, label=name, edgecolor="white")
        left += widths
    for position, whole in zip(positions, left, strict=True):
        axes.annotate(
            f"{whole:,.1f} ms",
            (whole, position),
            xytext=(5, 0),
            textcoords="offset points",
            va="center",
        )
    axes.set_yticks(positions, [each.what for each in stages])
    axes.set_xlim(0, 1.15 * left.max())
    axes.grid(visible=False, axis="y")
    axes.set_title("What adding an image takes")
    axes.set_xlabel("processor time of one core, ms")
    axes.legend(ncols=3, loc="upper center", bbox_to_anchor=(0.45, -0.3))


def _stages(stages: Stages) -> Table:
    whole = sum(stages.cpu_ms.values())
    rows = [
        [stage, f"{value:.2f}", f"{value / whole:.0%}"] for stage, value in stages.cpu_ms.items()
    ]
    rows.append(["all", f"{whole:.2f}", "100%"])
    caption = f"Mean of {stages.images:,} images. The bound: {stages.bound:.1f} images/s"
    if stages.busy_bound is not None:
        caption += (
            f"; with every core at work on the same at once: {stages.busy_bound:.1f} images/s"
        )
    caption += "."
    return Table([stages.what, "ms", "share"], rows, caption)


def _counts(found: Speed) -> str:
    return (
        f"{found.searches:,} searches for each number of clients, {found.gallery:,} made-up rows in"
        f" the gallery (clusters, see eval/harness/synthetic.py), {found.soak:,} searches between"
        f" two measurements of memory, seed {found.seed}. run.json has the latencies' intervals."
    )

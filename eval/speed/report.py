"""The report of `speed`."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes

from eval.report.background import BUSY, busy_note, share_text
from eval.report.document import Figure, Report, Section, Table
from eval.report.plots import COLOURS, render
from eval.report.results import percentile_text, weights_lead
from eval.speed.result import MOST_FILL, Goal, Line, PrecisionPart, Speed, Stages
from eval.speed.server import CLIENTS

COLUMNS = ("what", "baseline", "bogv", "ratio", "min–max", "to reach", "verdict", "others")
STAGES = (
    "Processor time, not the clock's: a busy host takes the processor away for a while, and a clock"
    " counts that. Each stage alone, on one core and by one thread (several wait for each other in"
    " a loop), with the processes that decode, over the images named; the thumbnail is what"
    " decoding takes longer with it. Their sum divided by the cores is the bound: no order of work"
    " adds more images a second on this machine."
)
FILL = (
    "A pipeline of batches is not full at its beginning and its end. The share is 1 - the rate of"
    " all images / the rate after the first batch; above {most:.0%} there is no verdict."
)
PRECISIONS = (
    "The network alone: in bulk on all cores, and a single image; in turns, medians of the rounds."
    " Cosine: of an image's embeddings in this precision and in fp32, mean and smallest."
)
UNTRAINED_COSINES = (
    "With untrained weights all images have cosines close to 1: these say little of trained ones."
)
USUAL = (
    "The usual way (eval/speed/baseline.py): PIL decodes the whole image, torch runs eagerly in"
    " fp32, one image at a time, one insert an image, thumbnails too; FLAT search in Milvus Lite"
    " over the same rows. It ran in a process of its own on the same inputs. Its searches have no"
    " HTTP overhead. The clients ran on this machine too, and used a part of its CPU time."
)
UNJUDGED = (
    "Both were measured in turns; figures are medians of the rounds, min–max is the smallest and"
    " the largest round, of the ratio where there is one. Others: the largest share of the CPU time"
    " that other processes used during one of a line's measurements. Above {busy:.0%} a time is not"
    " judged, nor where the rounds differ by more than the distance to the goal. Lines without a"
    " goal may need more for one: 10,000 images in the gallery, 20,000 searches for the growth of"
    " memory, bf16 or int8 for the bulk add."
)


def speed_report(found: Speed) -> Report:
    """The report of a measurement."""
    lead = weights_lead(found.weights)
    lead.append(
        f"{found.engine}; {found.machine['processor']}, {found.cores} cores;"
        f" {found.n:,} images of 640 × 480 and {found.large:,} of 12 megapixels,"
        f" made from {found.images}."
    )
    lead += notes(found)
    rows = [list(cells(each)) for each in found.lines]
    return Report(
        "Speed",
        lead,
        [
            Section("What was reached", [Table(COLUMNS, rows), USUAL, UNJUDGED.format(busy=BUSY)]),
            Section("Each stage alone", [_figure(found), *map(_stages, found.stages), STAGES]),
            Section("Precisions", _precisions(found)),
            Section("Filling and draining", [_adds(found), FILL.format(most=MOST_FILL)]),
            Section("How often", [_counts(found), _latencies(found)]),
        ],
    )


def notes(found: Speed) -> list[str]:
    """Warnings: other processes used the machine, goals were not judged."""
    shares = {line.what: line.others for line in found.lines if _depends_on_time(line)}
    busy = busy_note(shares | {"all of it": found.others})
    found_notes = [] if busy is None else [busy]
    if found.unjudged:
        goals = sum(line.goal is not None for line in found.lines)
        found_notes.append(f"CAUTION: {len(found.unjudged)} of {goals} goals were not judged.")
    return found_notes


def _depends_on_time(line: Line) -> bool:
    return line.rounds > 1 or line.others is not None


def cells(line: Line) -> tuple[str, ...]:
    """A line's cells, in the order of COLUMNS."""
    baseline = "" if line.baseline is None else f"{number(line.baseline)} {line.unit}".strip()
    return (
        line.what,
        f"{baseline} ({line.against})" if baseline else "",
        "unknown" if line.bogv is None else f"{number(line.bogv)} {line.unit}".strip(),
        "" if line.ratio is None else f"{number(line.ratio)} ×",
        _spread(line),
        _wanted(line.goal, line.unit),
        verdict(line),
        share_text(line.others),
    )


def verdict(line: Line) -> str:
    """Whether the goal was reached, or why it isn't known; empty without a goal."""
    if line.unjudged is not None:
        return f"not judged: {line.unjudged}"
    return {None: "", True: "reached", False: "NOT reached"}[line.reached]


def _spread(line: Line) -> str:
    if line.spread is None:
        return ""
    of_ratio = line.ratio is not None and (line.goal is None or line.goal.of == "ratio")
    low, high = map(number, line.spread)
    return f"{low}–{high} {'×' if of_ratio else line.unit}".strip()


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
        widths = np.array([max(0.0, each.cpu_ms.get(name, 0.0)) for each in stages])
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
    axes.set_yticks(positions, [each.what.replace(", ", ",\n") for each in stages])
    axes.set_xlim(0, 1.2 * left.max())
    axes.grid(visible=False, axis="y")
    axes.set_title("What adding an image takes")
    axes.set_xlabel("processor time of one core, ms")
    axes.figure.legend(ncols=3, loc="outside lower center")


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
        f"{found.rounds} rounds; {found.searches:,} searches in each for each number of clients,"
        f" {found.gallery:,} made-up rows in"
        f" the gallery (clusters, see eval/harness/synthetic.py), {found.soak:,} searches between"
        f" two measurements of memory, seed {found.seed}."
    )


def _latencies(found: Speed) -> Table:
    """Percentiles of searches over REST, over all rounds."""
    searches = found.searches * found.rounds
    rows = [
        [f"{clients} clients" if clients > 1 else "1 client"]
        + [
            percentile_text(mean)
            for mean in (found.metrics[f"search_{name}_ms@c{clients}"] for name in ("p50", "p99"))
        ]
        for clients in CLIENTS
        if f"search_p50_ms@c{clients}" in found.metrics
    ]
    columns = ["searches over REST", "p50 ms [95%]", "p99 ms [95%]"]
    return Table(columns, rows, f"{searches:,} searches each.")


def _precisions(found: Speed) -> list[str | Table]:
    columns = ["precision", "engine", "images/s", "min–max", "single image, ms"]
    columns += ["cosine to fp32", "smallest", "others"]
    table = Table(columns, [list(precision_cells(each)) for each in found.precisions])
    missing = [
        f"{each.precision} was not measured: {each.missing}"
        for each in found.precisions
        if each.missing is not None
    ]
    cosines = [] if found.weights.trained else [UNTRAINED_COSINES]
    return [table, *missing, PRECISIONS, *cosines]


def precision_cells(part: PrecisionPart) -> tuple[str, ...]:
    """A row of the table of precisions; empty where it is missing."""
    if part.rate is None or part.rates is None or part.single_ms is None:
        return (part.precision, "missing", *[""] * 6)
    cosines = (part.cosine_mean, part.cosine_min)
    return (
        part.precision,
        part.engine or "",
        number(part.rate),
        "–".join(map(number, part.rates)),
        number(part.single_ms),
        *("" if cosine is None else f"{cosine:.5f}" for cosine in cosines),
        share_text(part.others),
    )


def _adds(found: Speed) -> Table:
    rows = [
        [
            each.what,
            f"{each.images:,}",
            f"{each.batches:,}",
            f"{each.fill_share:.1%}",
            ", ".join(map(number, each.rates)),
        ]
        for each in found.adds
    ]
    return Table(["bulk add", "images", "batches", "filling, draining", "images/s"], rows)

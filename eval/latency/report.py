"""The report of `latency`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from eval.latency.result import REMAINDER, Latency, LoadStep
from eval.report.background import SERVER, SHARE, busy_note, share_text
from eval.report.document import Figure, Report, Section, Table
from eval.report.plots import (
    BLACK,
    BLUE,
    COLOURS,
    GREEN,
    MARKERS,
    ORANGE,
    PURPLE,
    RED,
    SKY,
    plain_log,
    render,
)
from eval.report.results import percentile_text, weights_lead

STAGES = {"decode": SKY, "embed": BLUE, "search": ORANGE, "serialise": GREEN, REMAINDER: "#999999"}
NINES = (0, 50, 90, 99, 99.9, 99.99)
SLOW_GENERATOR = 0.8
"""Seconds of CPU time per second."""
LATE = 0.1
"""The acceptable lag, as a share of the median latency."""

KNEE = (
    "Closed loop: a number of callers, each sending its next request after a response. Open loop:"
    " requests arrive at random (Poisson) at a rate, whether or not earlier ones were answered, and"
    " each is timed from when it was due. Beyond the knee, more load doesn't raise the throughput,"
    " only the latency."
)
MEANS = (
    "Means of the successful requests; each stage includes its queueing: one image per core is"
    " decoded at a time, concurrent images are embedded in a batch, and Milvus Lite runs one search"
    " at a time. The rest is waiting for a thread or a connection and, with a server, HTTP and the"
    " network."
)
FEW = (
    "Of fewer than 1,000 requests p99.9 is the slowest one, of fewer than 100 p99 as well. In"
    " brackets: the 95% interval, where the requests are enough for one."
)


def latency_report(found: Latency, requests: pd.DataFrame) -> Report:
    """The report of a measurement. requests: `eval.latency.measure.requests_table`."""
    lead = weights_lead(found.weights)
    if found.weights.note:
        lead.append("How long a search takes does not depend on what the weights have learnt.")
    where = "the service, in one process" if found.target == "service" else found.target
    lead.append(
        f"Measured: {where}; {found.gallery:,} images in {found.database}, engine {found.engine}."
    )
    if (busy := others_note(found)) is not None:
        lead.append(busy)
    return Report(
        f"Latency and throughput: {found.target}",
        lead,
        [
            Section("What it takes", _overview(found)),
            Section("How long a request takes", _distributions(found, requests)),
            Section("Where the time goes", _stages(found)),
            Section("Cold", _cold(found)),
            Section("All steps", [_table(found), *_doubts(found)]),
            Section("Was the generator fast enough?", _generator(found)),
            Section("What was sent", [_sent(found)]),
        ],
    )


def others_note(found: Latency) -> str | None:
    """The steps during which other processes used the machine; None if it was quiet."""
    note = busy_note({_long(step): step.measured.others for step in found.steps})
    return note if note is None or found.target == "service" else f"{note} {SERVER}"


def spread_text(found: Latency, step: LoadStep, name: str) -> str:
    """A percentile of a step with its interval. name: `p99`."""
    mean = found.metrics[f"latency_{name}_ms@{step.label}"]
    return percentile_text(mean)


def _overview(found: Latency) -> list[str | Figure]:
    alone = next((step for step in found.steps if step.concurrency == 1), found.steps[0])
    spread = alone.measured.latency_ms
    text = (
        f"At best {found.best:.1f} searches a second. One caller alone waits {spread['p50']:.0f} ms"
        f" for half of the searches and up to {spread['p99']:.0f} ms for 99%."
        if alone.concurrency == 1
        else f"At best {found.best:.1f} searches a second."
    )
    alt = "99th percentile of latency against throughput, for each concurrency and each rate."
    return [
        text,
        Figure("knee", render(lambda axes: _draw_knee(axes, found)), alt),
        KNEE,
    ]


def _draw_knee(axes: Axes, found: Latency) -> None:
    for mode, colour, marker in (("closed", BLUE, "o"), ("open", RED, "s")):
        points = [
            (step.measured.throughput, step.measured.latency_ms["p99"], step)
            for step in found.steps
            if step.mode == mode
        ]
        if mode == "open":
            points.sort(key=lambda point: point[2].rate or 0)
        across, up = [point[0] for point in points], [point[1] for point in points]
        axes.plot(across, up, marker=marker, markersize=8, color=colour, label=f"{mode} loop")
        for number, (throughput, p99, step) in enumerate(points):
            # Labels of the closed loop to the right, of the open loop to the left: no overlap.
            axes.annotate(
                _short(step),
                (throughput, p99),
                xytext=(9, -4) if mode == "closed" else (-9, 6 if number % 2 else -12),
                textcoords="offset points",
                ha="left" if mode == "closed" else "right",
                fontsize=11,
                color=colour,
            )
    plain_log(axes, "y")
    axes.set_xlim(0, 1.18 * max(step.measured.throughput for step in found.steps))
    axes.set_title("Throughput and the slowest 1%")
    axes.set_xlabel("searches answered a second")
    axes.set_ylabel("p99 latency, ms (log)")
    axes.margins(y=0.12)
    axes.legend(loc="lower right", bbox_to_anchor=(1, 1), ncols=2)


def _distributions(found: Latency, requests: pd.DataFrame) -> list[str | Figure]:
    figures: list[str | Figure] = []
    for mode, title in (("closed", "Closed loop, by callers"), ("open", "Open loop, by rate")):
        steps = [step for step in found.steps if step.mode == mode]
        png = render(lambda axes, s=steps, t=title: _draw_spread(axes, s, requests, t))  # type: ignore[misc]
        alt = f"{title}: share of the requests answered within a latency."
        figures.append(Figure(f"latency-{mode}", png, alt))
    figures.append(
        "A line at (200 ms, 99%) says: 99% of the requests were answered within 200 ms. The upper"
        " axis is stretched so that the slowest can be seen. Failed requests count with the time"
        " that they took."
    )
    return figures


def _draw_spread(axes: Axes, steps: Sequence[LoadStep], requests: pd.DataFrame, title: str) -> None:
    deepest = 0.0
    for number, step in enumerate(steps):
        values = np.sort(requests.loc[requests["step"] == step.label, "latency_ms"].to_numpy())
        # The largest of n is drawn at n / (n + 1): at 1, the axis would be infinite.
        depth = -np.log10(1 - np.arange(1, len(values) + 1) / (len(values) + 1))
        deepest = max(deepest, float(depth[-1]))
        colour = COLOURS[number % len(COLOURS)]
        axes.step(values, depth, where="post", color=colour, label=_long(step))
        axes.plot(values[-1], depth[-1], MARKERS[number % len(MARKERS)], color=colour, markersize=8)
    plain_log(axes, "x")
    shown = [nine for nine in NINES if -np.log10(1 - nine / 100) <= deepest + 0.05]
    axes.set_yticks([-np.log10(1 - nine / 100) for nine in shown], [f"{n:g}%" for n in shown])
    axes.set_ylim(0, deepest + 0.15)
    axes.set_title(title)
    axes.set_xlabel("latency, ms (log)")
    axes.set_ylabel("requests answered by then")
    axes.legend(loc="upper left", fontsize=11)


def _stages(found: Latency) -> list[str | Figure]:
    steps = [step for step in found.steps if step.measured.stages_ms]
    if not steps:
        return [
            "The target reported no stages (perhaps a server older than the Server-Timing header)."
        ]
    height = 2.1 + 0.45 * len(steps)
    alt = "Mean time of each stage, for each step."
    return [
        Figure("stages", render(lambda axes: _draw_stages(axes, steps), height=height), alt),
        MEANS,
    ]


def _draw_stages(axes: Axes, steps: Sequence[LoadStep]) -> None:
    names = list(steps[0].measured.stages_ms)
    positions = np.arange(len(steps))[::-1]
    left = np.zeros(len(steps))
    for name in names:
        widths = np.array([max(0.0, step.measured.stages_ms.get(name, 0.0)) for step in steps])
        colour = STAGES.get(name, PURPLE)
        axes.barh(positions, widths, left=left, color=colour, label=name, edgecolor="white")
        left += widths
    for position, whole in zip(positions, left, strict=True):
        axes.annotate(
            f"{whole:,.0f}",
            (whole, position),
            xytext=(5, 0),
            textcoords="offset points",
            va="center",
            fontsize=11,
            color=BLACK,
        )
    axes.set_yticks(positions, [_long(step) for step in steps])
    axes.set_xlim(0, 1.1 * left.max())
    axes.grid(visible=False, axis="y")
    axes.set_title("Mean latency by stage", pad=34)
    axes.set_xlabel("ms")
    axes.legend(ncols=len(names), loc="lower right", bbox_to_anchor=(1, 1), fontsize=11)


def _cold(found: Latency) -> list[str | Table]:
    alone = next((step for step in found.steps if step.concurrency == 1), None)
    names = list(next((cold.stages_ms for cold in found.cold if cold.stages_ms), {}))
    rows = [
        [
            f"first of a {cold.what}",
            "" if cold.opening_seconds is None else f"{cold.opening_seconds:.2f}",
            f"{cold.latency_ms:.1f}",
            *(f"{cold.stages_ms.get(name, 0):.1f}" for name in names),
            cold.error or "",
        ]
        for cold in found.cold
    ]
    if alone is not None:
        stages = alone.measured.stages_ms
        warm = [f"{stages.get(name, 0):.1f}" for name in names]
        rows.append(["warm: mean of c1", "", f"{alone.measured.latency_ms['mean']:.1f}", *warm, ""])
    note = (
        "The first search of a process that has just opened the model and the gallery (imports"
        " left out of the opening)."
        if found.target == "service"
        else "The first search over a new connection; the server's own caches may be warm."
    )
    columns = ["", "opening, s", "whole, ms", *(f"{name}, ms" for name in names), "error"]
    return [Table(columns, rows), f"{note} {found.warm_up} warm-up requests count nowhere."]


def _table(found: Latency) -> Table:
    rows = []
    for step in found.steps:
        got = step.measured
        rows.append(
            [
                _long(step),
                f"{got.n:,}",
                f"{got.throughput:.2f}",
                *(spread_text(found, step, name) for name in ("p50", "p90", "p99", "p99.9")),
                f"{got.latency_ms['max']:,.1f}",
                f"{sum(got.errors.values()):,}",
                share_text(got.others),
            ]
        )
    columns = ["load", "requests", "answers/s", "p50", "p90", "p99", "p99.9", "max", "errors"]
    caption = "Latencies in ms, from when a request was due; percentiles by nearest rank."
    return Table([*columns, "others"], rows, f"{caption} {SHARE}")


def _doubts(found: Latency) -> list[str]:
    doubts = [FEW]
    failed = sum(sum(step.measured.errors.values()) for step in found.steps)
    if failed:
        kinds = sum((Counter(step.measured.errors) for step in found.steps), Counter[str]())
        listed = ", ".join(f"{count:,} {name}" for name, count in kinds.most_common())
        doubts.append(f"{failed:,} of {found.n:,} requests FAILED ({listed}); their times count.")
    short = [step for step in found.steps if step.measured.n < found.requests]
    if short:
        names = ", ".join(_short(step) for step in short)
        doubts.append(f"Ended by --seconds {found.step_seconds:g}, with fewer requests: {names}.")
    return doubts


def _generator(found: Latency) -> list[str | Table]:
    rows = [
        [
            _long(step),
            f"{step.measured.lag_p99_ms:.1f}",
            f"{step.measured.latency_ms['p50']:,.1f}",
            "" if step.measured.generator_cpu is None else f"{step.measured.generator_cpu:.0%}",
        ]
        for step in found.steps
    ]
    slow = [step for step in found.steps if _is_slow(step)]
    verdict = (
        f"No: it was late or near its limit at {', '.join(map(_long, slow))}. There, part of the"
        " latency is the generator's."
        if slow
        else "Yes: requests started when they were due."
    )
    columns = ["load", "lag p99, ms", "latency p50, ms", "generator CPU"]
    caption = (
        "Lag: how late requests started. CPU: seconds of processor time a second; not known where"
        " the target runs in the same process."
    )
    return [verdict, Table(columns, rows, caption)]


def _is_slow(step: LoadStep) -> bool:
    found = step.measured
    late = found.lag_p99_ms > LATE * found.latency_ms["p50"]
    return late or (found.generator_cpu or 0) > SLOW_GENERATOR


def _sent(found: Latency) -> str:
    images = found.images
    return (
        f"{images.count:,} images of {images.source}, in turns: {images.bytes_min / 1024:,.0f} to"
        f" {images.bytes_max / 1024:,.0f} KiB, half of them below"
        f" {images.bytes_median / 1024:,.0f} KiB; {found.limit} hits requested."
    )


def _short(step: LoadStep) -> str:
    if step.mode == "closed":
        return f"{step.concurrency}"
    return f"{step.rate:.3g}/s" if step.share is None else f"{step.share:.0%}"


def _long(step: LoadStep) -> str:
    if step.mode == "closed":
        return "1 caller" if step.concurrency == 1 else f"{step.concurrency} callers"
    share = "" if step.share is None else f" ({step.share:.0%})"
    return f"{step.rate:.3g}/s{share}"

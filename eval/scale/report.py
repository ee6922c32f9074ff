"""The report of `scale`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

from matplotlib.axes import Axes

from eval.report.background import SERVER, SHARE, busy_note, share_text
from eval.report.document import Figure, Report, Section, Table
from eval.report.plots import BLUE, GREEN, ORANGE, RED, plain_log, render_many
from eval.report.results import percentile_text
from eval.scale.result import Scale, ScalePoint

BUILDING = (
    "`build` runs from the last row put until the index covered all rows, while one caller searched"
    " without a pause; `while built` is what that caller met. Rows that are not indexed yet are"
    " compared one by one, so nothing is missed then. `p50`, `p99` and recall are of a fresh"
    " process, one query at a time; restart runs from opening the gallery to the first answer,"
    " imports left out. Memory is what that process grew by."
)
LITE = (
    "Milvus Lite merges its files as they grow, and indexes merged files again: rows are indexed"
    " several times, in the background, without delaying adds."
)

Curve = tuple[str, str, str, str, Callable[[ScalePoint], float | None]]
"""Label, colour, marker, line style, figure."""


def scale_report(found: Scale) -> Report:
    """The report of a measurement."""
    lead = ["Weights: none took part. The vectors are synthetic: no figure speaks of images."]
    lead.append(
        f"{found.database}; vectors of {found.dimension} dimensions; {found.machine['processor']},"
        f" {found.machine['cores']} cores."
    )
    if (busy := others_note(found)) is not None:
        lead.append(busy)
    alt = "How adding, building, searching, recall, memory, disk and restart grow with the rows."
    notes = [BUILDING, *([LITE] if found.database == "Milvus Lite" else [])]
    return Report(
        f"Scale: up to {max(point.rows for point in found.points):,} rows",
        lead,
        [
            Section("How it grows", [Figure("scale", _plot(found), alt), *notes]),
            Section("All figures", [_table(found)]),
        ],
    )


def others_note(found: Scale) -> str | None:
    """The steps during which other processes used the machine; None if it was quiet."""
    steps = {
        f"{step}, {point.rows:,} rows": share
        for point in found.points
        for step, share in _shares(point).items()
    }
    note = busy_note(steps)
    return note if note is None or found.database == "Milvus Lite" else f"{note} {SERVER}"


def shares_text(point: ScalePoint) -> str:
    """The shares of other processes while adding, building, restarting and searching."""
    return ", ".join(share_text(share) or "?" for share in _shares(point).values())


def _shares(point: ScalePoint) -> dict[str, float | None]:
    return {
        "adding": point.add_others,
        "building": point.building.others,
        "restarting": point.restart_others,
        "searching": point.built.others,
    }


def _plot(found: Scale) -> bytes:
    known = [
        panel
        for panel in _panels(found.k)
        if any(figure(point) is not None for *_, figure in panel[2] for point in found.points)
    ]
    return render_many([partial(_draw, found.points, *panel) for panel in known], columns=2)


def _panels(k: int) -> list[tuple[str, str, list[Curve]]]:
    """Title, unit, curves."""
    return [
        ("Adding", "rows a second", [("", BLUE, "o", "-", lambda p: p.add_rate)]),
        (
            "Building the index, after the last row",
            "seconds",
            [("", BLUE, "o", "-", lambda p: p.build_seconds)],
        ),
        (
            "A search, one at a time",
            "ms",
            [
                ("p50", BLUE, "o", "-", lambda p: p.built.p50_ms),
                ("p99", BLUE, "s", "--", lambda p: p.built.p99_ms),
            ],
        ),
        (
            "A search while the index is built",
            "ms",
            [
                ("p50", RED, "o", "-", lambda p: p.building.p50_ms),
                ("p99", RED, "s", "--", lambda p: p.building.p99_ms),
            ],
        ),
        (
            f"ann_recall@{k}",
            "share",
            [
                ("index whole", BLUE, "o", "-", lambda p: p.built.ann_recall),
                ("while it is built", RED, "s", "--", lambda p: p.building.ann_recall),
            ],
        ),
        (
            "Memory and disk",
            "MiB",
            [
                ("memory", GREEN, "o", "-", lambda p: p.memory_mib),
                ("disk", ORANGE, "s", "--", lambda p: p.disk_mib),
            ],
        ),
        (
            "Restart to the first answer",
            "seconds",
            [("", BLUE, "o", "-", lambda p: p.restart_seconds)],
        ),
    ]


def _draw(
    points: Sequence[ScalePoint], title: str, unit: str, curves: Sequence[Curve], axes: Axes
) -> None:
    rows = [point.rows for point in points]
    for label, colour, marker, style, figure in curves:
        values = [figure(point) for point in points]
        axes.plot(rows, values, style, color=colour, marker=marker, markersize=8, label=label)  # type: ignore[arg-type]
    plain_log(axes, "x")
    axes.set_xticks(rows, [f"{count:,}" for count in rows])
    if unit == "share":
        axes.set_ylim(min(0.9, *axes.get_ylim()), 1.005)
    else:
        plain_log(axes, "y")
        low, high = axes.get_ylim()
        # At least a decade: a shorter axis would exaggerate small changes.
        around, half = (low * high) ** 0.5, 10**0.5
        axes.set_ylim(min(low, around / half), max(high, around * half))
    axes.margins(x=0.1)
    axes.set_title(title)
    axes.set_xlabel("rows")
    axes.set_ylabel(unit)
    if any(label for label, *_ in curves):
        axes.legend()


def _table(found: Scale) -> Table:
    recall = f"ann_recall@{found.k}"
    columns = ["rows", "added/s", "build s", "p50 ms", "p99 ms", recall]
    columns += ["p50 ms while built", "p99 ms", recall, "MiB memory", "MiB disk", "restart s"]
    columns.append("others: add, build, restart, search")
    rows = [
        [
            f"{point.rows:,}",
            f"{point.add_rate:,.0f}",
            f"{point.build_seconds:,.1f}",
            *(_percentile(found, point, name) for name in ("p50", "p99")),
            f"{point.built.ann_recall:.4f}",
            f"{point.building.p50_ms:.1f}",
            f"{point.building.p99_ms:.1f}",
            f"{point.building.ann_recall:.4f}",
            "" if point.memory_mib is None else f"{point.memory_mib:,.0f}",
            "" if point.disk_mib is None else f"{point.disk_mib:,.0f}",
            f"{point.restart_seconds:.2f}",
            shares_text(point),
        ]
        for point in found.points
    ]
    vectors = ", ".join(
        f"{point.rows * found.dimension * 4 / 2**20:,.0f} MiB" for point in found.points
    )
    caption = f"{found.n:,} queries. The vectors alone are {vectors}. {SHARE}"
    return Table(columns, rows, caption)


def _percentile(found: Scale, point: ScalePoint, name: str) -> str:
    """Of the searches in a fresh process, with its interval."""
    mean = found.metrics[f"search_{name}_ms@{point.rows}"]
    return percentile_text(mean)

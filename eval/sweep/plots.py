"""Quality against cost: a panel for each dataset, the Pareto front marked, labels kept apart."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from matplotlib.axes import Axes
from matplotlib.patheffects import withStroke

from eval.report.document import Figure, plain
from eval.report.plots import BLACK, COLOURS, GREY, MARKERS, plain_log, render_many
from eval.sweep.result import Front, Row, Sweep

TITLES: dict[Front, str] = {
    "ms": "milliseconds a search: embedding an image, re-ranking (log)",
    "bytes": "bytes a vector (log)",
}
ALTS: dict[Front, str] = {
    "ms": "Quality against milliseconds a search, with the Pareto front.",
    "bytes": "Quality against bytes a vector, with the Pareto front.",
}
SEVERAL = "several"
"""What differs from the baseline, in the legend, where it is more than one value."""
WIDTH, HEIGHT = 12.0, 7.0
FONT = 10.5


def front_figure(sweep: Sweep, cost: Front) -> Figure:
    """Each dataset's headline metric against a cost."""
    datasets = [each.id for each in sweep.datasets if _rows(sweep, each.id)]
    draws = [partial(_draw, sweep=sweep, dataset=each, cost=cost) for each in datasets]
    png = render_many(draws, columns=1, width=WIDTH, height=HEIGHT)
    return Figure(f"quality-{cost}", png, ALTS[cost])


def _draw(axes: Axes, sweep: Sweep, dataset: str, cost: Front) -> None:
    part = next(each for each in sweep.datasets if each.id == dataset)
    rows = _rows(sweep, dataset)
    points = [_point(row, cost) for row in rows]
    best = sorted(p for p, row in zip(points, rows, strict=True) if cost in row.fronts)
    axes.step(
        [x for x, _ in best],
        [y for _, y in best],
        where="post",
        color=GREY,
        zorder=1,
        label="Pareto front",
    )
    kinds = _kinds(sweep)
    for number, kind in enumerate(dict.fromkeys(kinds.values())):
        style = {"color": COLOURS[number % len(COLOURS)], "marker": MARKERS[number % len(MARKERS)]}
        mine = [p for p, row in zip(points, rows, strict=True) if kinds.get(row.setting) == kind]
        _scatter(axes, mine, label=kind, s=70, zorder=3, edgecolors=GREY, **style)
    own = [p for p, row in zip(points, rows, strict=True) if row.setting == sweep.baseline.title]
    ring = {"facecolors": "none", "edgecolors": BLACK, "linewidths": 2}
    _scatter(axes, own, label="baseline", s=200, zorder=2, **ring)
    plain_log(axes, "x")
    axes.margins(x=0.16, y=0.12)
    axes.set(xlabel=TITLES[cost], ylabel=part.headline)
    axes.set_title(plain(f"{part.name}; weights {sweep.labels['weights']}"))
    axes.legend(loc="upper left", bbox_to_anchor=(1, 1), fontsize=11)
    _label(axes, sweep.baseline.title, rows, points, cost)


def _rows(sweep: Sweep, dataset: str) -> list[Row]:
    return [row for row in sweep.of(dataset) if row.mean is not None and row.cost is not None]


def _scatter(axes: Axes, points: Sequence[tuple[float, float]], **style: Any) -> None:
    axes.scatter([x for x, _ in points], [y for _, y in points], **style)


def _point(row: Row, cost: Front) -> tuple[float, float]:
    assert row.cost is not None  # noqa: S101 - rows without are not drawn
    assert row.mean is not None  # noqa: S101
    x = row.cost.ms if cost == "ms" else row.cost.bytes_per_vector
    return x, row.mean.value


def _kinds(sweep: Sweep) -> dict[str, str]:
    """By setting, the one value in which it differs from the baseline."""
    changed = {each.title: each.changed(sweep.baseline) for each in sweep.settings[1:]}
    return {title: names[0] if len(names) == 1 else SEVERAL for title, names in changed.items()}


# ------------------------------------------------------------------------------ labels


@dataclass(frozen=True)
class Box:
    """A rectangle in points (1/72 inch)."""

    left: float
    bottom: float
    right: float
    top: float

    def meets(self, other: Box) -> bool:
        """Whether they overlap."""
        across = self.left < other.right and other.left < self.right
        return across and self.bottom < other.top and other.bottom < self.top


def place_labels(
    points: Sequence[tuple[float, float]], texts: Sequence[str], frame: Box, font: float = FONT
) -> list[tuple[float, float] | None]:
    """The lower left corner of each point's label, in points, so that none meets another label or
    a point, or leaves the frame; None where there is no room. Earlier labels go first.

    points: in points (1/72 inch). The width of a text is estimated.
    """
    taken = [Box(x - 5, y - 5, x + 5, y + 5) for x, y in points]
    corners: list[tuple[float, float] | None] = []
    for (x, y), text in zip(points, texts, strict=True):
        width, height = 0.62 * font * len(text), 1.25 * font
        places = (
            (x + dx if dx > 0 else x + dx - width, y + dy - height / 2)
            for distance in (9, 22, 38, 56)
            for dy in (10, 0, -11, 22, -22, 34, -34, 46, -46)
            for dx in (distance, -distance)
        )
        corner = next(
            (
                (left, bottom)
                for left, bottom in places
                for box in [Box(left, bottom, left + width, bottom + height)]
                if _inside(box, frame) and not any(box.meets(each) for each in taken)
            ),
            None,
        )
        if corner is not None:
            taken.append(Box(*corner, corner[0] + width, corner[1] + height))
        corners.append(corner)
    return corners


def _inside(box: Box, frame: Box) -> bool:
    across = frame.left <= box.left and box.right <= frame.right
    return across and frame.bottom <= box.bottom and box.top <= frame.top


def _label(
    axes: Axes,
    baseline: str,
    rows: Sequence[Row],
    points: Sequence[tuple[float, float]],
    cost: Front,
) -> None:
    """Names, those of the front and the baseline first; what finds no room stays without."""
    figure = axes.get_figure(root=True)
    assert figure is not None  # noqa: S101 - render_many made it
    figure.draw_without_rendering()  # lays the axes out
    scale = 72 / figure.dpi
    window = axes.get_window_extent()
    frame = Box(*(scale * each for each in (window.x0, window.y0, window.x1, window.y1)))
    order = sorted(
        range(len(rows)),
        key=lambda i: (
            cost not in rows[i].fronts,
            rows[i].setting != baseline,
            -points[i][1],
        ),
    )
    # All points are in the way, in the order in which their labels are placed.
    here = [tuple(scale * axes.transData.transform(points[i])) for i in order]
    texts = [rows[i].setting for i in order]
    for i, text, point, corner in zip(
        order, texts, here, place_labels(here, texts, frame), strict=True
    ):
        if corner is None:
            continue
        mark = cost in rows[i].fronts
        shift = (corner[0] - point[0], corner[1] - point[1])
        line = {"arrowstyle": "-", "color": GREY, "alpha": 0.6, "linewidth": 0.8, "shrinkB": 5}
        axes.annotate(
            plain(text),
            points[i],
            xytext=shift,
            textcoords="offset points",
            fontsize=FONT,
            fontweight="bold" if mark else "normal",
            color=BLACK if mark else GREY,
            va="bottom",
            arrowprops=line,
            path_effects=[withStroke(linewidth=3, foreground="white")],
        )

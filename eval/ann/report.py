"""The report of `ann`."""

from __future__ import annotations

from collections.abc import Sequence
from string import ascii_uppercase

import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from eval.ann.result import Ann, AnnPoint
from eval.report.background import SERVER, SHARE, busy_note, share_text
from eval.report.document import Figure, Report, Section, Table
from eval.report.plots import BLACK, BLUE, COLOURS, GREEN, MARKERS, plain_log, render
from eval.report.results import interval_text, weights_lead

POINTS = (
    "Each point is an index with one set of parameters. The dark line is the Pareto frontier, its"
    " points have letters. Recall is the share of the true nearest neighbours (by exact search in"
    " double precision) that the index found; it is independent of relevance."
)


def ann_report(found: Ann) -> Report:
    """The report of a measurement."""
    if found.weights is None:
        lead = ["Weights: none took part. The vectors are synthetic: no figure speaks of images."]
    else:
        lead = weights_lead(found.weights)
    own, recall = found.own, f"ann_recall@{found.k}"
    mean = own.metrics[recall]
    lead.append(
        f"bogv's own index, {own.label}: {recall} {mean.value:.3f}"
        f" {interval_text(mean, 3)}, {own.cost.queries_per_second:.0f} queries/s."
    )
    if (busy := others_note(found)) is not None:
        lead.append(busy)
    return Report(
        f"Approximate search: {found.vectors.gallery:,} vectors of {found.vectors.source}",
        lead,
        [
            Section("Recall against throughput", _frontier(found)),
            Section("What the indexes cost", _costs(found)),
            Section("All points", [_table(found)]),
            Section("What was searched", _searched(found)),
        ],
    )


def others_note(found: Ann) -> str | None:
    """The steps during which other processes used the machine; None if it was quiet."""
    steps = {f"building {_built(point)}": point.cost.build_others for point in found.points}
    steps |= {f"searching {_short(point)}": point.cost.others for point in found.points}
    note = busy_note(steps)
    return note if note is None or found.database == "Milvus Lite" else f"{note} {SERVER}"


def pareto(points: Sequence[tuple[float, float]]) -> list[int]:
    """Indices of the Pareto-optimal points, by the first coordinate ascending.

    Larger is better in both; of equal points the first one stands for all.

    >>> pareto([(0.9, 100), (0.8, 50), (1.0, 20), (0.9, 90)])
    [0, 2]
    """
    best: list[int] = []
    for index in sorted(range(len(points)), key=lambda i: (-points[i][0], -points[i][1], i)):
        if not best or points[index][1] > points[best[-1]][1]:
            best.append(index)
    return best[::-1]


def _frontier(found: Ann) -> list[str | Figure]:
    alt = f"ann_recall@{found.k} against queries a second, with the Pareto frontier."
    return [
        Figure(
            "frontier", render(lambda axes: _draw_frontier(axes, found), width=11, height=6.5), alt
        ),
        POINTS,
    ]


def _draw_frontier(axes: Axes, found: Ann) -> None:
    name = f"ann_recall@{found.k}"
    across = [point.metrics[name].value for point in found.points]
    up = [point.cost.queries_per_second for point in found.points]
    best = pareto(list(zip(across, up, strict=True)))
    axes.plot([across[i] for i in best], [up[i] for i in best], color=BLACK, alpha=0.7, zorder=1)
    kinds = list(dict.fromkeys(point.index for point in found.points))
    for number, kind in enumerate(kinds):
        mine = [i for i, point in enumerate(found.points) if point.index == kind]
        axes.scatter(
            [across[i] for i in mine],
            [up[i] for i in mine],
            s=80,
            color=COLOURS[number % len(COLOURS)],
            marker=MARKERS[number % len(MARKERS)],
            label=kind,
            zorder=2,
        )
    own = found.points.index(found.own)
    axes.scatter(
        across[own],
        up[own],
        s=260,
        facecolors="none",
        edgecolors=BLACK,
        linewidths=2,
        label="bogv's own",
        zorder=3,
    )
    letters = _letters(found)
    for i, letter in letters.items():
        axes.annotate(
            letter,
            (across[i], up[i]),
            # bogv's own may lie close below the frontier.
            xytext=(-14, -14) if i == own and own not in best else (5, 8),
            textcoords="offset points",
            fontsize=13,
            fontweight="bold",
        )
    plain_log(axes, "y")
    axes.set_title(f"{found.vectors.gallery:,} × {found.vectors.dimension}, {found.database}")
    axes.set_xlabel(f"ann_recall@{found.k}")
    axes.set_ylabel(f"queries a second, {found.threads} at a time (log)")
    named = [
        # The letter is part of the label: as a marker, it would need to be a formula.
        Line2D([], [], linestyle="", label=f"{letter}  {_short(found.points[i])}")
        for i, letter in letters.items()
    ]
    handles = [*axes.get_legend_handles_labels()[0], *named]
    axes.legend(handles=handles, loc="upper left", bbox_to_anchor=(1, 1), fontsize=10)


def _letters(found: Ann) -> dict[int, str]:
    """A letter for each point of the frontier and for bogv's own, by the recall ascending."""
    name = f"ann_recall@{found.k}"
    points = [(p.metrics[name].value, p.cost.queries_per_second) for p in found.points]
    chosen = {*pareto(points), found.points.index(found.own)}
    ordered = sorted(chosen, key=lambda index: (points[index][0], -points[index][1]))
    return dict(zip(ordered, ascii_uppercase, strict=False))


def _costs(found: Ann) -> list[str | Figure]:
    builds = _builds(found)
    height = 1.6 + 0.4 * len(builds)
    threads = f"{found.build_threads} thread{'s' if found.build_threads != 1 else ''}"
    took = [point.cost.build_seconds for point in builds]
    figures: list[str | Figure] = [
        Figure(
            "build-time",
            render(lambda axes: _draw_bars(axes, builds, took, "Build time", "s"), height=height),
            "Seconds that each index took to build.",
        )
    ]
    held = [point.cost.memory_mib for point in builds]
    if all(value is not None for value in held):
        sizes = [value or 0.0 for value in held]
        figures.append(
            Figure(
                "memory",
                render(
                    lambda axes: _draw_bars(axes, builds, sizes, "Memory", "MiB"), height=height
                ),
                "MiB that a process holds with each index.",
            )
        )
    vectors = found.vectors.gallery * found.vectors.dimension * 4 / 2**20
    built = "all cores" if not found.build_threads else threads
    figures.append(
        f"Built with {built}, over existing rows, by dropping and rebuilding the index; no searches"
        " ran until it was complete. Memory is the growth of a fresh process while it opens the"
        " gallery and runs the warm-up queries: rows and index. The vectors themselves take"
        f" {vectors:,.0f} MiB."
        if found.points[0].cost.memory_mib is not None
        else "Built by the server, over existing rows. Its memory can't be measured here."
    )
    return figures


def _builds(found: Ann) -> list[AnnPoint]:
    """The first point of each build."""
    first = {(point.index, str(point.build)): point for point in reversed(found.points)}
    return list(first.values())[::-1]


def _draw_bars(
    axes: Axes, builds: Sequence[AnnPoint], values: Sequence[float], title: str, unit: str
) -> None:
    positions = np.arange(len(builds))[::-1]
    colours = [GREEN, *[BLUE] * (len(builds) - 1)]  # bogv's own is the first
    axes.barh(positions, values, color=colours)
    for position, value in zip(positions, values, strict=True):
        axes.annotate(
            f"{value:,.1f}" if value < 10 else f"{value:,.0f}",
            (value, position),
            xytext=(5, 0),
            textcoords="offset points",
            va="center",
            fontsize=11,
        )
    axes.set_yticks(positions, [_built(point) for point in builds])
    axes.set_xlim(0, 1.12 * max(*values, 1.0))
    axes.grid(visible=False, axis="y")
    axes.set_title(f"{title} (green: bogv's own)")
    axes.set_xlabel(unit)


def _table(found: Ann) -> Table:
    name, ties = f"ann_recall@{found.k}", f"ann_recall_ties@{found.k}"
    letters = _letters(found)
    rows = []
    for number, point in enumerate(found.points):
        mean, cost = point.metrics[name], point.cost
        rows.append(
            [
                _short(point) + (" (bogv's own)" if point.own else ""),
                letters.get(number, ""),
                f"{mean.value:.4f}",
                interval_text(mean, 3),
                f"{point.metrics[ties].value:.4f}",
                f"{cost.queries_per_second:.1f}",
                f"{cost.p50_ms:.1f}",
                f"{cost.p99_ms:.1f}",
                share_text(cost.others),
                share_text(cost.build_others),
            ]
        )
    columns = ["index", "", name, "95%", "with ties", "queries/s", "p50 ms", "p99 ms"]
    columns += ["others", "others, build"]
    caption = (
        f"{found.n:,} queries; efC is efConstruction. With ties: {ties}, which counts another"
        f" neighbour with the last one's score. {SHARE}"
    )
    return Table(columns, rows, caption)


def _searched(found: Ann) -> list[str]:
    part = found.vectors
    text = f"{part.gallery:,} vectors of {part.dimension} dimensions, {found.n:,} queries held out"
    if part.parameters:
        given = ", ".join(f"{name} {value:g}" for name, value in part.parameters.items())
        text += f"; drawn from clusters ({given})"
    lite = found.database == "Milvus Lite"
    notes = [f"{text}. Digest {part.digest}. {found.database}."]
    if lite:
        notes.append(
            "Milvus Lite iterates over all rows in Python in each search, whatever the index; this"
            " part of the time is the same for all. Its AUTOINDEX is HNSW with M 16 and"
            " efConstruction 200. Figures differ on a server: set MILVUS_HOST."
        )
    return notes


def _short(point: AnnPoint) -> str:
    given = " ".join(f"{name}{value}" for name, value in (point.build | point.search).items())
    return f"{point.index} {given.replace('efConstruction', 'efC')}".strip()


def _built(point: AnnPoint) -> str:
    given = " ".join(f"{name}{value}" for name, value in point.build.items())
    return f"{point.index} {given.replace('efConstruction', 'efC')}".strip()

"""The trend of a metric over revisions, one line for what can be compared."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import numpy as np
from matplotlib.axes import Axes

from eval.errors import WorkbenchError
from eval.history.store import Entry
from eval.report.document import plain
from eval.report.plots import COLOURS, MARKERS, render_many
from eval.report.results import weights_text

UNKNOWN = "unknown"
SHORT = 8
"""Characters of a revision on the axis."""


def trend_lines(entries: Sequence[Entry], metric: str | None) -> dict[str, list[list[Entry]]]:
    """By dataset, its lines: the entries that can be compared, in their order.

    metric: entries without it are left out; None: each dataset's headline. Raises WorkbenchError
    where nothing is left.
    """
    lines: dict[tuple[str, ...], list[Entry]] = {}
    for entry in entries:
        if metric is None or metric in entry.metrics:
            lines.setdefault(entry.line, []).append(entry)
    if not lines:
        raise WorkbenchError(f"The history has no run with {metric or 'any metric'}.")
    datasets: dict[str, list[list[Entry]]] = {}
    for line in lines.values():
        datasets.setdefault(line[0].dataset, []).append(line)
    return dict(sorted(datasets.items()))


def trend_plot(entries: Sequence[Entry], metric: str | None = None) -> bytes:
    """PNG: a panel for each dataset; revisions in the order of their first run's date.

    metric: None: each dataset's headline. Raises WorkbenchError where there is nothing to draw.
    """
    datasets = trend_lines(entries, metric)
    most = max(len(lines) for lines in datasets.values())
    draws = [partial(_draw, lines=lines, metric=metric) for lines in datasets.values()]
    width = max(9.0, 2 + 1.1 * len(revisions(entries)))
    return render_many(draws, columns=1, width=width, height=4.6 + 0.4 * most)


def revisions(entries: Sequence[Entry]) -> list[str]:
    """Each revision once, ordered by the date of its first run."""
    first: dict[str, str] = {}
    for entry in entries:
        name = entry.revision or UNKNOWN
        first[name] = min(entry.date, first.get(name, entry.date))
    return sorted(first, key=lambda name: (first[name], name))


def _draw(axes: Axes, lines: list[list[Entry]], metric: str | None) -> None:
    name = metric or lines[0][0].headline
    places = {
        revision: place
        for place, revision in enumerate(revisions([entry for line in lines for entry in line]))
    }
    for number, line in enumerate(lines):
        # Side by side, so that intervals at one revision can be told apart.
        aside = min(0.08, 0.6 / len(lines)) * (number - (len(lines) - 1) / 2)
        ordered = sorted(line, key=lambda entry: places[entry.revision or UNKNOWN])
        means = [entry.metrics[name] for entry in ordered]
        values = np.array([mean.value for mean in means])
        low, high = np.array([mean.ci95 or (mean.value, mean.value) for mean in means]).T
        axes.errorbar(
            [places[entry.revision or UNKNOWN] + aside for entry in ordered],
            values,
            yerr=np.maximum([values - low, high - values], 0),
            color=COLOURS[number % len(COLOURS)],
            marker=MARKERS[number % len(MARKERS)],
            capsize=4,
            elinewidth=1.5,
            label=_label(line[0]),
        )
    axes.set_xticks(list(places.values()), [short_revision(each) for each in places])
    axes.set_xlim(-0.5, len(places) - 0.5)
    axes.set(xlabel="revision", ylabel=f"{name} (bar: 95% interval)")
    axes.set_title(plain(lines[0][0].dataset))
    axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.2), ncols=1)


def short_revision(revision: str | None) -> str:
    """The first letters of a revision, with a * where files differed from it.

    >>> short_revision("0123456789abcdef-dirty")
    '01234567*'
    """
    name, dirty, _ = (revision or UNKNOWN).partition("-dirty")
    return name[:SHORT] + ("*" if dirty else "")


def _label(entry: Entry) -> str:
    settings = entry.settings or "own settings"
    return (
        f"{settings}, {entry.backend}, {entry.engine}, {weights_text(entry.weights)}"
        f" ({entry.weights.fingerprint[:6]}), images {entry.digest[:6]}, n = {entry.n:,}"
    )

"""The ROC and precision-recall curves of the methods."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from numpy.typing import NDArray

from eval.copies.decision import METHODS, TITLES
from eval.copies.ranked import Curve
from eval.report.document import Figure
from eval.report.plots import COLOURS, MARKERS, plain_log, render

Rates = tuple[NDArray[np.float64], NDArray[np.float64]]


def roc_plot(rates: Mapping[str, Rates], absent: int) -> Figure:
    """rates: of each method, false alarms and recalls; absent: searches for what isn't there."""
    lowest = 0.5 / absent

    def draw(axes: Axes) -> None:
        for number, name in enumerate(METHODS):
            false, found = rates[name]
            axes.plot(np.maximum(false, lowest), found, **_style(number, len(false), TITLES[name]))
        plain_log(axes, "x")
        axes.set_xlim(lowest, 1)
        axes.set_ylim(0, 1.02)
        axes.set_xlabel("searches for what isn't there that name an image (left end: none)")
        axes.set_ylabel("originals named")
        axes.legend(loc="lower right")

    return Figure("roc", render(draw), "ROC curves; the text beside the figure has the figures.")


def precision_recall_plot(curves: Mapping[str, Curve]) -> Figure:
    """Precision and recall of each method's ranked list."""

    def draw(axes: Axes) -> None:
        for number, name in enumerate(METHODS):
            curve = curves[name]
            style = _style(number, len(curve.recall), TITLES[name])
            axes.plot(curve.recall, curve.precision, **style)
        axes.set_xlim(0, 1.02)
        axes.set_ylim(0, 1.02)
        axes.set_xlabel("recall")
        axes.set_ylabel("precision")
        axes.legend(loc="lower left")

    alt = "Precision over recall of each method; the table below has the figures."
    return Figure("precision-recall", render(draw), alt)


def _style(number: int, points: int, label: str) -> dict[str, Any]:
    return {
        "color": COLOURS[number],
        "marker": MARKERS[number],
        "markevery": max(1, points // 8),
        "label": label,
    }

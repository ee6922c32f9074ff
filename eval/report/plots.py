"""The style of every plot, and rendering to a file.

Plots are drawn on figures of their own, without pyplot and its global state. Colours are Okabe and
Ito's, which the colour-blind can tell apart (https://jfly.uni-koeln.de/color/); where lines meet,
markers tell them apart as well.
"""

from __future__ import annotations

import io
import warnings
from collections.abc import Callable, Sequence
from functools import cache
from typing import Any, Literal

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.font_manager import fontManager
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

BLUE, ORANGE, GREEN, RED = "#0072B2", "#E69F00", "#009E73", "#D55E00"
PURPLE, SKY, YELLOW, BLACK = "#CC79A7", "#56B4E9", "#F0E442", "#000000"
GREY = "#6B7480"
COLOURS = (BLUE, RED, GREEN, ORANGE, PURPLE, SKY, BLACK, YELLOW)
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*")

DPI = 150
"""Pixels per inch."""

STYLE: Any = {
    "font.size": 15,
    "axes.titlesize": 16,
    "axes.titlelocation": "left",
    "axes.titlepad": 12,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": GREY,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.alpha": 0.3,
    "lines.linewidth": 2.5,
    "lines.markersize": 7,
    "legend.frameon": False,
    "legend.fontsize": 14,
    "text.parse_math": False,  # a label may contain two dollar signs
}
"""Large enough to be read at half the size."""

# Labels may be in Chinese, Japanese or Korean, which matplotlib's own font lacks.
_CJK = ("Noto Sans CJK SC", "Noto Sans SC", "Source Han Sans SC", "Microsoft YaHei", "PingFang SC")


def render(draw: Callable[[Axes], object], *, width: float = 9, height: float = 5.5) -> bytes:
    """PNG of what `draw` draws on the axes. width, height: inches, of `DPI` pixels each."""
    return render_many([draw], columns=1, width=width, height=height)


def render_many(
    draws: Sequence[Callable[[Axes], object]],
    *,
    columns: int,
    width: float = 6,
    height: float = 4,
) -> bytes:
    """PNG of several plots side by side, row by row. width, height: of each, as in `render`."""
    rows = -(-len(draws) // columns)
    with mpl.rc_context({**STYLE, "font.family": _fonts()}), warnings.catch_warnings():
        # Characters missing in all fonts are drawn as boxes; the tables show them correctly.
        warnings.filterwarnings("ignore", "Glyph .* missing from font", UserWarning)
        figure = Figure(figsize=(columns * width, rows * height), layout="constrained")
        for number, draw in enumerate(draws, 1):
            draw(figure.add_subplot(rows, columns, number))
        return _to_png(figure)


def _to_png(figure: Figure) -> bytes:
    out = io.BytesIO()
    # Without matplotlib's version, equal figures give equal files.
    figure.savefig(out, format="png", dpi=DPI, metadata={"Software": None})
    return out.getvalue()


@cache
def _fonts() -> list[str]:
    """matplotlib's font, then the installed Chinese ones: missing names would cause warnings."""
    here = {font.name for font in fontManager.ttflist}
    return ["DejaVu Sans", *(name for name in _CJK if name in here)]


def plain_log(axes: Axes, which: Literal["x", "y"]) -> None:
    """Make an axis logarithmic, with plain numbers: 20 rather than 2 × 10¹."""
    if which == "x":
        axes.set_xscale("log")
    else:
        axes.set_yscale("log")
    axis = axes.xaxis if which == "x" else axes.yaxis
    axis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.10g}"))
    axis.set_minor_formatter(NullFormatter())

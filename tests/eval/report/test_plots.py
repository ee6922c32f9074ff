from __future__ import annotations

from eval.report.plots import render


def test_the_same_figures_make_the_same_plot_with_any_labels() -> None:
    plots = [
        render(lambda axes: axes.set_title("$x$ 鞋子 \U0001f45f"), width=2, height=1)
        for _ in range(2)
    ]
    assert plots[0] == plots[1]
    assert b"matplotlib" not in plots[0].lower()

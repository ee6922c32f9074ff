"""Shared parts of the tabs: escaping, error messages, cached files, sizes."""

from __future__ import annotations

from pathlib import Path

import gradio as gr
import pytest

from bogv.calibration.background import Rarity
from bogv.errors import InvalidValue, NotAnImage, PathNotAllowed
from bogv.records import Record
from bogv.ui.components import (
    cache_file,
    explain,
    format_size,
    render_card,
    report_errors,
    resolve_upload,
)

HOSTILE = "<img src=x onerror=alert(1)>\"'&"

pytestmark = pytest.mark.usefixtures("uploads")


def test_a_hostile_key_and_path_are_escaped_in_the_card() -> None:
    record = Record(1, HOSTILE, HOSTILE, "0" * 32, 10, 20, 512, 0)
    html = render_card(record, b"", 0.5, "en")
    assert "<img src=x" not in html
    assert html.count("&lt;img src=x onerror=alert(1)&gt;&quot;&#x27;&amp;") == 3
    assert html.count("<img") == 1


def test_the_card_of_a_result_has_its_rarity() -> None:
    record = Record(1, "k", "/a", "0" * 32, 10, 20, 512, 0)
    html = render_card(record, b"", 0.5, "en", Rarity(0.001, 0.001, False))
    assert '<dt>Rarity</dt><dd data-field="rarity">1 in 1,000 pairs</dd>' in html


def test_a_hostile_error_message_is_escaped() -> None:
    html = explain(NotAnImage(HOSTILE), "en")
    assert "<img" not in html
    assert html.startswith("This file is not a readable image")


def test_an_expected_error_is_shown_with_its_message() -> None:
    @report_errors
    def handler() -> None:
        raise InvalidValue("<b>")

    with pytest.raises(gr.Error) as caught:
        handler()
    assert "&lt;b&gt;" in str(caught.value)


def test_an_unexpected_error_is_logged_and_not_shown(caplog: pytest.LogCaptureFixture) -> None:
    @report_errors
    def handler() -> None:
        raise RuntimeError("the inner workings")

    with pytest.raises(gr.Error) as caught:
        handler()
    assert "inner workings" not in str(caught.value)
    assert "inner workings" in caplog.text


def test_equal_bytes_are_cached_once_under_their_name() -> None:
    first, second = cache_file(b"same", "1.webp"), cache_file(b"same", "1.webp")
    assert first == second
    assert Path(first).read_bytes() == b"same"
    assert resolve_upload({"path": first, "orig_name": "mine.jpg"}) == (Path(first), "mine.jpg")


def test_files_outside_the_upload_folder_are_rejected() -> None:
    for path in ("/etc/passwd", f"{cache_file(b'x', 'x')}/../../..", None):
        with pytest.raises(PathNotAllowed):
            resolve_upload({"path": path})


def test_sizes_are_shown_with_a_decimal_unit() -> None:
    assert [format_size(size) for size in (512, 34_500, 1_250_000)] == [
        "512 B",
        "34.5 kB",
        "1.2 MB",
    ]

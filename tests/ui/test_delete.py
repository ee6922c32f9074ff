"""The Delete tab: parsing of ids and keys, the preview, the deletion."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import gradio as gr
import pytest

from bogv.errors import InvalidValue
from bogv.service import ImageSearch
from bogv.ui.delete import DeleteTab, parse_ids, split_names
from tests.support.fakes import png

pytestmark = pytest.mark.usefixtures("uploads")


def test_names_are_split_at_commas_and_line_breaks_without_duplicates() -> None:
    assert split_names(" a, b\r\nc c ,,\n b") == ["a", "b", "c c"]
    assert split_names(" \n, ") == []
    assert split_names('"a,b", c\n "x ""y""\nz " ,"a,b"') == ["a,b", "c", 'x "y"\nz ']
    assert split_names('5" pipe, "open, "" \n') == ['5" pipe', '"open', '""']


def test_ids_are_whole_numbers() -> None:
    assert parse_ids(["1", "007", str(2**53 - 1)]) == [1, 7, 2**53 - 1]
    assert parse_ids(["0", str(2**53)]) == []
    for bad in ("1.5", "-1", "abc", "１", "1e3", "9" * 40):
        with pytest.raises(InvalidValue, match=re.escape(bad)):
            parse_ids(["1", bad])


def test_exactly_the_previewed_images_are_deleted(
    build_tab: Callable[[Any], Any], search: ImageSearch, request_in_english: gr.Request
) -> None:
    for seed in range(3):
        search.add(png(seed), f"k{seed}")
    tab = build_tab(DeleteTab)
    preview = tab.preview("k0, k1, <b>", "keys", request_in_english)
    assert "2 images will be deleted." in preview[tab.status]
    assert "Not in the gallery: &lt;b&gt;" in preview[tab.status]
    updates = tab.delete_previewed(preview[tab.ids], request_in_english)
    assert "2 images were deleted." in updates[tab.status]
    assert updates[tab.ids] == []
    assert [record.key for record in search.page(None, 10, "").records] == ["k2"]
    assert search.delete_keys(["k2"]) == 1


def test_an_invalid_id_is_named_and_nothing_is_previewed(
    build_tab: Callable[[Any], Any], request_in_english: gr.Request
) -> None:
    tab = build_tab(DeleteTab)
    updates = tab.preview("12, <b>", "ids", request_in_english)
    assert "these are not: &lt;b&gt;." in updates[tab.status]
    assert updates[tab.ids] == []
    assert "Enter at least one" in tab.preview(" , ", "ids", request_in_english)[tab.status]

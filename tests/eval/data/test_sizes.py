from __future__ import annotations

import io

import pytest
from PIL import Image, UnidentifiedImageError

from eval.data.items import Item
from eval.data.sizes import measure_sizes


def item(width: int, height: int) -> Item:
    out = io.BytesIO()
    Image.new("L", (width, height)).save(out, "PNG")
    return Item(f"{width}", None, out.getvalue)


def test_percentiles_are_sizes_of_images() -> None:
    items = [item(side, 2) for side in range(1, 22)]
    found = measure_sizes(items[::-1])
    assert found.pixels == [2, 4, 22, 40, 42]
    assert found.bytes[0] == min(len(each.read()) for each in items)
    assert found.bytes[-1] == max(len(each.read()) for each in items)


def test_a_single_image_is_all_of_its_percentiles() -> None:
    assert measure_sizes([item(3, 5)]).pixels == [15] * 5


def test_what_is_no_image_is_an_error() -> None:
    with pytest.raises(UnidentifiedImageError):
        measure_sizes([item(3, 5), Item("bad", None, lambda: b"no image")])

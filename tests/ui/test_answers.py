"""What the Search tab keeps."""

from __future__ import annotations

import pytest

from bogv.ui.answers import Options


def test_the_slider_is_the_exponent_of_the_rarity() -> None:
    assert Options(10, 0.0).max_rarity is None
    assert Options(10, 0.0, 3).max_rarity == pytest.approx(0.001)

"""Pictures of a gallery, from its thumbnails."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from bogv.copies.stored import decode_thumbnail
from bogv.errors import Overloaded
from bogv.service import ImageSearch
from tests.support.fakes import lite_search, png


@pytest.fixture
def search(tmp_path: Path) -> Iterator[ImageSearch]:
    service = lite_search(tmp_path)
    yield service
    service.close()


def test_the_thumbnail_is_decoded_with_its_reduced_picture(search: ImageSearch) -> None:
    image_id = search.add(png(1)).id or 0
    picture = decode_thumbnail(search.thumbnails, search.decoder, image_id, reduced=True)
    assert picture is not None
    assert picture.reduced is not None
    assert picture.reduced.shape == (240, 320, 3)


def test_a_missing_or_damaged_one_is_logged(
    search: ImageSearch, caplog: pytest.LogCaptureFixture
) -> None:
    assert decode_thumbnail(search.thumbnails, search.decoder, 5) is None
    search.thumbnails.write(6, b"nothing")
    assert decode_thumbnail(search.thumbnails, search.decoder, 6) is None
    assert "Image 5 has no thumbnail" in caplog.text
    assert "The thumbnail of image 6 can't be decoded" in caplog.text


def test_a_busy_decoder_is_an_error(search: ImageSearch, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise Overloaded("All processes are busy.")

    image_id = search.add(png(1)).id or 0
    monkeypatch.setattr(search.decoder, "decode", refuse)
    with pytest.raises(Overloaded):
        decode_thumbnail(search.thumbnails, search.decoder, image_id)

"""PDQ: pinned hashes, the eight orientations, and what changes a hash and what doesn't."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from bogv.imaging.decode import decode
from bogv.imaging.pdq import pdq_hashes
from bogv.records import MIN_QUALITY, Pixels
from tests.support.fakes import encoded, picture
from tests.support.running import ROOT

# As of Meta's own program (pdqhash 0.2.8 from PyPI) on the same pixels.
CANONICAL = {
    "alpha.webp": ("67b44f8e6c602c53e28ad44f13d99ae01d746fc4e427e5238f8a9853b24f96b6", 100),
    "chirp.png": ("a0a5c0a12d56d2a1ad5f42bd52faa1ad5752a2ada2ad5f52a2ad5f52075ab2ad", 100),
    "grey16.png": ("a5b46924db64366c64ccdd99319967398e313c71f1e187c31f03fc07001f07ff", 19),
    "turned.jpg": ("21cb8dec49c78d07392220f596acf5a1ab8fae62ddc1c2ca271fd91816e60b77", 100),
}
TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


def distance(one: Pixels, other: Pixels) -> int:
    return int(np.unpackbits(one ^ other).sum())


def hash_of(image: Image.Image) -> Pixels:
    return pdq_hashes(np.asarray(image.convert("RGB")))[0][:1]


@pytest.mark.parametrize("name", CANONICAL)
def test_the_hash_and_the_quality_are_the_reference_s(name: str) -> None:
    image: Image.Image = Image.open(ROOT / "eval/embedding/canonical" / name)
    if image.mode.startswith("I"):
        image = Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))
    hashes, quality = pdq_hashes(np.asarray(image.convert("RGB")))
    assert (hashes[0].tobytes().hex(), quality) == CANONICAL[name]


@pytest.mark.parametrize("size", [(384, 288), (101, 384), (64, 64), (7, 300)])
def test_each_hash_is_that_of_the_picture_in_its_orientation(size: tuple[int, int]) -> None:
    image = picture(1, size)
    hashes, quality = pdq_hashes(np.asarray(image))
    assert hashes.shape == (8, 32)
    for orientation, turn in TURNS.items():
        turned, same_quality = pdq_hashes(np.asarray(image.transpose(turn)))
        # A frequency at the median may fall on either side of it.
        assert distance(turned[0], hashes[orientation - 1]) <= 2
        assert abs(quality - same_quality) <= 3


def test_a_smaller_or_compressed_copy_has_nearly_the_same_hash(photos: list[Path]) -> None:
    apart = []
    for path in photos[:20]:
        with Image.open(path) as opened:
            image = opened.convert("RGB")
        image.thumbnail((384, 384))
        small = image.resize((image.width // 2, image.height // 2))
        apart.append(distance(hash_of(image), hash_of(small)))
    assert np.median(apart) <= 31  # no two different photos are that close


def test_different_pictures_have_hashes_far_apart() -> None:
    hashes = [hash_of(picture(seed)) for seed in range(30)]
    closest = min(distance(a, b) for i, a in enumerate(hashes) for b in hashes[:i])
    assert closest > 70


def test_the_hash_of_the_thumbnail_is_nearly_that_of_the_picture(photos: list[Path]) -> None:
    apart = []
    for path in photos[:20]:
        original = decode(path.read_bytes(), 10**8, 512, True, lambda _: None)
        again = decode(original.thumbnail or b"", 10**8, 512, False, lambda _: None)
        apart.append(distance(original.hashes[0], again.hashes[0]))
    assert np.median(apart) <= 2


def test_a_plain_picture_has_a_low_quality_and_a_photo_a_high_one(photos: list[Path]) -> None:
    plain = Image.new("RGB", (300, 200), "white")
    assert pdq_hashes(np.asarray(plain))[1] == 0
    plain.paste("blue", (140, 90, 160, 110))
    assert 0 < pdq_hashes(np.asarray(plain))[1] < MIN_QUALITY
    photo = decode(photos[0].read_bytes(), 10**8, 512, False, lambda _: None)
    assert photo.quality >= MIN_QUALITY


@settings(max_examples=30)
@given(st.integers(1, 384), st.integers(1, 384), st.integers(0, 3))
def test_a_picture_of_any_size_has_hashes(width: int, height: int, seed: int) -> None:
    hashes, quality = pdq_hashes(np.asarray(picture(seed, (width, height))))
    assert hashes.shape == (8, 32)
    assert hashes.dtype == np.uint8
    assert 0 <= quality <= 100


def test_a_turned_copy_matches_in_the_orientation_that_turns_it_back() -> None:
    stored = hash_of(picture(3))
    turned = decode(
        encoded(picture(3).transpose(Image.Transpose.ROTATE_90)), 10**8, 512, False, lambda _: None
    )
    apart = [distance(stored, each) for each in turned.hashes]
    assert int(np.argmin(apart)) + 1 == 6  # Exif 6: to be turned by 90 degrees clockwise
    assert min(apart) <= 4

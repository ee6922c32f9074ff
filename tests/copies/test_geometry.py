from __future__ import annotations

import math
from functools import cache
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw

from bogv.copies.features import MIN_SHORT_SIDE, Features, describe, mirror
from bogv.copies.geometry import NO_AGREEMENT, PART, Agreement, verify
from bogv.records import Pixels
from tests.support.fakes import encoded
from tests.support.pictures import scene


def features(image: Image.Image) -> Features:
    return describe(np.asarray(image))


def compare(query: Image.Image, hit: Image.Image) -> Agreement:
    return verify(features(query), features(hit))


def mapped(agreement: Agreement, x: float, y: float) -> list[float]:
    assert agreement.transform is not None
    return [float(each) for each in agreement.transform @ (x, y, 1)]


def test_a_picture_agrees_with_itself_as_a_whole() -> None:
    found = compare(scene(1), scene(1))
    assert found.inliers > 3 * PART
    assert not found.mirrored
    assert found.scale == pytest.approx(1, abs=1e-6)
    assert found.rotation == pytest.approx(0, abs=1e-4)
    assert found.transform == pytest.approx(np.eye(2, 3), abs=1e-6)
    assert found.query_overlap == pytest.approx(1, abs=1e-5)
    assert found.hit_overlap == pytest.approx(1, abs=1e-5)
    assert np.array_equal(found.query_points, found.hit_points)
    assert found.query_points.shape == (found.inliers, 2)


def test_a_crop_lies_within_the_picture_where_it_was_cut() -> None:
    found = compare(scene(1).crop((96, 72, 288, 216)), scene(1))
    assert found.inliers >= PART
    assert found.scale == pytest.approx(0.5, rel=0.02)
    assert mapped(found, 0, 0) == pytest.approx([0.25, 0.25], abs=0.01)
    assert mapped(found, 1, 1) == pytest.approx([0.75, 0.75], abs=0.01)
    assert found.query_overlap == pytest.approx(1, abs=0.02)
    assert found.hit_overlap == pytest.approx(0.25, abs=0.02)


def test_query_and_hit_swapped_agree_the_other_way_round() -> None:
    crop, whole = features(scene(1).crop((96, 72, 288, 216))), features(scene(1))
    there, back = verify(crop, whole), verify(whole, crop)
    assert back.inliers == pytest.approx(there.inliers, rel=0.2)
    assert back.scale == pytest.approx(1 / there.scale, rel=0.01)
    assert back.query_overlap == pytest.approx(there.hit_overlap, abs=0.01)


@pytest.mark.parametrize("degrees", [15, 45, 90, 180, -135])
def test_a_turned_picture_agrees_turned(degrees: int) -> None:
    turned = scene(2).rotate(-degrees, Image.Resampling.BICUBIC, expand=True, fillcolor="white")
    found = compare(scene(2), turned)
    assert found.inliers >= PART
    difference = math.radians(found.rotation - degrees)
    assert math.cos(difference) == pytest.approx(1, abs=1e-3)
    assert found.query_overlap > 0.95
    assert mapped(found, 0.5, 0.5) == pytest.approx([0.5, 0.5], abs=0.01)


def test_a_mirrored_picture_agrees_mirrored() -> None:
    flipped = scene(3).transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    found = compare(scene(3), flipped)
    assert found.inliers >= 4 * PART
    assert found.mirrored
    assert mapped(found, 0.2, 0.3) == pytest.approx([0.8, 0.3], abs=0.01)
    assert found.query_points[:, 0] == pytest.approx(1 - found.hit_points[:, 0], abs=0.02)
    assert found.query_points[:, 1] == pytest.approx(found.hit_points[:, 1], abs=0.02)


def test_a_picture_turned_over_is_mirrored_and_turned() -> None:
    found = compare(scene(3), scene(3).transpose(Image.Transpose.FLIP_TOP_BOTTOM))
    assert found.mirrored
    assert abs(found.rotation) == pytest.approx(180, abs=1)


def test_the_features_of_the_mirrored_picture_need_no_second_extraction() -> None:
    computed = mirror(features(scene(3)))
    extracted = features(scene(3).transpose(Image.Transpose.FLIP_LEFT_RIGHT))
    found = verify(computed, extracted)
    assert not found.mirrored
    assert found.transform == pytest.approx(np.eye(2, 3), abs=0.01)
    again = mirror(computed)
    original = features(scene(3))
    assert np.array_equal(again.descriptors, original.descriptors)
    assert again.points == pytest.approx(original.points)
    assert again.frames == pytest.approx(original.frames)


def test_the_transform_takes_the_points_of_the_query_to_those_of_the_hit() -> None:
    hit = scene(4).rotate(20, Image.Resampling.BICUBIC, expand=True).resize((380, 333))
    for query in (scene(4), scene(4).transpose(Image.Transpose.FLIP_LEFT_RIGHT)):
        found = compare(query, hit)
        assert found.transform is not None
        ones = np.ones((found.inliers, 1))
        there = np.hstack([found.query_points, ones]) @ found.transform.T
        assert np.abs(there - found.hit_points).max() < 0.02


def test_pictures_that_share_a_small_part_do_not_agree() -> None:
    """As packages of one brand do, or things on one table."""
    first, second = scene(5).copy(), scene(6).copy()
    shared = scene(7, (140, 140))
    for each, place in ((first, (30, 40)), (second, (200, 100))):
        each.paste(shared, place)
    assert compare(first, shared).inliers >= PART  # all of one of them is shared
    assert compare(first, second).inliers == 0


def test_the_residual_tells_the_same_picture_from_another_shot() -> None:
    picture = scene(8)
    encoded_again = Image.open(BytesIO(encoded(picture.resize((300, 225)), "JPEG", quality=40)))
    # Another shot is taken from another place: things move against each other.
    width, height = picture.size
    moved = (0, 0, 6, height, width - 4, height - 8, width, 3)
    another = picture.transform(picture.size, Image.Transform.QUAD, moved, Image.Resampling.BICUBIC)
    assert compare(picture, encoded_again).residual < 0.25
    assert compare(picture, another).residual > 0.5


def test_different_pictures_do_not_agree() -> None:
    described = [features(scene(seed)) for seed in range(10, 18)]
    counts = [verify(a, b).inliers for i, a in enumerate(described) for b in described[:i]]
    assert max(counts) < PART


def test_photos_agree_with_their_copies_and_with_no_others(photos: list[Path]) -> None:
    chosen = [Image.open(path).convert("RGB") for path in photos[:: max(1, len(photos) // 6)]]
    originals = [features(image) for image in chosen]
    for index, image in enumerate(chosen):
        turned = features(image.rotate(15, Image.Resampling.BICUBIC, expand=True))
        counts = [verify(turned, each).inliers for each in originals]
        assert counts[index] >= PART
        assert max(counts[:index] + counts[index + 1 :]) < PART


def chessboard() -> Pixels:
    rows, columns = np.indices((384, 384)) // 24
    return ((rows + columns) % 2 * 255).astype(np.uint8)


def stripes() -> Pixels:
    return np.tile(np.arange(384) // 8 % 2 * 255, (300, 1)).astype(np.uint8)


def typed(words: str) -> Pixels:
    image = Image.new("RGB", (384, 300), "white")
    ImageDraw.Draw(image).multiline_text((5, 5), "\n".join([words] * 18), "black")
    return np.asarray(image)


DEGENERATE = {
    "flat": np.full((200, 300, 3), 128, np.uint8),
    "black": np.zeros((1, 1, 3), np.uint8),
    "empty": np.zeros((0, 0, 3), np.uint8),
    "thin": np.random.default_rng(0).integers(0, 256, (1, 5000, 3), dtype=np.uint8),
    "tall": np.random.default_rng(0).integers(0, 256, (900, 30), dtype=np.uint8),
    "tiny": np.random.default_rng(0).integers(0, 256, (3, 3, 3), dtype=np.uint8),
    "noise": np.random.default_rng(1).integers(0, 256, (384, 384, 3), dtype=np.uint8),
    "chessboard": chessboard(),
    "stripes": stripes(),
    "text": typed("the quick brown fox jumps over the lazy dog, and again"),
    "other text": typed("sphinx of black quartz judge my vow; pack my box with"),
}


@cache
def degenerate(name: str) -> Features:
    return describe(DEGENERATE[name])


@pytest.mark.parametrize("name", DEGENERATE)
def test_degenerate_pictures_agree_with_no_other(name: str) -> None:
    others = [degenerate(other) for other in DEGENERATE if other != name]
    for other in [*others, features(scene(5))]:
        assert verify(degenerate(name), other).inliers < PART


@pytest.mark.parametrize("name", ["flat", "black", "empty", "thin"])
def test_a_picture_without_features_agrees_with_nothing(name: str) -> None:
    nothing = degenerate(name)
    assert len(nothing.points) == 0
    assert verify(nothing, nothing) is NO_AGREEMENT
    assert verify(nothing, features(scene(1))).inliers == 0


@pytest.mark.parametrize("name", sorted(DEGENERATE))
def test_nothing_is_raised_for_a_picture_and_itself(name: str) -> None:
    found = verify(degenerate(name), degenerate(name))
    assert found.inliers == len(found.query_points) == len(found.hit_points)
    assert (found.transform is None) == (found.inliers == 0)


def test_a_patch_that_both_pictures_share_is_no_agreement_of_a_few_pixels() -> None:
    """A logo of 20 pixels: however many matches it gives, they are at few distinct places."""
    first, second = scene(6).copy(), scene(7).copy()
    logo = scene(8, (80, 60)).resize((20, 15))
    first.paste(logo, (10, 10))
    second.paste(logo, (300, 200))
    assert compare(first, second).inliers < PART


def test_matches_on_a_line_fix_no_transform() -> None:
    line = Image.new("RGB", (384, 384), "white")
    ImageDraw.Draw(line).text((5, 180), "one line of text that runs from left to right", "black")
    assert compare(line, line).inliers == 0


def test_the_same_pixels_give_the_same_answer_whatever_their_layout() -> None:
    pixels = np.asarray(scene(9))
    frozen = pixels.copy()
    frozen.setflags(write=False)
    crop = features(scene(9).crop((50, 50, 300, 250)))
    first = verify(crop, describe(pixels))
    for other in (frozen, np.asfortranarray(pixels), pixels[::-1].copy()[::-1]):
        again = verify(crop, describe(other))
        assert np.array_equal(again.query_points, first.query_points)
        assert (again.scale, again.rotation) == (first.scale, first.rotation)


def test_grey_and_colour_of_the_same_picture_agree() -> None:
    grey = np.asarray(scene(1).convert("L"))
    assert verify(describe(grey), features(scene(1))).inliers > 3 * PART


def test_small_pictures_are_enlarged() -> None:
    small = scene(1).resize((96, 72), Image.Resampling.LANCZOS)
    found = compare(small, scene(1))
    assert found.inliers >= PART
    assert found.scale == pytest.approx(1, rel=0.02)
    assert min(features(small).width, features(small).height) > MIN_SHORT_SIDE


def test_the_settings_of_cv2_stay_as_they_are() -> None:
    import cv2

    before = cv2.getNumThreads(), cv2.useOptimized()
    compare(scene(1), scene(2))
    assert (cv2.getNumThreads(), cv2.useOptimized()) == before

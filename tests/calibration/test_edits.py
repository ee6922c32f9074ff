"""The edits: what each does to a picture, and what they depend on."""

from __future__ import annotations

import io

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageOps

from bogv.calibration.edits import EDITS, EditVariant, apply_edit, edit_variants, working_size
from bogv.errors import InvalidValue
from tests.support.fakes import picture

ALL = edit_variants()


def edit(image: Image.Image, name: str, strength: str, seed: int = 0) -> Image.Image:
    return Image.open(io.BytesIO(apply_edit(image, EditVariant(name, strength), seed, "a.jpg")))


def pixels(image: Image.Image) -> NDArray[np.int16]:
    return np.asarray(image.convert("RGB")).astype(np.int16)


def difference(image: Image.Image, name: str, strength: str) -> float:
    """Mean over all values."""
    return float(np.abs(pixels(edit(image, name, strength)) - pixels(image)).mean())


@pytest.mark.parametrize("variant", ALL, ids=lambda variant: variant.name)
def test_an_edit_depends_on_nothing_but_its_arguments(variant: EditVariant) -> None:
    image = picture(1)
    before = image.tobytes()
    first = apply_edit(image, variant, 7, "a.jpg")
    # Others in between, as in another order of files: no state is left.
    apply_edit(picture(2), variant, 8, "b.jpg")
    assert apply_edit(image, variant, 7, "a.jpg") == first
    assert image.tobytes() == before
    assert first != apply_edit(picture(2), variant, 7, "a.jpg")
    shown = Image.open(io.BytesIO(first))
    assert shown.mode == "RGB"
    assert shown.tobytes() != before


@pytest.mark.parametrize("variant", ALL, ids=lambda variant: variant.name)
def test_an_edit_writes_nothing_to_the_picture_which_threads_share(variant: EditVariant) -> None:
    """Pillow's `save` keeps its options on the image: another thread's quality would be used."""
    image = picture(1)
    before = dict(vars(image))
    apply_edit(image, variant, 0, "a.jpg")
    assert vars(image) == before


@pytest.mark.parametrize(
    ("name", "strength"),
    [("crop", "50"), ("noise", "25"), ("text", "60"), ("combined", "screenshot50+jpeg50")],
)
def test_random_edits_depend_on_the_seed_and_the_image_id(name: str, strength: str) -> None:
    variant = EditVariant(name, strength)
    made = {apply_edit(picture(1), variant, seed, name) for seed in (0, 1) for name in "ab"}
    assert len(made) == 4


@pytest.mark.parametrize("size", [(1, 1), (8, 8), (1, 400), (400, 2)])
def test_every_edit_bears_tiny_and_narrow_pictures(size: tuple[int, int]) -> None:
    for variant in ALL:
        image = Image.open(io.BytesIO(apply_edit(picture(1, size), variant, 0, "a")))
        assert min(image.size) >= 1


def test_jpeg_edits_are_jpeg_and_the_others_lossless() -> None:
    for variant in ALL:
        kind = "JPEG" if "jpeg" in variant.name else "PNG"
        assert edit(picture(1), variant.edit, variant.strength).format == kind


@pytest.mark.parametrize("strength", EDITS["crop"].recipes)
def test_a_crop_keeps_its_share_of_the_area_and_its_shape(strength: str) -> None:
    image = picture(3)
    part = edit(image, "crop", strength)
    assert part.width * part.height / (320 * 240) == pytest.approx(float(strength) / 100, abs=0.01)
    assert part.width / part.height == pytest.approx(320 / 240, abs=0.02)
    whole, cut = pixels(image), pixels(part)
    starts = np.argwhere((whole == cut[0, 0]).all(axis=2)).tolist()
    assert any(
        np.array_equal(whole[y : y + part.height, x : x + part.width], cut) for y, x in starts
    )


@pytest.mark.parametrize(
    ("strength", "size"), [("50", (160, 120)), ("25", (80, 60)), ("12.5", (40, 30))]
)
def test_resize_scales_each_side(strength: str, size: tuple[int, int]) -> None:
    assert edit(picture(1), "resize", strength).size == size


def test_a_rotated_image_is_complete_and_its_new_corners_are_white() -> None:
    black = Image.new("RGB", (200, 100))
    turned = pixels(edit(black, "rotate", "45"))
    assert turned.shape[:2] == pytest.approx((212, 212), abs=3)
    assert (turned[[0, 0, -1, -1], [0, -1, 0, -1]] == 255).all()
    assert (turned.mean(axis=2) < 128).sum() == pytest.approx(200 * 100, rel=0.02)
    image = picture(1)
    assert edit(image, "rotate", "180").tobytes() == image.rotate(180).tobytes()
    assert edit(image, "rotate", "90").size == (240, 320)


def test_mirrors_swap_left_and_right_or_top_and_bottom() -> None:
    image = picture(1)
    assert edit(image, "mirror", "horizontal").tobytes() == ImageOps.mirror(image).tobytes()
    assert edit(image, "mirror", "vertical").tobytes() == ImageOps.flip(image).tobytes()


@pytest.mark.parametrize("name", ["jpeg", "blur", "noise", "grey", "logo"])
def test_a_later_strength_changes_more(name: str) -> None:
    changes = [difference(picture(5), name, strength) for strength in EDITS[name].recipes]
    assert changes == sorted(changes)
    assert changes[0] > 0


def test_noise_has_its_standard_deviation() -> None:
    grey = Image.new("RGB", (200, 200), (128, 128, 128))
    noisy = pixels(edit(grey, "noise", "10"))
    assert noisy.std() == pytest.approx(10, rel=0.03)
    assert noisy.mean() == pytest.approx(128, abs=0.3)


def test_brightness_and_contrast_scale_the_values() -> None:
    flat = Image.new("RGB", (20, 20), (40, 80, 120))
    assert pixels(edit(flat, "brightness", "-50"))[0, 0].tolist() == [20, 40, 60]
    assert pixels(edit(flat, "brightness", "+50"))[0, 0].tolist() == [60, 120, 180]
    two = Image.new("RGB", (20, 20), (50, 50, 50))
    two.paste((150, 150, 150), (0, 0, 10, 20))  # the mean is 100
    halved = pixels(edit(two, "contrast", "-50"))
    assert (halved[0, 0].tolist(), halved[0, -1].tolist()) == ([125] * 3, [75] * 3)


def test_grey_takes_all_colour_away_at_100() -> None:
    red, green, blue = np.moveaxis(pixels(edit(picture(1), "grey", "100")), 2, 0)
    assert np.array_equal(red, green)
    assert np.array_equal(green, blue)


def covered(image: Image.Image) -> tuple[int, int, int, int]:
    """The box of what is no longer of the one colour that it was."""
    plain = Image.new("RGB", image.size, (60, 60, 60))
    ys, xs = np.nonzero((pixels(image) != pixels(plain)).any(axis=2))
    return int(xs.min()), int(ys.min()), int(xs.max()) + 1, int(ys.max()) + 1


@pytest.mark.parametrize("strength", EDITS["text"].recipes)
def test_text_has_its_length_and_is_inside_the_image(strength: str) -> None:
    plain = Image.new("RGB", (400, 300), (60, 60, 60))
    left, top, right, bottom = covered(edit(plain, "text", strength))
    assert (right - left) / 400 == pytest.approx(float(strength) / 100, abs=0.06)
    assert bottom - top < 300 / 2


@pytest.mark.parametrize("strength", EDITS["logo"].recipes)
def test_a_logo_has_its_size_and_is_in_a_corner(strength: str) -> None:
    plain = Image.new("RGB", (400, 300), (60, 60, 60))
    left, top, right, bottom = covered(edit(plain, "logo", strength))
    assert right - left == bottom - top == pytest.approx(3 * float(strength), abs=2)
    assert min(left, 400 - right) < 12
    assert min(top, 300 - bottom) < 12


@pytest.mark.parametrize("strength", EDITS["border"].recipes)
def test_a_border_leaves_the_picture_as_it_is(strength: str) -> None:
    image = picture(1)
    width = round(2.4 * float(strength))
    framed = edit(image, "border", strength)
    assert framed.size == (320 + 2 * width, 240 + 2 * width)
    inside = framed.crop((width, width, 320 + width, 240 + width))
    assert inside.tobytes() == image.tobytes()


@pytest.mark.parametrize("strength", EDITS["screenshot"].recipes)
def test_a_screenshot_holds_the_whole_picture_in_its_share_of_a_window(strength: str) -> None:
    image = picture(1)
    window = edit(image, "screenshot", strength)
    share = image.width * image.height / (window.width * window.height)
    assert share == pytest.approx(float(strength) / 100, abs=0.01)
    shown, whole = pixels(window), pixels(image)
    starts = np.argwhere((shown == whole[0, 0]).all(axis=2)).tolist()
    assert any(np.array_equal(shown[y : y + 240, x : x + 320], whole) for y, x in starts)


def test_combined_edits_are_made_one_after_the_other() -> None:
    image = picture(1)
    cut = edit(image, "combined", "crop75+jpeg50")
    assert cut.size == edit(image, "crop", "75").size
    mirrored = pixels(edit(image, "combined", "mirror+text60"))
    same = (mirrored == pixels(ImageOps.mirror(image))).all(axis=2)
    assert 0.7 < same.mean() < 1


@pytest.mark.parametrize(
    ("size", "scaled"),
    [
        ((512, 700), (512, 700)),
        ((1024, 2048), (512, 1024)),
        ((6000, 60), (2048, 20)),
        ((3, 6000), (1, 2048)),
    ],
)
def test_large_pictures_are_scaled_down_first(
    size: tuple[int, int], scaled: tuple[int, int]
) -> None:
    assert working_size(Image.new("RGB", size)).size == scaled


def test_some_edits_can_be_chosen_and_an_unknown_one_is_named() -> None:
    chosen = edit_variants(["jpeg", "crop"])
    assert [each.name for each in chosen][:6] == [
        "crop:95",
        "crop:90",
        "crop:75",
        "crop:50",
        "crop:30",
        "jpeg:75",
    ]
    with pytest.raises(InvalidValue, match=r"no edit 'crops'; there are crop, resize, rotate"):
        edit_variants(["crops"])


def test_all_edits_and_strengths_exist() -> None:
    asked = ["crop", "resize", "rotate", "mirror", "jpeg", "blur", "noise", "brightness"]
    asked += ["contrast", "grey", "text", "logo", "border", "screenshot", "combined"]
    assert list(EDITS) == asked
    assert list(EDITS["crop"].recipes) == ["95", "90", "75", "50", "30"]
    assert list(EDITS["rotate"].recipes) == ["5", "15", "45", "90", "180"]
    assert list(EDITS["jpeg"].recipes) == ["75", "50", "25", "10"]

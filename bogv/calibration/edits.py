"""Seeded edits of images, typical of copies by which users search for an original.

An edit is a pure function of an image, a strength and a random generator. `EDITS` has all of them,
each with its strengths in ascending order. Random choices (such as the position of a crop) depend
only on the seed, the image's id, the edit and the strength, not on the order of the files or on
other edits.

Edited images are encoded, as in an upload: as lossless PNG, or as JPEG if that is the edit.
"""

from __future__ import annotations

import hashlib
import io
import json
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.random import Generator
from PIL import Image, ImageDraw, ImageEnhance, ImageFilter, ImageOps

from bogv.errors import InvalidValue
from bogv.sources.samples import CAPTIONS, draw_text

EditFunction = Callable[[Image.Image, Generator], Image.Image]
"""One edit at one strength. It doesn't modify its argument."""

SHORT, LONG = 512, 2048
"""Pixels. Larger images are scaled down before the edits, so that edits with a scale in pixels
(JPEG's blocks, noise) are equally strong for a photo of 12 megapixels and one of 1; 512 is about
twice the network's input."""

COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#000000", "#ffffff")
LOGO_COLOURS = COLOURS[:4]  # backgrounds of a white star
THEMES = (("#ffffff", "#dee1e6", "#9aa0a6"), ("#202124", "#35363a", "#8a8f94"))
"""Colours of windows, light and dark: page, title bar, text."""


@dataclass(frozen=True)
class Recipe:
    """The steps of one edit at one strength."""

    steps: Sequence[EditFunction]
    quality: int | None = None
    """JPEG quality of the encoded image; None: PNG."""


@dataclass(frozen=True)
class Edit:
    """One kind of edit."""

    what: str
    """A description, with the unit of its strengths."""
    unit: str
    """The unit of its strengths, for the report; empty if their labels include it."""
    recipes: Mapping[str, Recipe]
    """By the strength's label."""


@dataclass(frozen=True)
class EditVariant:
    """One edit at one strength."""

    edit: str
    strength: str

    @property
    def name(self) -> str:
        """As metrics name it: `crop:50`."""
        return f"{self.edit}:{self.strength}" if self.strength else self.edit


CONTROL = EditVariant("none", "")
"""No edit at all: the original's own bytes."""


# ------------------------------------------------------------------------------ shape


def crop(image: Image.Image, percent: float, rng: Generator) -> Image.Image:
    """Keep so much of the area, anywhere; the shape stays."""
    scale = math.sqrt(percent / 100)
    width, height = (max(1, round(side * scale)) for side in image.size)
    left = int(rng.integers(image.width - width, endpoint=True))
    top = int(rng.integers(image.height - height, endpoint=True))
    return image.crop((left, top, left + width, top + height))


def resize(image: Image.Image, percent: float, _rng: Generator) -> Image.Image:
    """Scale each side down, antialiased."""
    width, height = (max(1, round(side * percent / 100)) for side in image.size)
    return image.resize((width, height), Image.Resampling.BICUBIC)


def rotate(image: Image.Image, degrees: float, rng: Generator) -> Image.Image:
    """Turn either way; the picture grows so that nothing is cut off, its new corners are white."""
    turn = float(degrees * rng.choice((-1, 1)))
    return image.rotate(turn, Image.Resampling.BICUBIC, expand=True, fillcolor="white")


def mirror(image: Image.Image, _rng: Generator) -> Image.Image:
    """Swap left and right."""
    return ImageOps.mirror(image)


def flip(image: Image.Image, _rng: Generator) -> Image.Image:
    """Swap top and bottom."""
    return ImageOps.flip(image)


# ------------------------------------------------------------------------------ pixels


def blur(image: Image.Image, percent: float, _rng: Generator) -> Image.Image:
    """Gaussian; percent: the standard deviation, of the short side."""
    return image.filter(ImageFilter.GaussianBlur(min(image.size) * percent / 100))


def noise(image: Image.Image, sigma: float, rng: Generator) -> Image.Image:
    """Add a Gaussian number to each pixel's each channel. sigma: in grey levels of 0 to 255."""
    pixels = np.asarray(image, np.float32)  # (h, w, 3)
    noisy = pixels + sigma * rng.standard_normal(pixels.shape, np.float32)
    return Image.fromarray(np.clip(np.rint(noisy), 0, 255).astype(np.uint8))


def brightness(image: Image.Image, percent: float, _rng: Generator) -> Image.Image:
    """Multiply all values by 1 + percent / 100; what is lighter than white becomes white."""
    return ImageEnhance.Brightness(image).enhance(1 + percent / 100)


def contrast(image: Image.Image, percent: float, _rng: Generator) -> Image.Image:
    """Multiply each value's distance from the mean grey by 1 + percent / 100."""
    return ImageEnhance.Contrast(image).enhance(1 + percent / 100)


def grey(image: Image.Image, percent: float, _rng: Generator) -> Image.Image:
    """Take so much of the colour away."""
    return ImageEnhance.Color(image).enhance(1 - percent / 100)


# ------------------------------------------------------------------------------ over and around


def text(image: Image.Image, percent: float, rng: Generator) -> Image.Image:
    """Write a caption anywhere; percent: its length, of the width."""
    caption = str(rng.choice(CAPTIONS))
    half = image.width * percent / 200
    x = rng.uniform(half, image.width - half)
    y = image.height * rng.uniform(0.1, 0.9)
    return draw_text(image, caption, percent, (x, y), "mm")


def logo(image: Image.Image, percent: float, rng: Generator) -> Image.Image:
    """Put a badge into a corner; percent: its diameter, of the short side."""
    size = max(3, round(min(image.size) * percent / 100))
    margin = round(min(image.size) * 0.03)
    right, bottom = rng.integers(2, size=2).tolist()
    badge = _badge(size, str(rng.choice(LOGO_COLOURS)))
    position = (
        image.width - size - margin if right else margin,
        image.height - size - margin if bottom else margin,
    )
    image = image.copy()
    image.paste(badge, position, badge)
    return image


def _badge(size: int, colour: str) -> Image.Image:
    """A round badge with a ring and a star, RGBA. Drawn larger: Pillow draws no smooth edges."""
    large = 4 * size
    badge = Image.new("RGBA", (large, large))
    draw = ImageDraw.Draw(badge)
    draw.ellipse((0, 0, large - 1, large - 1), colour)
    inset = large // 16
    ring = (inset, inset, large - 1 - inset, large - 1 - inset)
    draw.ellipse(ring, outline="white", width=max(1, large // 32))
    corners = []
    for corner in range(10):
        radius = large * (0.32 if corner % 2 == 0 else 0.13)
        angle = math.pi * (corner / 5 - 0.5)
        corners.append((large / 2 + radius * math.cos(angle), large / 2 + radius * math.sin(angle)))
    draw.polygon(corners, "white")
    return badge.resize((size, size), Image.Resampling.LANCZOS)


def border(image: Image.Image, percent: float, rng: Generator) -> Image.Image:
    """Frame it in one colour; percent: the frame's width, of the short side."""
    width = max(1, round(min(image.size) * percent / 100))
    return ImageOps.expand(image, width, str(rng.choice(COLOURS)))


def screenshot(image: Image.Image, percent: float, rng: Generator) -> Image.Image:
    """Show it in a window, light or dark; percent: what it takes of the window's area.

    Above it stand the window's bar and an address, below it lines that stand for text.
    """
    page, bar, ink = THEMES[int(rng.integers(len(THEMES)))]
    scale = math.sqrt(100 / percent)
    width, height = (math.ceil(side * scale) for side in image.size)
    spare = height - image.height
    head = spare * 0.4
    left = int(rng.integers(width - image.width, endpoint=True))
    top = round(head + spare * 0.1)
    window = Image.new("RGB", (width, height), page)
    draw = ImageDraw.Draw(window)
    draw.rectangle((0, 0, width, head), bar)
    _draw_bar(draw, width, head, page)
    _draw_lines(draw, (left, top + image.height), (image.width, spare * 0.5), ink)
    window.paste(image, (left, top))
    return window


def _draw_bar(draw: ImageDraw.ImageDraw, width: float, head: float, page: str) -> None:
    """Three round buttons, and a field for an address."""
    unit, middle = min(head, width / 6), head / 2
    radius = unit * 0.15
    for number, colour in enumerate(("#ed6a5e", "#f5bf4f", "#61c554")):
        x = unit * (0.5 + 0.5 * number)
        draw.ellipse((x - radius, middle - radius, x + radius, middle + radius), colour)
    half = unit * 0.28
    start = unit * 2.1
    end = max(width - unit * 0.4, start)
    draw.rounded_rectangle((start, middle - half, end, middle + half), half, page)


def _draw_lines(
    draw: ImageDraw.ImageDraw, position: tuple[float, float], size: tuple[float, float], ink: str
) -> None:
    """Bars of varying length in place of lines of text."""
    (left, top), (width, height) = position, size
    pitch = height / 4
    for number, length in enumerate((0.9, 0.75, 0.4)):
        y = top + pitch * (number + 0.7)
        draw.rectangle((left, y, left + width * length, y + pitch * 0.4), ink)


# ------------------------------------------------------------------------------ the table


def _with_strength(
    function: Callable[[Image.Image, float, Generator], Image.Image], strength: float
) -> EditFunction:
    return lambda image, rng: function(image, strength, rng)


def _graded_recipes(
    function: Callable[[Image.Image, float, Generator], Image.Image],
    strengths: Iterable[float],
    label: str = "{:g}",
) -> dict[str, Recipe]:
    return {
        label.format(strength): Recipe([_with_strength(function, strength)])
        for strength in strengths
    }


_BOTH_WAYS = (-50, -25, 25, 50)

EDITS: Mapping[str, Edit] = {
    "crop": Edit(
        "so much of the area is kept, anywhere; the shape stays",
        "% of area",
        _graded_recipes(crop, (95, 90, 75, 50, 30)),
    ),
    "resize": Edit(
        "each side is scaled down to so much", "% of side", _graded_recipes(resize, (50, 25, 12.5))
    ),
    "rotate": Edit(
        "turned either way; nothing is cut off, the new corners are white",
        "degrees",
        _graded_recipes(rotate, (5, 15, 45, 90, 180)),
    ),
    "mirror": Edit(
        "horizontal: left and right are swapped; vertical: top and bottom",
        "",
        {"horizontal": Recipe([mirror]), "vertical": Recipe([flip])},
    ),
    "jpeg": Edit(
        "saved as a JPEG of this quality",
        "quality",
        {str(quality): Recipe([], quality) for quality in (75, 50, 25, 10)},
    ),
    "blur": Edit(
        "Gaussian; its standard deviation as a share of the short side",
        "% of side",
        _graded_recipes(blur, (0.5, 1, 2, 4)),
    ),
    "noise": Edit(
        "Gaussian, on each channel of each pixel; its standard deviation in grey levels of 255",
        "grey levels",
        _graded_recipes(noise, (10, 25, 50)),
    ),
    "brightness": Edit(
        "all values so much lower or higher", "%", _graded_recipes(brightness, _BOTH_WAYS, "{:+g}")
    ),
    "contrast": Edit(
        "distances from the mean grey so much smaller or larger",
        "%",
        _graded_recipes(contrast, _BOTH_WAYS, "{:+g}"),
    ),
    "grey": Edit("so much of the colour is taken away", "%", _graded_recipes(grey, (50, 100))),
    "text": Edit(
        "a caption written over it, its length as a share of the width",
        "% of width",
        _graded_recipes(text, (30, 60, 90)),
    ),
    "logo": Edit(
        "a round badge in a corner, its diameter as a share of the short side",
        "% of side",
        _graded_recipes(logo, (20, 35, 50)),
    ),
    "border": Edit(
        "a frame of one colour, its width on each side as a share of the short side",
        "% of side",
        _graded_recipes(border, (5, 10, 20)),
    ),
    "screenshot": Edit(
        "shown in a window with bars and margins; its share of the window's area",
        "% of area",
        _graded_recipes(screenshot, (70, 50, 30)),
    ),
    "combined": Edit(
        "two of the above, one after the other",
        "",
        {
            "crop75+jpeg50": Recipe([_with_strength(crop, 75)], 50),
            "mirror+text60": Recipe([mirror, _with_strength(text, 60)]),
            "screenshot50+jpeg50": Recipe([_with_strength(screenshot, 50)], 50),
        },
    ),
}


def edit_variants(names: Sequence[str] | None = None) -> list[EditVariant]:
    """All strengths of these edits, or of every edit, in the order of `EDITS`.

    Raises InvalidValue for a name that is none.
    """
    for name in names or ():
        if name not in EDITS:
            raise InvalidValue(f"There is no edit {name!r}; there are {', '.join(EDITS)}.")
    return [
        EditVariant(name, strength)
        for name, edit in EDITS.items()
        if names is None or name in names
        for strength in edit.recipes
    ]


def working_size(image: Image.Image) -> Image.Image:
    """The picture, scaled down where its short side is over 512 or its long side over 2048."""
    scale = min(1, SHORT / min(image.size), LONG / max(image.size))
    if scale == 1:
        return image
    width, height = (max(1, round(side * scale)) for side in image.size)
    return image.resize((width, height), Image.Resampling.LANCZOS)


def apply_edit(image: Image.Image, variant: EditVariant, seed: int, image_id: str) -> bytes:
    """The edited picture's bytes: a JPEG where the edit is one, else PNG.

    image: RGB, of `working_size`; it is left as it is. The same arguments give the same bytes, with
    the same versions of Pillow and NumPy.
    """
    recipe = EDITS[variant.edit].recipes[variant.strength]
    rng = generator(seed, image_id, variant)
    image = image.copy()  # threads share it, and `save` leaves its options on what it saves
    for step in recipe.steps:
        image = step(image, rng)
    out = io.BytesIO()
    if recipe.quality is None:
        # Uncompressed: the bytes aren't kept, and compression takes longer than most edits.
        image.save(out, "PNG", compress_level=0)
    else:
        image.save(out, "JPEG", quality=recipe.quality)
    return out.getvalue()


def generator(seed: int, image_id: str, variant: EditVariant) -> Generator:
    """The random numbers of one edited image, and of no other."""
    text = json.dumps([seed, image_id, variant.edit, variant.strength])
    return np.random.default_rng(int.from_bytes(hashlib.sha256(text.encode()).digest()[:16]))

"""Sample images for the demo, made from photographs inside installed packages: no download.

Sources and licences, as the packages state them (this project holds no copy of any):

- scikit-learn, `datasets/images/README.txt`: pagoda (`china.jpg`, Creative Commons BY 2.0,
  flickr.com/photos/danielbuechele/6061409035), flower (Creative Commons BY 2.0,
  flickr.com/photos/vultilion/6056698931).
- scikit-image, docstrings of `skimage.data`: astronaut (NASA, public domain), bricks and gravel
  (CC0, CC0Textures), cat (CC0, Stefan van der Walt), coffee (CC0, Rachel Michetti), coins
  (Brooklyn Museum, no known copyright restrictions), galaxies (NASA, public domain),
  photographer (CC0, Lav Varshney), retina (CC0, Wikimedia Commons), rocket (SpaceX, public
  domain), motorcycle (Middlebury stereo data, Scharstein et al., GCPR 2014: no licence stated).
- matplotlib: admiral (`grace_hopper.jpg`; its own comment names the source,
  commons.wikimedia.org/wiki/File:Grace_Hopper.jpg: no licence stated).
"""

from __future__ import annotations

import importlib.util
import io
import logging
import math
from collections.abc import Callable
from pathlib import Path
from random import Random

from PIL import Image, ImageDraw, ImageEnhance, ImageFont, ImageOps

from bogv.files import atomic_write

log = logging.getLogger(__name__)

LONG_SIDE = 512  # pixels; with more, textures such as gravel make large files
QUALITY = 88

# Name of the sample -> (package, file inside it).
PHOTOS: dict[str, tuple[str, str]] = {
    "admiral": ("matplotlib", "mpl-data/sample_data/grace_hopper.jpg"),
    "astronaut": ("skimage", "data/astronaut.png"),
    "bricks": ("skimage", "data/brick.png"),
    "cat": ("skimage", "data/chelsea.png"),
    "coffee": ("skimage", "data/coffee.png"),
    "coins": ("skimage", "data/coins.png"),
    "flower": ("sklearn", "datasets/images/flower.jpg"),
    "galaxies": ("skimage", "data/hubble_deep_field.jpg"),
    "gravel": ("skimage", "data/gravel.png"),
    "motorcycle": ("skimage", "data/motorcycle_left.png"),
    "pagoda": ("sklearn", "datasets/images/china.jpg"),
    "photographer": ("skimage", "data/camera.png"),
    "retina": ("skimage", "data/retina.jpg"),
    "rocket": ("skimage", "data/rocket.jpg"),
}

CAPTIONS = ("Good morning!", "Hello, world!", "Have a nice day", "Photo of the day")

# Example queries for the demo: edits, so that the original photograph is among the hits.
SAMPLE_QUERIES: tuple[str, ...] = (
    "cat-cropped.jpg",
    "flower-with-text.jpg",
    "pagoda-rotated.jpg",
    "coffee-cropped-mirrored.jpg",
    "motorcycle-recoloured.jpg",
)


def crop(image: Image.Image, rng: Random) -> Image.Image:
    """Keep 65 to 80 % of each side; the subjects stand in the middle or a little above it."""
    width, height = (round(side * rng.uniform(0.65, 0.8)) for side in image.size)
    left = round((image.width - width) * rng.uniform(0.3, 0.7))
    top = round((image.height - height) * rng.uniform(0.1, 0.5))
    return image.crop((left, top, left + width, top + height))


def rotate(image: Image.Image, rng: Random) -> Image.Image:
    """Rotate by 6 to 18 degrees either way, and crop away the black corners."""
    degrees = rng.choice((-1, 1)) * rng.uniform(6, 18)
    turned = image.rotate(degrees, Image.Resampling.BICUBIC)
    # The largest upright rectangle of the same shape inside the turned one.
    angle = math.radians(abs(degrees))
    ratio = max(image.size) / min(image.size)
    scale = 1 / (math.cos(angle) + ratio * math.sin(angle))
    # One pixel less on each side, because the interpolation blends the edge with black.
    x, y = (math.ceil(side * (1 - scale) / 2) + 1 for side in image.size)
    return turned.crop((x, y, image.width - x, image.height - y))


def compress(image: Image.Image, rng: Random) -> Image.Image:
    """Compress as a JPEG of quality 6 to 12, with visible block artefacts."""
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=rng.randint(6, 12))
    with Image.open(buffer) as compressed:
        return compressed.convert("RGB")


def recolour(image: Image.Image, rng: Random) -> Image.Image:
    """Make the colours warmer or cooler, and the image brighter or darker."""
    warmth = rng.choice((-1, 1)) * rng.uniform(0.08, 0.15)
    brightness = rng.choice((0.8, 1.15))
    gains = (brightness * (1 + warmth), brightness, brightness * (1 - warmth))
    bands = zip(image.split(), gains, strict=True)
    return Image.merge("RGB", [ImageEnhance.Brightness(band).enhance(g) for band, g in bands])


def write_text(image: Image.Image, rng: Random) -> Image.Image:
    """Write a caption over half of the width, at the top or the bottom."""
    caption = rng.choice(CAPTIONS)
    height, anchor = rng.choice(((0.05, "ma"), (0.95, "md")))
    return draw_text(image, caption, 50, (image.width / 2, image.height * height), anchor)


def draw_text(
    image: Image.Image, text: str, percent: float, position: tuple[float, float], anchor: str
) -> Image.Image:
    """A copy with a line of text that spans `percent` of the width, legible on any background.

    position: of the text's anchor, in pixels. anchor: as Pillow names them.
    """
    size = percent * image.width / ImageFont.load_default(size=100).getlength(text)  # pixels
    size = max(size, 1)
    font = ImageFont.load_default(size=size)
    outline = max(2, round(size / 12))
    image = image.copy()
    draw = ImageDraw.Draw(image)
    draw.text(position, text, "white", font, anchor, stroke_width=outline, stroke_fill="black")
    return image


EDITS: dict[str, Callable[[Image.Image, Random], Image.Image]] = {
    "cropped": crop,
    "rotated": rotate,
    "mirrored": lambda image, _rng: ImageOps.mirror(image),
    "compressed": compress,
    "recoloured": recolour,
    "with-text": write_text,
    "cropped-mirrored": lambda image, rng: ImageOps.mirror(crop(image, rng)),
}


def make_samples(folder: Path) -> list[Path]:
    """Write the sample images missing in `folder`, and return the paths of all samples, sorted.

    Each is an RGB JPEG, long side at most 512 pixels, named like `cat.jpg` or `cat-mirrored.jpg`.
    The same package versions give the same bytes. Existing files are kept. A photograph that its
    package lacks is skipped with a warning. Raises FileNotFoundError if no photograph is found and
    `folder` has no sample either.
    """
    folder.mkdir(parents=True, exist_ok=True)
    paths = [path for name in PHOTOS for path in _make_group(folder, name)]
    if not paths:
        raise FileNotFoundError(
            "No sample photographs were found: install scikit-learn, scikit-image or matplotlib."
        )
    return sorted(paths)


def _make_group(folder: Path, name: str) -> list[Path]:
    """Write the missing files of one photograph and its edits; return those that exist."""
    edits = {folder / f"{name}.jpg": None} | {folder / f"{name}-{e}.jpg": e for e in EDITS}
    missing = {path: edit for path, edit in edits.items() if not path.exists()}
    if missing and (photo := _load(name)):
        for path, edit in missing.items():
            # Seeded with the file's name, so that each file can be regenerated on its own.
            rng = Random(path.stem)  # noqa: S311 - nothing secret
            _save(EDITS[edit](photo, rng) if edit else photo, path)
    return [path for path in edits if path.exists()]


def _load(name: str) -> Image.Image | None:
    """One photograph as RGB, long side at most LONG_SIDE pixels; None if the package lacks it."""
    package, file = PHOTOS[name]
    spec = importlib.util.find_spec(package)  # finds the folder; importing would cost seconds
    roots = (spec.submodule_search_locations if spec else None) or []
    for path in (Path(root, file) for root in roots):
        if path.is_file():
            with Image.open(path) as image:
                photo = image.convert("RGB")
            photo.thumbnail((LONG_SIDE, LONG_SIDE), Image.Resampling.LANCZOS)
            return photo
    log.warning("No sample images of %s: package %s has no %s.", name, package, file)
    return None


def _save(image: Image.Image, path: Path) -> None:
    with atomic_write(path) as partial:
        image.save(partial, "JPEG", quality=QUALITY, optimize=True)

"""Bounds on what the bytes of an image may make Pillow do, beside its pixels.

Pillow 12.3 bounds the pixels alone. A kilobyte can make it take gigabytes, or minutes, all the
same; each case below was tried (docs/reliability.md, tests/test_bounds.py). The bounds hold for the
whole process, so for gradio too. Files as cameras and programs write them are far from them.
"""

from __future__ import annotations

import io
import re
import struct
import warnings
from collections.abc import Callable, Sequence
from typing import IO, Any

from PIL import Image, ImageFile, JpegImagePlugin, UnidentifiedImageError
from PIL.TiffImagePlugin import ImageFileDirectory_v2 as Directory

from bogv.errors import DamagedImage, NotAnImage, TooManyPixels

SEGMENTS = 1_000  # of a JPEG before its picture: 64 MB, as a segment has up to 64 KiB
COMMENT_BYTES = 65_536  # of a GIF before its picture; more are passed over
NUMBERS_BYTES = 4 * 1024 * 1024  # of one tag; 250,000 strips or tiles need 2 MiB at most
SHARED_BYTES = 65_536  # that several tags of a directory may have in common
SLOW_PIXELS = 4_000_000  # where Pillow decodes in Python, 0.4 to 1.6 s for a million
LONGEST_SIDE = 65_535  # of a run-length BMP; also the longest that JPEG and GIF know
JPEG2000_TILES = 16_384  # 11 KiB each before any is decoded
PPM_COMMENTS = 1_000
PNG_CHUNKS = 65_536  # 20 MiB in chunks of 320 bytes, 0.5 s; programs write 8 KiB and more at once

# Pillow warns of broken metadata in a new sentence each time, and Python keeps each of them.
warnings.filterwarnings("ignore", module=r"PIL\.")
# `open_image` has a limit of its own, a setting, and checks it before any pixel is decoded.
Image.MAX_IMAGE_PIXELS = None


def open_image(data: bytes, formats: Sequence[str], max_pixels: int) -> ImageFile.ImageFile:
    """`Image.open`, which decodes nothing yet, within bounds.

    Raises NotAnImage, TooManyPixels, DamagedImage, and what Pillow raises for damaged headers.
    """
    if data.startswith((b"GIF87a", b"GIF89a")):
        data = _without_comments(data)
    if data.startswith(b"\x89PNG\r\n"):
        _check_png(data)
    try:
        image = Image.open(io.BytesIO(data), formats=formats)
    except UnidentifiedImageError as error:
        what = "The file is empty." if not data else "The bytes are no image of a known format."
        raise NotAnImage(what) from error
    _check(image, data, max_pixels)
    return image


def _check(image: ImageFile.ImageFile, data: bytes, max_pixels: int) -> None:
    width, height = image.size
    if width * height > max_pixels:
        raise TooManyPixels(
            f"The image has {width:,} × {height:,} pixels; the limit is {max_pixels:,}."
        )
    if image.format == "TIFF" and (pixels := _tile_pixels(data)) > max_pixels:
        raise TooManyPixels(
            f"A tile of the TIFF has {pixels:,} pixels; the limit is {max_pixels:,}."
        )
    if image.format == "JPEG2000":
        _check_jpeg2000(data)
    decoder = image.tile[0].codec_name if image.tile else ""
    if decoder in {"bmp_rle", "ppm", "ppm_plain"}:
        _check_slow(width, height, decoder, data)


def _check_slow(width: int, height: int, decoder: str, data: bytes) -> None:
    """The formats that Pillow decodes in Python, byte by byte."""
    if width * height > SLOW_PIXELS:
        raise TooManyPixels(
            f"The image has {width:,} × {height:,} pixels; for this kind of BMP or PPM the limit is"
            f" {SLOW_PIXELS:,}."
        )
    # A step down in a run-length BMP, four bytes, makes up to 255 rows.
    if decoder == "bmp_rle" and width > LONGEST_SIDE:
        raise TooManyPixels(f"The BMP is {width:,} pixels wide; the limit is {LONGEST_SIDE:,}.")
    # Pillow copies the rest of a megabyte for each comment that it takes out.
    if decoder == "ppm_plain" and data.count(b"#") > PPM_COMMENTS:
        raise DamagedImage(f"The PPM has more than {PPM_COMMENTS:,} comments.")


# GIF: Pillow joins comments one by one, each time copying all of them: 13 minutes for 20 MiB.


def _without_comments(data: bytes) -> bytes:
    """A GIF without what stands before its first picture, if that is much; the rest as it is."""
    try:
        start = at = 13 + (3 << ((data[10] & 7) + 1) if data[10] & 0x80 else 0)
        control = b""
        # What is neither an extension, a picture nor the end is passed over, as by Pillow.
        while (mark := re.compile(b"[!,;]").search(data, at)) and mark[0] == b"!":
            end = _after_blocks(data, mark.start() + 2)
            if data[mark.start() + 1] == 0xF9:  # graphic control: tells what is transparent
                control = data[mark.start() : end]
            at = end
    except IndexError as error:
        raise DamagedImage("The GIF ends before its picture.") from error
    if mark is None or mark[0] == b";":
        raise DamagedImage("The GIF has no picture.")
    return data if at - start <= COMMENT_BYTES else data[:start] + control + data[mark.start() :]


def _after_blocks(data: bytes, at: int) -> int:
    """Where the blocks of an extension end; each begins with its length, the last is empty."""
    while length := data[at]:
        at += length + 1
    return at + 1


# PNG: 40 bytes of memory and 7 us for each chunk, 12 s for 20 MiB of empty ones.


def _check_png(data: bytes) -> None:
    """Raises DamagedImage."""
    at = 8
    for _ in range(PNG_CHUNKS):
        if at + 8 > len(data):
            return
        at += 12 + int.from_bytes(data[at : at + 4], "big")
    raise DamagedImage(f"The PNG has more than {PNG_CHUNKS:,} chunks.")


# JPEG: a list grows by every segment, and Exif in pieces is joined as a GIF's comments are.


def _counted(handler: Callable[[Any, int], None]) -> Callable[[Any, int], None]:
    def counted(image: JpegImagePlugin.JpegImageFile, marker: int) -> None:
        if len(image.applist) >= SEGMENTS:
            raise DamagedImage(f"The JPEG has more than {SEGMENTS:,} segments of metadata.")
        handler(image, marker)

    return counted


for _marker, (_name, _what, _handler) in JpegImagePlugin.MARKER.items():
    if _handler in {JpegImagePlugin.APP, JpegImagePlugin.COM}:
        JpegImagePlugin.MARKER[_marker] = _name, _what, _counted(_handler)


# TIFF, and Exif in every format: 65,535 tags may all point at the same 20 MiB.


class _Metered:
    """A file that gives each of its bytes about once."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        at = file.tell()
        self._left = file.seek(0, io.SEEK_END) + SHARED_BYTES
        file.seek(at)
        self.seek, self.tell = file.seek, file.tell

    def read(self, size: int) -> bytes:
        data = self._file.read(size)
        self._left -= len(data)
        if self._left < 0:
            raise OSError("The tags hold more bytes than the file.")  # Pillow stops there
        return data


_load = Directory.load


def _load_bounded(self: Directory, fp: IO[bytes]) -> None:
    _load(self, _Metered(fp))  # type: ignore[arg-type]
    for tag, data in list(self._tagdata.items()):
        # A byte of text stays one; a fraction of 8 bytes becomes an object of 250.
        if len(data) > NUMBERS_BYTES and self.tagtype[tag] not in {1, 2, 7}:
            del self._tagdata[tag]


Directory.load = _load_bounded  # type: ignore[method-assign]


def _tile_pixels(data: bytes) -> int:
    """Pixels in a tile of a TIFF, 0 if it has none: libtiff makes room for a whole one.

    Read here, as Pillow takes the last of two equal tags and libtiff the first. Source: TIFF 6.0,
    sections 2 and 15; BigTIFF: the same with 8 bytes for 4.
    """
    order = "<" if data[:2] == b"II" else ">"
    big = struct.unpack_from(f"{order}H", data, 2)[0] == 43
    (at,) = struct.unpack_from(f"{order}Q" if big else f"{order}L", data, 8 if big else 4)
    (count,) = struct.unpack_from(f"{order}Q" if big else f"{order}H", data, at)
    at += 8 if big else 2
    size = 20 if big else 12
    sides = {322: 0, 323: 0}  # TileWidth, TileLength
    for entry in range(at, min(at + count * size, len(data) - size + 1), size):
        tag, kind = struct.unpack_from(f"{order}HH", data, entry)
        if tag in sides:
            if kind not in _WHOLE:
                raise DamagedImage("The TIFF's tiles have a broken size.")
            (side,) = struct.unpack_from(order + _WHOLE[kind], data, entry + (12 if big else 8))
            sides[tag] = max(sides[tag], side)
    return sides[322] * sides[323]


_WHOLE = {1: "B", 3: "H", 4: "L"}  # the types of TIFF that a side may have


# JPEG 2000: OpenJPEG makes room for each component of each tile before it looks at any.


def _check_jpeg2000(data: bytes) -> None:
    """Raises DamagedImage. Source: ITU-T T.800, A.5.1 (SIZ) and I.4 (boxes)."""
    at = _codestream(data)
    try:
        if data[at : at + 4] != b"\xff\x4f\xff\x51":
            raise DamagedImage("The JPEG 2000 has no picture.")
        x, y, _, _, across, down, left, top, components = struct.unpack_from(
            ">IIIIIIIIH", data, at + 8
        )
        tiles = -((left - x) // across) * -((top - y) // down)
    except (struct.error, ZeroDivisionError) as error:
        raise DamagedImage("The JPEG 2000 has a broken header.") from error
    if tiles > JPEG2000_TILES or components > 4:
        raise DamagedImage(
            f"The JPEG 2000 has {tiles:,} tiles of {components:,} components; the limits are"
            f" {JPEG2000_TILES:,} and 4."
        )


def _codestream(data: bytes) -> int:
    """Where the picture begins: at once, or in the box `jp2c`; else the end."""
    at = 0
    if data.startswith(b"\xff\x4f"):
        return at
    while at + 16 <= len(data):
        length, kind, longer = struct.unpack_from(">I4sQ", data, at)
        head, length = (16, longer) if length == 1 else (8, length)
        if kind == b"jp2c":
            return at + head
        if length < head:
            break
        at += length
    return len(data)

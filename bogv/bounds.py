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
from collections.abc import Callable
from typing import IO, Any

from PIL import Image, ImageFile, JpegImagePlugin, UnidentifiedImageError
from PIL.TiffImagePlugin import ImageFileDirectory_v2 as Directory

from bogv.errors import DamagedImage, NotAnImage, TooManyPixels
from bogv.jpeg2000 import check_jpeg2000

SEGMENTS = 1_000  # of a JPEG before its picture: 64 MB, as a segment has up to 64 KiB
COMMENT_BYTES = 65_536  # of a GIF before its picture; more are passed over
NUMBERS_BYTES = 4 * 1024 * 1024  # of one tag; 250,000 strips or tiles need 2 MiB at most
SHARED_BYTES = 65_536  # that several tags of a directory may have in common
SLOW_PIXELS = 4_000_000  # where Pillow decodes in Python, 0.4 to 1.6 s for a million
LONGEST_SIDE = 65_535  # of a run-length BMP; also the longest that JPEG and GIF know
SCANS = 100  # of a JPEG; programs write some ten, and libtiff takes no more either
PPM_COMMENTS = 1_000
PNG_CHUNKS = 65_536  # 20 MiB in chunks of 320 bytes, 0.5 s; programs write 8 KiB and more at once

# Pillow warns of broken metadata in a new sentence each time, and Python keeps each of them.
warnings.filterwarnings("ignore", module=r"PIL\.")
# `open_image` has a limit of its own, a setting, and checks it before any pixel is decoded.
Image.MAX_IMAGE_PIXELS = None


def open_image(data: bytes, formats: tuple[str, ...], max_pixels: int) -> ImageFile.ImageFile:
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
    if image.format in {"JPEG", "MPO"}:
        _check_scans(data)
    if image.format == "JPEG2000":
        check_jpeg2000(data)
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


# JPEG: a list grows by every segment, and Exif in pieces is joined as a GIF's comments are. Each
# scan goes over the whole picture: 0.1 s for 62 megapixels, and 100 bytes suffice for one.

_Handler = Callable[[JpegImagePlugin.JpegImageFile, int], None]


def _counted(handler: _Handler) -> _Handler:
    def counted(image: JpegImagePlugin.JpegImageFile, marker: int) -> None:
        if len(image.applist) >= SEGMENTS:
            raise DamagedImage(f"The JPEG has more than {SEGMENTS:,} segments of metadata.")
        handler(image, marker)

    return counted


_markers: dict[int, Any] = JpegImagePlugin.MARKER
for _marker, (_name, _what, _handler) in _markers.items():
    if _handler in {JpegImagePlugin.APP, JpegImagePlugin.COM}:
        _markers[_marker] = _name, _what, _counted(_handler)


def _check_scans(data: bytes) -> None:
    """Raises DamagedImage. Source: ITU-T T.81, B.1.1 and B.2."""
    at, scans, components, progressive = 2, 0, 0, False
    for _ in range(10 * SEGMENTS):
        if (mark := _JPEG_MARKER.search(data, at)) is None or mark[0] == b"\xff\xd9":
            return
        kind, here, at = mark[0][1], mark.start(), mark.end()
        if kind in {0x01, 0xD8}:  # these two have no length
            continue
        if here + 10 > len(data):
            return
        at += int.from_bytes(data[at : at + 2], "big")
        if kind & 0xF0 == 0xC0 and kind not in {0xC4, 0xC8, 0xCC}:  # the frame
            progressive, components = kind & 3 == 2, data[here + 9]
        if kind == 0xDA:
            scans += 1
            if not progressive and data[here + 4] == components:
                return  # the decoder stops after it
            if scans > SCANS:
                raise DamagedImage(f"The JPEG has more than {SCANS} scans.")
    raise DamagedImage(f"The JPEG has more than {10 * SEGMENTS:,} segments.")


_JPEG_MARKER = re.compile(rb"\xff[\x01-\xcf\xd8-\xfe]")


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

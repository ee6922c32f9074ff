"""Bounds on a JPEG 2000: OpenJPEG makes room for every part of a picture before it looks at any.

A header of a hundred bytes can name a million parts, and be another than the one that Pillow reads
the picture's size from. Source of the formats: ITU-T T.800, annexes A (codestream) and I (boxes).
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

from bogv.errors import DamagedImage

COMPONENTS = 4
TILES = 16_384  # 11 KiB each; 62 megapixels in tiles of 64 x 64
PARTS = 300_000  # code-blocks or precincts, some 200 bytes each; 62 megapixels in 16 x 16

_SIZ, _COD, _COC, _SOT, _SOD, _EOC = 0xFF51, 0xFF52, 0xFF53, 0xFF90, 0xFF93, 0xFFD9
_OTHERS = {0xFF50, *range(0xFF55, 0xFF5A), *range(0xFF5C, 0xFF62), 0xFF63, 0xFF64}
_OTHERS |= {0xFF74, 0xFF75, 0xFF77, 0xFF78}


def check_jpeg2000(data: bytes) -> None:
    """Raises DamagedImage."""
    try:
        _check(data)
    except (struct.error, IndexError, ZeroDivisionError) as error:
        raise DamagedImage("The JPEG 2000 has a broken header.") from error


def _check(data: bytes) -> None:
    at = _codestream(data)
    if data[at : at + 4] != b"\xff\x4f\xff\x51":
        raise DamagedImage("The JPEG 2000 has no picture.")
    size = struct.unpack_from(">IIIIIIIIH", data, at + 8)
    right, bottom, left, top, across, down, first_left, first_top, components = size
    tiles = -((first_left - right) // across) * -((first_top - bottom) // down)
    if tiles > TILES or components > COMPONENTS:
        raise DamagedImage(
            f"The JPEG 2000 has {tiles:,} tiles of {components:,} components; the limits are"
            f" {TILES:,} and {COMPONENTS}."
        )
    for kind, style in _segments(data, at + 2):
        if kind == _COD:
            _check_parts(right - left, bottom - top, style[0], style[5:])
        elif kind == _COC:
            _check_parts(right - left, bottom - top, style[1], style[2:])


def _check_parts(width: int, height: int, flags: int, style: bytes) -> None:
    """style: levels, log2 of the code-block's sides less 2, two bytes, log2 of each precinct's."""
    levels = style[0]
    sides = [(style[1] + 2, style[2] + 2)]
    if flags & 1:
        # Below the highest resolution, the picture has half the side each time.
        for level, side in enumerate(style[5 : 6 + levels]):
            sides.append(((side & 15) + levels - level, (side >> 4) + levels - level))
    for across, down in sides:
        if -(-width >> across) * -(-height >> down) > PARTS:
            raise DamagedImage(f"The JPEG 2000 is in more than {PARTS:,} parts.")


def _segments(data: bytes, at: int) -> Iterator[tuple[int, bytes]]:
    """The marker segments of the main header and of those of the tiles: marker, content."""
    start = length = 0
    while at + 4 <= len(data):
        kind, size = struct.unpack_from(">HH", data, at)
        if kind == _EOC:
            return
        if kind == _SOD:  # the tile's data, up to the next tile
            if length == 0:
                return
            at = max(start + length, at + 2)
            continue
        if kind == _SOT:
            start, length = at, struct.unpack_from(">I", data, at + 6)[0]
        # OpenJPEG looks for the next marker that it knows where it doesn't know one.
        elif kind not in {_SIZ, _COD, _COC} | _OTHERS:
            raise DamagedImage("The JPEG 2000 has an unknown marker.")
        yield kind, data[at + 4 : at + 2 + size]
        at += 2 + size


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

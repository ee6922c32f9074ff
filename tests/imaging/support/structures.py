"""Images with their structure rewritten by seed: boxes, chunks, markers, tags repeated, lost,
exchanged, nested, their numbers set to what no program writes; lengths and checksums fit."""

from __future__ import annotations

import random
import re
import struct
import zlib
from collections.abc import Callable
from dataclasses import dataclass, field

from tests.imaging.support.corpus import small_files

MOST = 200_000  # bytes of a file
NUMBERS: tuple[int, ...] = (
    0,
    1,
    2,
    0x7F,
    0x80,
    0xFF,
    0x100,
    0x7FFF,
    0xFFFE,
    0xFFFF,
    0x10000,
    0x7FFFFFFF,
)
NUMBERS += (0x7FFFFFFF, 0x80000000, 0xFFFFFFFF)
_BOXES = {b"meta", b"iprp", b"ipco", b"jp2h", b"moov", b"trak", b"mdia", b"minf", b"stbl"}


@dataclass
class Part:
    """A box, chunk, segment, tag, or bytes without a name."""

    name: bytes
    body: bytes
    inside: list[Part] = field(default_factory=list)
    """Parts after `body`."""


Write = Callable[[list[Part]], bytes]


def restructured(seed: int) -> bytes:
    """A small image whose parts were rewritten; the same for the same seed."""
    rng = random.Random(seed)
    files = small_files()
    data = files[seed % len(files)]
    parts, write = _split(data)
    for _ in range(rng.randrange(1, 4)):
        _rewrite(parts, rng)
        if sum(map(_size, parts)) > MOST:
            break
    return write(parts)


def _rewrite(parts: list[Part], rng: random.Random) -> None:
    """One change, in these parts or in those inside of one of them."""
    if not parts:
        return
    at = rng.randrange(len(parts))
    part = parts[at]
    if part.inside and rng.random() < 0.6:
        _rewrite(part.inside, rng)
        return
    change = rng.randrange(8)
    if change == 0:
        del parts[at]
    elif change == 1:
        count = min(rng.choice((1, 10, 1_000, 20_000)), MOST // (_size(part) + 1))
        parts[at:at] = [part] * count
    elif change == 2:
        parts.insert(rng.randrange(len(parts) + 1), part)
    elif change == 3:
        other = rng.randrange(len(parts))
        parts[at], parts[other] = parts[other], part
    elif change == 4:
        part.inside = [Part(part.name, part.body, list(part.inside))]
    else:
        part.body = _renumbered(part.body, rng)


def _renumbered(body: bytes, rng: random.Random) -> bytes:
    out = bytearray(body)
    for _ in range(rng.randrange(1, 4)):
        size = rng.choice((1, 2, 4))
        at = rng.randrange(min(len(out), 64) + 1)
        number = rng.choice(NUMBERS) & (256**size - 1)
        out[at : at + size] = number.to_bytes(size, rng.choice(("big", "little")))
    return bytes(out)


def _size(part: Part) -> int:
    return len(part.body) + 12 + sum(map(_size, part.inside))


def _split(data: bytes) -> tuple[list[Part], Write]:  # noqa: PLR0911 - one a format
    if data.startswith(b"\x89PNG"):
        return _chunks(data), _write_png
    if data.startswith(b"\xff\xd8"):
        return _segments(data, 2, 0xDA), lambda parts: b"\xff\xd8" + _write_segments(parts)
    if data.startswith(b"\xff\x4f"):
        return _segments(data, 2, 0x93), lambda parts: b"\xff\x4f" + _write_segments(parts)
    if data[4:8] in {b"ftyp", b"jP  "}:
        return _boxes(data), _write_boxes
    if data.startswith(b"RIFF"):
        return _riff(data), _write_riff
    if data[:4] == b"II*\0":
        return _tags(data), lambda parts: _write_tiff(data, parts)
    # GIF, BMP, PPM: at what may be a border in them.
    pieces = re.split(rb"(?=[!,;]|BM|\d+[ \n])", data)
    return [Part(b"", piece) for piece in pieces], lambda parts: b"".join(map(_raw, parts))


def _raw(part: Part) -> bytes:
    return part.body + b"".join(map(_raw, part.inside))


def _chunks(data: bytes) -> list[Part]:
    """Source: W3C, PNG, 5.3."""
    parts, at = [], 8
    while at < len(data):
        (length,) = struct.unpack_from(">I", data, at)
        parts.append(Part(data[at + 4 : at + 8], data[at + 8 : at + 8 + length]))
        at += 12 + length
    return parts


def _write_png(parts: list[Part]) -> bytes:
    out = [b"\x89PNG\r\n\x1a\n"]
    for part in parts:
        body = _raw(part)
        crc = zlib.crc32(part.name + body)
        out.append(struct.pack(">I", len(body)) + part.name + body + struct.pack(">I", crc))
    return b"".join(out)


def _segments(data: bytes, at: int, last: int) -> list[Part]:
    """Of a JPEG (ITU-T T.81, B.1.1) or a JPEG 2000 (T.800, A.1): up to the picture's data."""
    parts = []
    while at + 4 <= len(data) and data[at] == 0xFF and not (last == 0x93 and data[at + 1] == last):
        (length,) = struct.unpack_from(">H", data, at + 2)
        parts.append(Part(data[at : at + 2], data[at + 4 : at + 2 + length]))
        at += 2 + length
        if parts[-1].name[1] == last:
            break
    return [*parts, Part(b"", data[at:])]


def _write_segments(parts: list[Part]) -> bytes:
    out = []
    for part in parts:
        body = part.body + _write_segments(part.inside)
        length = struct.pack(">H", (len(body) + 2) & 0xFFFF) if part.name else b""
        out.append(part.name + length + body)
    return b"".join(out)


def _boxes(data: bytes) -> list[Part]:
    """Source: ISO/IEC 14496-12, 4.2."""
    parts, at = [], 0
    while at + 8 <= len(data):
        length, name = struct.unpack_from(">I4s", data, at)
        body = data[at + 8 : at + length] if length else data[at + 8 :]
        if name in _BOXES:
            head = 4 if name == b"meta" else 0
            parts.append(Part(name, body[:head], _boxes(body[head:])))
        elif name == b"jp2c":
            stream = _segments(body, 2, 0x93)
            parts.append(Part(name, b"", [Part(b"", _write_segments([each])) for each in stream]))
            parts[-1].body = body[:2]
        else:
            parts.append(Part(name, body))
        at += length or len(data)
    return parts


def _write_boxes(parts: list[Part]) -> bytes:
    out = []
    for part in parts:
        body = part.body + _write_boxes(part.inside)
        out.append(struct.pack(">I", len(body) + 8) + part.name + body if part.name else body)
    return b"".join(out)


def _riff(data: bytes) -> list[Part]:
    """Source: RFC 9649, 2.3."""
    parts, at = [], 12
    while at + 8 <= len(data):
        name, length = struct.unpack_from("<4sI", data, at)
        parts.append(Part(name, data[at + 8 : at + 8 + length]))
        at += 8 + length + length % 2
    return parts


def _write_riff(parts: list[Part]) -> bytes:
    out = b"WEBP"
    for part in parts:
        body = _raw(part)
        out += part.name + struct.pack("<I", len(body)) + body + bytes(len(body) % 2)
    return b"RIFF" + struct.pack("<I", len(out)) + out


def _tags(data: bytes) -> list[Part]:
    """Source: TIFF 6.0, section 2."""
    (at,) = struct.unpack_from("<L", data, 4)
    (count,) = struct.unpack_from("<H", data, at)
    return [Part(b"", data[at + 2 + 12 * i : at + 14 + 12 * i]) for i in range(count)]


def _write_tiff(data: bytes, parts: list[Part]) -> bytes:
    """The directory moves to the end, so that what the tags point at stays in its place."""
    tags = b"".join(map(_raw, parts))
    directory = struct.pack("<H", len(tags) // 12 & 0xFFFF) + tags + bytes(4)
    return data[:4] + struct.pack("<L", len(data)) + data[8:] + directory

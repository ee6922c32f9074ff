"""Bad images, and odd but good ones, made by seed: for every format that bogv reads."""

from __future__ import annotations

import io
import random
import struct
import zipfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache

import numpy as np
from PIL import Image, features

from bogv.errors import BogvError, DamagedImage, NotAnImage, TooManyPixels
from bogv.imaging.decode import FORMATS
from tests.support.fakes import encoded, picture

KINDS = tuple(kind for kind in FORMATS if kind != "AVIF" or features.check("avif"))

Kinds = tuple[type[BogvError], ...]
GOOD: Kinds = ()
BROKEN: Kinds = (DamagedImage, NotAnImage)
ANY: Kinds = (DamagedImage, NotAnImage, TooManyPixels, BogvError)
"""Where it depends on which bytes were hit: a picture, or one of these."""


@dataclass(frozen=True)
class Case:
    """A file, and what may become of it."""

    name: str
    data: bytes
    errors: Kinds
    """Empty: it must be a picture. It may be one all the same where BogvError is among them."""


def corpus(seed: int = 0) -> Iterator[Case]:
    """All cases: some hundred files of some kilobytes each, and a few of some megabytes."""
    for number, kind in enumerate(KINDS):
        yield from _broken(kind, random.Random(seed * 100 + number))
        yield from _odd(kind)
    yield from _not_images()
    yield from _metadata()
    yield from _polyglots()
    yield from _deep()


def _broken(kind: str, rng: random.Random) -> Iterator[Case]:
    whole = base(kind)
    for tenth in range(10):
        part = whole[: len(whole) * tenth // 10]
        yield Case(f"{kind} {tenth}/10", part, BROKEN if kind in _STRICT or not tenth else ANY)
    for number in range(20):
        yield Case(f"{kind} flipped {number}", flipped(whole, rng, 1 << number % 6), ANY)
        yield Case(f"{kind} zeroed {number}", zeroed(whole, rng), ANY)
    yield Case(f"{kind} all zeros", bytes(len(whole)), (NotAnImage,))
    yield Case(f"{kind} first byte gone", whole[1:], BROKEN)


# The others' decoders give what they have: the rest of the picture is grey.
_STRICT = {"BMP", "GIF", "JPEG", "PNG", "TIFF", "WEBP"}


def _odd(kind: str) -> Iterator[Case]:
    yield Case(f"{kind}", base(kind), GOOD)
    yield Case(f"{kind} and more", base(kind) + b"more" * 1000, GOOD)
    sizes = [(1, 1), (1, 30_000), (30_000, 1)]
    for width, height in sizes:
        if kind in _NARROW and max(width, height) > _NARROW[kind]:
            continue
        flat = encoded(Image.new("RGB", (width, height), "teal"), kind)
        yield Case(f"{kind} {width} x {height}", flat, GOOD)


_NARROW = {"WEBP": 16_383, "AVIF": 16_383}
"""The longest side that the format, or its encoder, allows."""


def _not_images() -> Iterator[Case]:
    page = b"<!DOCTYPE html><html><body><img src='cat.jpg'></body></html>"
    for name, data in (
        ("nothing", b""),
        ("HTML named .jpg", page),
        ("SVG", b"<svg xmlns='http://www.w3.org/2000/svg' width='9' height='9'/>"),
        ("text", "猫".encode() * 100),
        ("PDF", b"%PDF-1.7\n" + base("JPEG")),
        ("EPS", b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n"),
        ("ZIP", _zip()),
        ("noise", random.Random(1).randbytes(5000)),
        ("ELF", b"\x7fELF" + bytes(100)),
    ):
        yield Case(name, data, (NotAnImage,))


def _metadata() -> Iterator[Case]:
    """Broken and huge Exif, colour profiles, text: the picture is none the worse."""
    image = picture(5, (64, 48))
    rubbish = b"Exif\0\0" + b"rubbish" * 50
    for kind in ("JPEG", "PNG", "WEBP", *(["AVIF"] if "AVIF" in KINDS else [])):
        if kind != "AVIF":  # its encoder refuses to write any
            yield Case(f"{kind} broken Exif", encoded(image, kind, exif=rubbish), GOOD)
        profile = b"not a profile" * 50
        yield Case(f"{kind} broken ICC", encoded(image, kind, icc_profile=profile), GOOD)
    yield Case("TIFF broken ICC", encoded(image, "TIFF", icc_profile=b"rubbish" * 50), GOOD)
    exif = Image.Exif()
    exif[0x010E] = "x" * 60_000
    yield Case("JPEG huge Exif", encoded(image, "JPEG", exif=exif), GOOD)
    jpeg = base("JPEG")
    profile = b"".join(segment(0xE2, b"ICC_PROFILE\0\x01\x01" + bytes(60_000)) for _ in range(50))
    yield Case("JPEG huge ICC", jpeg[:2] + profile + jpeg[2:], GOOD)
    comments = segment(0xFE, bytes(60_000)) * 100
    yield Case("JPEG huge comments", jpeg[:2] + comments + jpeg[2:], GOOD)
    png = base("PNG")
    for name, data in (
        ("text", chunk(b"tEXt", b"Comment\0" + b"x" * 5_000_000)),
        ("many texts", chunk(b"tEXt", b"Comment\0x") * 1000),
        ("Exif", chunk(b"eXIf", tags(50, 1000) + bytes(1_000_000))),
        ("private chunks", chunk(b"prVt", bytes(1000)) * 1000),
    ):
        yield Case(f"PNG huge {name}", png[:33] + data + png[33:], GOOD)
    gif = base("GIF")
    start = 13 + 3 * 256
    comment = b"!\xfe" + (b"\xff" + b"x" * 255) * 2_000 + b"\0"
    yield Case("GIF huge comment", gif[:start] + comment + gif[start:], GOOD)


def _polyglots() -> Iterator[Case]:
    for kind in KINDS:
        yield Case(f"{kind} and ZIP", base(kind) + _zip(), GOOD)
    jpeg, gif = base("JPEG"), base("GIF")
    html = b"<html><script>alert(1)</script></html>"
    yield Case("JPEG and HTML", jpeg[:2] + segment(0xFE, html) + jpeg[2:], GOOD)
    start = 13 + 3 * 256
    yield Case(
        "GIF and HTML",
        gif[:start] + b"!\xfe" + bytes([len(html)]) + html + b"\0" + gif[start:],
        GOOD,
    )
    yield Case("ZIP and JPEG", _zip() + jpeg, (NotAnImage,))
    yield Case("PNG and GIF", base("PNG")[:8] + gif, BROKEN)


def _deep() -> Iterator[Case]:
    """CMYK, 16 bits, 32 bits, floating point, one bit, a palette, transparency, several frames,
    and 60 megapixels (of the other formats: tests/soak/test_large.py)."""
    image = picture(6, (64, 48))
    grey = np.asarray(image.convert("L")).astype(np.uint16) * 257
    for kind in ("JPEG", "TIFF"):
        yield Case(f"{kind} CMYK", encoded(image.convert("CMYK"), kind), GOOD)
    for kind in ("PNG", "TIFF", "JPEG2000", "PPM"):
        yield Case(f"{kind} 16 bits", encoded(Image.fromarray(grey), kind), GOOD)
    for values in (grey.astype(np.int32), grey.astype(np.float32), np.full((4, 4), np.nan, "f")):
        yield Case(f"TIFF {values.dtype}", encoded(Image.fromarray(values), "TIFF"), GOOD)
    for mode, kind in (("1", "PNG"), ("P", "PNG"), ("LA", "PNG"), ("RGBA", "WEBP"), ("1", "BMP")):
        yield Case(f"{kind} {mode}", encoded(image.convert(mode), kind), GOOD)
    for mode, kind in (("1", "PNG"), ("L", "JPEG")):
        yield Case(f"{kind} 60 MP", encoded(Image.new(mode, (10_000, 6_000)), kind), GOOD)
    frames = [picture(i, (16, 12)) for i in range(200)]
    for kind in ("GIF", "WEBP", "PNG", "TIFF"):
        data = encoded(frames[0], kind, save_all=True, append_images=frames[1:])
        yield Case(f"{kind} 200 frames", data, GOOD)


# Parts of files


@cache
def base(kind: str) -> bytes:
    """A small good file."""
    return encoded(picture(4, (64, 48)), kind)


def segment(marker: int, data: bytes) -> bytes:
    """A segment of a JPEG."""
    return bytes([0xFF, marker]) + struct.pack(">H", len(data) + 2) + data


def chunk(kind: bytes, data: bytes) -> bytes:
    """A chunk of a PNG."""
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def tags(count: int, size: int, kind: int = 1, unit: int = 1) -> bytes:
    """A TIFF directory, as in Exif: `count` tags, all pointing at the same `size` bytes."""
    entries = (struct.pack("<HHLL", 0x9000 + i, kind, size // unit, 8) for i in range(count))
    return b"II*\0\x08\0\0\0" + struct.pack("<H", count) + b"".join(entries) + bytes(4)


def _zip() -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr(zipfile.ZipInfo("evil.txt"), "not an image")
    return out.getvalue()


# Mutations


def flipped(data: bytes, rng: random.Random, bits: int) -> bytes:
    """With some bits turned over."""
    out = bytearray(data)
    for _ in range(bits):
        out[rng.randrange(len(out))] ^= 1 << rng.randrange(8)
    return bytes(out)


def zeroed(data: bytes, rng: random.Random) -> bytes:
    """With a stretch of zeros."""
    start = rng.randrange(len(data))
    length = rng.randrange(1, 2 + len(data) // 8)
    return data[:start] + bytes(min(length, len(data) - start)) + data[start + length :]


def _cut(data: bytes, rng: random.Random) -> bytes:
    return data[: rng.randrange(len(data))]


def _taken_out(data: bytes, rng: random.Random) -> bytes:
    start = rng.randrange(len(data))
    return data[:start] + data[start + rng.randrange(1, 64) :]


def _doubled(data: bytes, rng: random.Random) -> bytes:
    start, length = rng.randrange(len(data)), rng.randrange(1, 256)
    return (
        data[:start] + data[start : start + length] * rng.randrange(2, 5) + data[start + length :]
    )


def _overwritten(data: bytes, rng: random.Random) -> bytes:
    """Numbers at the edge of what fits, mostly where headers are."""
    out = bytearray(data)
    for _ in range(rng.randrange(1, 4)):
        at = rng.randrange(min(len(out), rng.choice((64, 256, 1 << 20))))
        number = rng.choice((b"\0", b"\xff", b"\x7f", b"\x80", b"\1")) * rng.choice((1, 2, 4))
        out[at : at + len(number)] = number
    return bytes(out)


def _spliced(data: bytes, rng: random.Random) -> bytes:
    other = rng.choice(small_files())
    return data[: rng.randrange(len(data))] + other[rng.randrange(len(other)) :]


_MUTATIONS: tuple[Callable[[bytes, random.Random], bytes], ...] = (
    lambda data, rng: flipped(data, rng, rng.randrange(1, 9)),
    _overwritten,
    _overwritten,
    zeroed,
    _cut,
    _taken_out,
    _doubled,
    _spliced,
)


def mutated(seed: int) -> bytes:
    """A damaged small image, of each format in turn; the same for the same seed."""
    rng = random.Random(seed)
    files = small_files()
    data = files[seed % len(files)]
    for _ in range(rng.randrange(1, 4)):
        data = rng.choice(_MUTATIONS)(data, rng) if data else data
    return data


@cache
def small_files() -> tuple[bytes, ...]:
    """A few files of each format, in their several kinds; 40 x 30 pixels, for speed."""
    image = picture(7, (40, 30))
    exif = Image.Exif()
    exif[0x0112], exif[0x010E] = 6, "a description"
    frames = [picture(i, (40, 30)) for i in range(3)]
    grey16 = Image.fromarray(np.asarray(image.convert("L")).astype(np.uint16) * 257)
    several: dict[str, object] = {"save_all": True, "append_images": frames}
    made = [encoded(image, kind) for kind in KINDS]
    made += [encoded(image.convert("P"), kind) for kind in ("BMP", "GIF", "PNG", "TIFF")]
    made += [encoded(image, kind, exif=exif) for kind in ("JPEG", "PNG", "TIFF", "WEBP")]
    made += [encoded(image, kind, **several) for kind in ("GIF", "PNG", "TIFF", "WEBP")]
    made += [encoded(image.convert("RGBA"), kind) for kind in ("PNG", "TIFF", "WEBP", "JPEG2000")]
    made += [encoded(image.convert("CMYK"), kind) for kind in ("JPEG", "TIFF")]
    made += [encoded(grey16, kind) for kind in ("PNG", "TIFF", "JPEG2000", "PPM")]
    made += [encoded(image, "JPEG", progressive=True, icc_profile=b"no profile" * 9)]
    made += [encoded(image, "MPO", **several)]
    made += [encoded(image, "WEBP", lossless=True)]
    for compression in ("tiff_lzw", "tiff_adobe_deflate", "jpeg", "packbits"):
        made.append(encoded(image, "TIFF", compression=compression))
    made.append(encoded(image, "JPEG2000", tile_size=(16, 16), no_jp2=True))
    made.append(b"P3 6 5 255\n" + b" ".join(b"%d" % (i * 2) for i in range(90)))
    made.append(run_length_bmp(40, 30, b"\x28\x07\0\0" * 28 + b"\0\2\1\1" + b"\0\1"))
    return tuple(made)


def run_length_bmp(width: int, height: int, data: bytes) -> bytes:
    """A BMP of 256 colours, compressed by run lengths."""
    header = struct.pack("<LllHHLLllLL", 40, width, height, 1, 8, 1, len(data), 0, 0, 256, 0)
    palette = bytes(value for i in range(256) for value in (i, 255 - i, i // 2, 0))
    return b"BM" + struct.pack("<LHHL", 0, 0, 0, 54 + 1024) + header + palette + data

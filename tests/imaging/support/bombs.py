"""Small files made to take gigabytes or minutes, each with what may become of it."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator

from bogv.errors import BogvError, DamagedImage, TooCostly, TooManyPixels
from tests.imaging.support.corpus import KINDS, base, chunk, run_length_bmp, segment, tags
from tests.support.fakes import encoded, picture

MEBIBYTE = 1024 * 1024

Errors = tuple[type[BogvError], ...]
COSTLY: Errors = (TooCostly,)
"""It takes longer than a second, or more memory than it may have."""
LARGE: Errors = (TooManyPixels,)
ANY: Errors = (TooCostly, DamagedImage)
"""It depends on the machine, and on the versions of Pillow and its libraries. It may be a picture,
too, where the picture is well and only what stands beside it is not."""


def bombs() -> Iterator[tuple[str, bytes, Errors]]:
    """A name, a file, and what may come of it."""
    yield "PNG pixels", png_header(60_000, 60_000), LARGE
    yield "GIF frame", gif_frame(60_000, 60_000), LARGE
    yield "TIFF pixels", tiff(60_000, 60_000, None), LARGE
    yield "BMP run lengths", run_length_bmp(64_000_001, 1, b"\0\2\0\xff"), LARGE
    yield from _slow()
    yield from _metadata()


def _slow() -> Iterator[tuple[str, bytes, Errors]]:
    yield "TIFF tile", tiff(1, 1, (60_000, 60_000)), ANY
    yield "TIFF strips", tiff_strips(1_000_000), ANY
    yield "BMP wide", run_length_bmp(4_000_000, 1, b"\0\2\0\xff"), ANY
    yield "BMP slow", run_length_bmp(8000, 8000, b"\1\1\0\0" * 8000), ANY
    yield "PPM slow", b"P6 8000 8000 100\n" + bytes(8000 * 8000 * 3 // 16), ANY
    yield "PPM comments", b"P2 100 100 255\n" + b"#\n" * 500_000 + b"1", ANY
    yield "JPEG 2000 layers", jpeg2000_layers(), COSTLY
    yield "JPEG 2000 tiles", jpeg2000(255, 255, 3), ANY
    yield "JPEG 2000 components", in_boxes(10, 10, jpeg2000(255, 250, 16_000)), ANY
    yield "JPEG 2000 precincts", jpeg2000(4000, 4000, 1, tile=4000, precinct=0), ANY
    yield "JPEG 2000 code-blocks", jpeg2000(7900, 7900, 3, tile=7900, block=0), ANY
    yield "JPEG 2000 later", jpeg2000(4000, 4000, 1, tile=4000, later=0), ANY
    yield "JPEG scans", scans(200), ANY
    yield "JPEG segments between scans", scans(1, segment(0xFE, b"") * 500_000), ANY
    yield "WebP canvas", animated_webp(16_000, 16_000), ANY
    yield "WebP strip", animated_webp(16_777_216, 3, frame=1), ANY
    if "AVIF" in KINDS:
        for kind in (b"ipma", b"iinf", b"iloc", b"iref"):
            yield f"AVIF {kind.decode()}", avif_with(kind, 200_000), ANY


def _metadata() -> Iterator[tuple[str, bytes, Errors]]:
    shared = tags(2000, 2 * MEBIBYTE, kind=7) + bytes(2 * MEBIBYTE)
    png = base("PNG")
    yield "PNG Exif", png[:33] + chunk(b"eXIf", shared) + png[33:], ANY
    yield "WebP Exif", encoded(picture(4, (64, 48)), "WEBP", exif=b"Exif\0\0" + shared), ANY
    if "AVIF" in KINDS:
        yield "AVIF Exif", encoded(picture(4, (64, 48)), "AVIF", exif=shared), ANY
    yield "TIFF tags", shared_tags(base("TIFF"), 2000, 2 * MEBIBYTE), ANY
    jpeg = base("JPEG")
    fractions = tags(4000, 16_000, kind=5, unit=8)
    for marker, name in ((0xE2, b"MPF\0"), (0xE1, b"Exif\0\0")):
        data = segment(marker, name + fractions[:48_100] + bytes(65_500 - 48_100 - 8))
        yield f"JPEG {name[:3].decode()}", jpeg[:2] + data + jpeg[2:], ANY
    pieces = segment(0xE1, b"Exif\0\0" + bytes(10)) * 500_000
    yield "JPEG Exif in pieces", jpeg[:2] + pieces + jpeg[2:], ANY
    yield "JPEG comments", jpeg[:2] + segment(0xFE, b"") * 2_000_000 + jpeg[2:], ANY
    gif = base("GIF")
    start = 13 + 3 * 256
    comments = b"!\xfe" + (b"\xff" + bytes(255)) * 70_000 + b"\0"
    yield "GIF comment", gif[:start] + comments + gif[start:], COSTLY
    yield "GIF no end", gif[:start] + comments[:-1], ANY
    yield "PNG chunks", png[:33] + chunk(b"prVt", b"") * 1_000_000 + png[33:], ANY
    text = chunk(b"zTXt", b"Comment\0\0" + zlib.compress(bytes(100 * MEBIBYTE), 9))
    yield "PNG text", png[:33] + text + png[33:], ANY
    profile = chunk(b"iCCP", b"ICC\0\0" + zlib.compress(bytes(MEBIBYTE - 100), 9))
    yield "PNG profiles", png[:33] + profile * 10_000 + png[33:], COSTLY


def png_header(width: int, height: int) -> bytes:
    """Promises pixels, and has none."""
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(bytes(100)))


def gif_frame(width: int, height: int) -> bytes:
    """A screen of one pixel, and a frame that is larger."""
    return b"GIF89a\1\0\1\0\0\0\0," + struct.pack("<HHHH", 0, 0, width, height) + b"\0\2\2\x4c\1\0;"


def animated_webp(width: int, height: int, frame: int = 32) -> bytes:
    """A large canvas, and small frames. frame: their side."""
    frames = [picture(i, (frame, frame)) for i in range(2)]
    data = bytearray(
        encoded(frames[0], "WEBP", save_all=True, append_images=frames[1:], lossless=True)
    )
    at = data.index(b"VP8X") + 12
    data[at : at + 6] = (width - 1).to_bytes(3, "little") + (height - 1).to_bytes(3, "little")
    return bytes(data)


def tiff(
    width: int,
    height: int,
    tile: tuple[int, int] | None,
    order: str = "<",
) -> bytes:
    """Grey, deflated: in one strip, or in one tile."""
    across, down = tile or (min(width, 1000), min(height, 1000))
    data = zlib.compress(bytes(min(across * down, 20 * MEBIBYTE)), 9)
    place = {273: 8, 278: height, 279: len(data)}
    if tile:
        place = {322: across, 323: down, 324: 8, 325: len(data)}
    values = {256: width, 257: height, 258: 8, 259: 8, 262: 1, 277: 1, **place}
    directory = struct.pack(f"{order}H", len(values))
    for tag, value in sorted(values.items()):
        directory += struct.pack(f"{order}HHLL", tag, 4, 1, value)
    magic = (b"II" if order == "<" else b"MM") + struct.pack(f"{order}HL", 42, 8 + len(data))
    return magic + data + directory + bytes(4)


def tiff_strips(count: int) -> bytes:
    """Grey, one pixel wide, each row a strip of its own, all of them the same byte."""
    offsets = struct.pack("<L", 8) * count
    sizes = struct.pack("<L", 1) * count
    start = 12
    values = {256: (1, 1), 257: (1, count), 258: (1, 8), 259: (1, 1), 262: (1, 1), 277: (1, 1)}
    values |= {273: (count, start), 278: (1, 1), 279: (count, start + len(offsets))}
    directory = struct.pack("<H", len(values))
    for tag, (number, value) in sorted(values.items()):
        directory += struct.pack("<HHLL", tag, 4, number, value)
    head = b"II" + struct.pack("<HL", 42, start + len(offsets) + len(sizes)) + bytes(4)
    return head + offsets + sizes + directory + bytes(4)


def shared_tags(data: bytes, count: int, size: int) -> bytes:
    """A TIFF with further tags, all of which point at the same bytes."""
    (at,) = struct.unpack_from("<L", data, 4)
    (there,) = struct.unpack_from("<H", data, at)
    entries = data[at + 2 : at + 2 + 12 * there]
    more = b"".join(struct.pack("<HHLL", 50_000 + i, 7, size, 8) for i in range(count))
    directory = struct.pack("<H", there + count) + entries + more + bytes(4)
    return data[:4] + struct.pack("<L", len(data)) + data[8:] + directory + bytes(size)


def scans(count: int, between: bytes = b"") -> bytes:
    """A progressive JPEG whose last scan comes again and again."""
    data = encoded(picture(1, (2000, 1500)), "JPEG", progressive=True)
    last = data[data.rindex(b"\xff\xda") : -2]
    return data[:-2] + (between + last) * count + data[-2:]


def jpeg2000(  # noqa: PLR0917
    width: int,
    height: int,
    components: int,
    tile: int = 1,
    block: int = 4,
    precinct: int | None = None,
    later: int | None = None,
    layers: int = 1,
    data: int = 20,
) -> bytes:
    """A header, and `data` zeros. tile: its side; block, precinct: log2 of the side, of blocks less
    2; later: that of the precincts as the tile's own header says."""

    def style(side: int | None) -> bytes:
        code = struct.pack(">BBHBBBBBB", side is not None, 0, layers, 0, 0, block, block, 0, 1)
        return code if side is None else code + bytes([side * 17])

    def marked(mark: int, content: bytes) -> bytes:
        return bytes([0xFF, mark]) + struct.pack(">H", len(content) + 2) + content

    sizes = struct.pack(">HIIIIIIIIH", 0, width, height, 0, 0, tile, tile, 0, 0, components)
    header = marked(0x51, sizes + b"\x07\1\1" * components)
    header += marked(0x52, style(precinct)) + marked(0x5C, b"\x40\x40")
    own = b"" if later is None else marked(0x52, style(later))
    length = 12 + len(own) + 2 + data
    start = b"\xff\x90" + struct.pack(">HHLBB", 10, 0, length, 0, 1)
    return b"\xff\x4f" + header + start + own + b"\xff\x93" + bytes(data) + b"\xff\xd9"


def jpeg2000_layers() -> bytes:
    """2.5 kB that keep OpenJPEG busy for half a minute and more: a million empty packets."""
    return jpeg2000(512, 512, 3, tile=512, precinct=4, layers=65_535, data=2_400)


def in_boxes(width: int, height: int, codestream: bytes) -> bytes:
    """A JP2 file, whose header may say otherwise than the picture in it."""

    def box(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I4s", len(data) + 8, kind) + data

    header = box(b"ihdr", struct.pack(">IIHBBBB", height, width, 3, 7, 7, 0, 0))
    header += box(b"colr", b"\1\0\0\0\0\0\x10")
    boxes = box(b"jP  ", b"\r\n\x87\n") + box(b"ftyp", b"jp2 \0\0\0\0jp2 ")
    return boxes + box(b"jp2h", header) + box(b"jp2c", codestream)


def avif_with(kind: bytes, count: int) -> bytes:
    """An AVIF whose table `kind` has `count` entries more. Source: ISO/IEC 14496-12, 8.11."""
    data = bytearray(base("AVIF"))
    meta = data.index(b"meta") - 4
    (length,) = struct.unpack_from(">I", data, meta)
    if kind == b"ipma":
        entries = b"".join(struct.pack(">IBB", 10 + i, 1, 1) for i in range(count))
        inner = struct.pack(">II", 1 << 24, count) + entries
    elif kind == b"iinf":
        one = [struct.pack(">HH4s", i & 0xFFFF, 0, b"av01") + b"\0" for i in range(10, count + 10)]
        entries = b"".join(
            struct.pack(">I4sI", 12 + len(each), b"infe", 2 << 24) + each for each in one
        )
        inner = struct.pack(">II", 1 << 24, count) + entries
    elif kind == b"iloc":
        entries = b"".join(struct.pack(">IHHH", 10 + i, 0, 0, 0) for i in range(count))
        inner = struct.pack(">IHI", 2 << 24, 0, count) + entries
    else:
        one = [struct.pack(">IHI", 10 + i, 1, 1) for i in range(count)]
        entries = b"".join(struct.pack(">I4s", 8 + len(each), b"thmb") + each for each in one)
        inner = struct.pack(">I", 1 << 24) + entries
    if kind == b"ipma":  # it lies one deeper, in `iprp`
        outer = data.index(b"iprp") - 4
        at = data.index(b"ipma") - 4
    else:
        outer = None
        at = data.index(kind) - 4 if kind in data else meta + length
    old = struct.unpack_from(">I", data, at)[0] if kind in data else 0
    box = struct.pack(">I4s", 8 + len(inner), kind) + inner
    data[at : at + old] = box
    for each in (meta, outer):
        if each is not None:
            (size,) = struct.unpack_from(">I", data, each)
            struct.pack_into(">I", data, each, size + len(box) - old)
    return bytes(data)

"""Small files made to take gigabytes or minutes: what each may cost is bounded."""

from __future__ import annotations

import io
import json
import struct
import subprocess
import sys
import zlib
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image, JpegImagePlugin

from bogv.bounds import SEGMENTS
from bogv.errors import BogvError, DamagedImage, TooManyPixels
from bogv.images import FORMATS, Decoder
from tests.corpus import KINDS, base, chunk, run_length_bmp, segment, tags
from tests.fakes import encoded, picture
from tests.memory import MEBIBYTE, forget, peak

DECODER = Decoder(20 * MEBIBYTE, 64_000_000)

# Pillow warns of what it then reads all the same.
pytestmark = pytest.mark.filterwarnings("ignore::UserWarning:PIL")


def bombs() -> Iterator[tuple[str, bytes, type[BogvError] | None]]:
    """A name, a file, and the error; None where the picture is well and only what is beside it
    is not."""
    yield "PNG pixels", png_header(60_000, 60_000), TooManyPixels
    yield "GIF frame", gif_frame(60_000, 60_000), TooManyPixels
    yield "WebP canvas", animated_webp(16_000, 16_000), TooManyPixels
    yield "TIFF pixels", tiff(60_000, 60_000, None), TooManyPixels
    yield "TIFF tile", tiff(1, 1, (30_000, 30_000)), TooManyPixels
    yield "BMP run lengths", run_length_bmp(64_000_000, 1, b"\0\2\0\xff"), TooManyPixels
    yield "BMP wide", run_length_bmp(4_000_000, 1, b"\0\2\0\xff"), TooManyPixels
    yield "BMP slow", run_length_bmp(8000, 8000, b"\1\1\0\0" * 8000), TooManyPixels
    yield "PPM slow", b"P6 8000 8000 100\n" + bytes(1000), TooManyPixels
    yield "PPM comments", b"P2 100 100 255\n" + b"#\n" * 500_000 + b"1", DamagedImage
    yield "JPEG 2000 tiles", jpeg2000(255, 255, 3), DamagedImage
    yield "JPEG 2000 components", in_boxes(10, 10, jpeg2000(255, 250, 16_000)), DamagedImage
    yield "JPEG 2000 precincts", jpeg2000(4000, 4000, 1, tile=4000, precinct=0), DamagedImage
    yield "JPEG 2000 code-blocks", jpeg2000(7900, 7900, 3, tile=7900, block=0), DamagedImage
    yield "JPEG 2000 later", jpeg2000(4000, 4000, 1, tile=4000, later=0), DamagedImage
    yield "JPEG scans", scans(200), DamagedImage
    yield "JPEG segments between scans", scans(1, segment(0xFE, b"") * 500_000), DamagedImage
    shared = tags(2000, 2 * MEBIBYTE, kind=7) + bytes(2 * MEBIBYTE)
    png = base("PNG")
    yield "PNG Exif", png[:33] + chunk(b"eXIf", shared) + png[33:], None
    yield "WebP Exif", encoded(picture(4, (64, 48)), "WEBP", exif=b"Exif\0\0" + shared), None
    if "AVIF" in KINDS:
        yield "AVIF Exif", encoded(picture(4, (64, 48)), "AVIF", exif=shared), None
    yield "TIFF tags", shared_tags(base("TIFF"), 2000, 2 * MEBIBYTE), None
    jpeg = base("JPEG")
    fractions = tags(4000, 16_000, kind=5, unit=8)
    for marker, name in ((0xE2, b"MPF\0"), (0xE1, b"Exif\0\0")):
        data = segment(marker, name + fractions[:48_100] + bytes(65_500 - 48_100 - 8))
        yield f"JPEG {name[:3].decode()}", jpeg[:2] + data + jpeg[2:], None
    pieces = segment(0xE1, b"Exif\0\0" + bytes(10)) * 500_000
    yield "JPEG Exif in pieces", jpeg[:2] + pieces + jpeg[2:], DamagedImage
    yield "JPEG comments", jpeg[:2] + segment(0xFE, b"") * 2_000_000 + jpeg[2:], DamagedImage
    gif = base("GIF")
    start = 13 + 3 * 256
    comments = b"!\xfe" + (b"\xff" + bytes(255)) * 70_000 + b"\0"
    yield "GIF comment", gif[:start] + comments + gif[start:], None
    yield "GIF no end", gif[:start] + comments[:-1], DamagedImage
    yield "GIF no picture", gif[:start] + comments + b";", DamagedImage
    yield "PNG chunks", png[:33] + chunk(b"prVt", b"") * 1_000_000 + png[33:], DamagedImage
    text = chunk(b"zTXt", b"Comment\0\0" + zlib.compress(bytes(100 * MEBIBYTE), 9))
    yield "PNG text", png[:33] + text + png[33:], DamagedImage
    profile = chunk(b"iCCP", b"ICC\0\0" + zlib.compress(bytes(100 * MEBIBYTE), 9))
    yield "PNG profile", png[:33] + profile + png[33:], DamagedImage


def test_a_bomb_takes_no_memory_to_speak_of() -> None:
    """In a process of its own, which tells how much it grew by."""
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-m", "tests.test_bounds"],
        capture_output=True,
        text=True,
        check=False,
        cwd=Path(__file__).parents[1],
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    told = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(told) >= 30
    assert not [each for each in told if each["came"] != each["due"] or each["grown"] > 100]


def explode() -> None:
    """Decode each; one line of JSON for each: what came, and MiB that the process grew by."""
    import resource

    resource.setrlimit(resource.RLIMIT_AS, (8 << 30, 8 << 30))
    files = list(bombs())
    DECODER.decode(encoded(picture(1, (2000, 1500))), thumbnail=True)
    for name, data, error in files:
        due = error.__name__ if error else "Picture"
        if sys.platform == "linux":
            forget()  # making the files took more than the bombs may
        before = peak()
        try:
            came = type(DECODER.decode(data, thumbnail=True)).__name__
        except BogvError as raised:
            came = type(raised).__name__
        grown = (peak() - before) // MEBIBYTE
        print(json.dumps({"name": name, "due": due, "came": came, "grown": grown}))


def test_comments_are_taken_out_of_a_gif_and_nothing_else() -> None:
    image = picture(3, (64, 48)).convert("P")
    image.putpixel((0, 0), 7)
    gif = encoded(image, "GIF", transparency=7)
    start = 13 + 3 * 256
    comments = b"!\xfe" + (b"\xff" + b"!," * 127 + b"x") * 300 + b"\0"
    plain, long = DECODER.decode(gif), DECODER.decode(gif[:start] + comments + gif[start:])
    assert (plain.pixels == long.pixels).all()
    assert long.size == len(gif) + len(comments)


def test_a_jpeg_with_many_segments_is_still_read() -> None:
    jpeg = base("JPEG")
    data = jpeg[:2] + segment(0xE5, b"x") * (SEGMENTS - 10) + jpeg[2:]
    assert DECODER.decode(data).width == 64


def test_progressive_and_multi_picture_files_are_read() -> None:
    assert DECODER.decode(scans(80)).width == 2000
    data = encoded(picture(1), "MPO", save_all=True, append_images=[picture(2)])
    assert DECODER.decode(data + base("JPEG") * 200).width == 320


def test_orientation_is_found_among_large_tags() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    exif[0x010E] = "x" * 40_000
    for kind in ("JPEG", "PNG", "WEBP", "TIFF"):
        decoded = DECODER.decode(encoded(picture(1, (64, 48)), kind, exif=exif))
        assert (decoded.width, decoded.height) == (48, 64), kind


def test_tiled_files_are_read() -> None:
    image = picture(2, (600, 400))
    tiled = encoded(image, "JPEG2000", tile_size=(64, 64))
    raw = encoded(
        image,
        "JPEG2000",
        no_jp2=True,
        tile_size=(64, 64),
        precinct_size=(64, 64),
        codeblock_size=(16, 16),
    )
    assert DECODER.decode(tiled).width == DECODER.decode(raw).width == 600
    assert DECODER.decode(jpeg2000(64, 64, 3, tile=64)).width == 64
    assert DECODER.decode(tiff(1, 1, (256, 256))).width == 1
    assert DECODER.decode(tiff(1, 1, (256, 256), order=">")).width == 1


def test_of_two_sizes_of_a_tile_the_larger_counts() -> None:
    for sides in ((16, 30_000), (30_000, 16)):
        with pytest.raises(TooManyPixels):
            DECODER.decode(tiff(1, 1, (30_000, 30_000), width_again=sides))


def test_the_bounds_hold_for_all_of_pillow() -> None:
    """Gradio opens images too."""
    jpeg = base("JPEG")
    data = jpeg[:2] + segment(0xE5, b"x") * (SEGMENTS + 1) + jpeg[2:]
    with pytest.raises(DamagedImage):
        Image.open(io.BytesIO(data))
    handlers = [handler for _, _, handler in JpegImagePlugin.MARKER.values()]
    assert JpegImagePlugin.APP not in handlers
    assert set(FORMATS) >= set(KINDS)


# Files


def png_header(width: int, height: int) -> bytes:
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(bytes(100)))


def gif_frame(width: int, height: int) -> bytes:
    """A screen of one pixel, and a frame that is larger."""
    return b"GIF89a\1\0\1\0\0\0\0," + struct.pack("<HHHH", 0, 0, width, height) + b"\0\2\2\x4c\1\0;"


def animated_webp(width: int, height: int) -> bytes:
    frames = [picture(i, (32, 32)) for i in range(2)]
    data = bytearray(encoded(frames[0], "WEBP", save_all=True, append_images=frames[1:]))
    at = data.index(b"VP8X") + 12
    data[at : at + 6] = (width - 1).to_bytes(3, "little") + (height - 1).to_bytes(3, "little")
    return bytes(data)


def tiff(
    width: int,
    height: int,
    tile: tuple[int, int] | None,
    order: str = "<",
    width_again: tuple[int, ...] = (),
) -> bytes:
    """Grey, deflated: in one strip, or in one tile. width_again: the tile's width twice."""
    across, down = tile or (min(width, 1000), min(height, 1000))
    data = zlib.compress(bytes(min(across * down, 20 * MEBIBYTE)), 9)
    place = {273: 8, 278: height, 279: len(data)}
    if tile:
        place = {322: across, 323: down, 324: 8, 325: len(data)}
    values = {256: width, 257: height, 258: 8, 259: 8, 262: 1, 277: 1, **place}
    entries = sorted(values.items())
    if width_again:
        entries = [each for each in entries if each[0] != 322]
        entries = sorted([*entries, *((322, width) for width in width_again)], key=lambda e: e[0])
    directory = struct.pack(f"{order}H", len(entries))
    for tag, value in entries:
        directory += struct.pack(f"{order}HHLL", tag, 4, 1, value)
    magic = (b"II" if order == "<" else b"MM") + struct.pack(f"{order}HL", 42, 8 + len(data))
    return magic + data + directory + bytes(4)


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


def jpeg2000(
    width: int,
    height: int,
    components: int,
    tile: int = 1,
    block: int = 4,
    precinct: int | None = None,
    later: int | None = None,
) -> bytes:
    """A header. tile: its side; block, precinct: log2 of the side, of blocks less 2; later: that
    of the precincts as the tile's own header says."""

    def style(side: int | None) -> bytes:
        code = bytes([side is not None, 0, 0, 1, 0, 0, block, block, 0, 1])
        return code if side is None else code + bytes([side * 17])

    def marked(mark: int, data: bytes) -> bytes:
        return bytes([0xFF, mark]) + struct.pack(">H", len(data) + 2) + data

    sizes = struct.pack(">HIIIIIIIIH", 0, width, height, 0, 0, tile, tile, 0, 0, components)
    header = marked(0x51, sizes + b"\x07\1\1" * components)
    header += marked(0x52, style(precinct)) + marked(0x5C, b"\x40\x40")
    own = b"" if later is None else marked(0x52, style(later))
    length = 12 + len(own) + 2 + 20
    start = b"\xff\x90" + struct.pack(">HHLBB", 10, 0, length, 0, 1)
    return b"\xff\x4f" + header + start + own + b"\xff\x93" + bytes(20) + b"\xff\xd9"


def in_boxes(width: int, height: int, codestream: bytes) -> bytes:
    """A JP2 file, whose header may say otherwise than the picture in it."""

    def box(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I4s", len(data) + 8, kind) + data

    header = box(b"ihdr", struct.pack(">IIHBBBB", height, width, 3, 7, 7, 0, 0))
    header += box(b"colr", b"\1\0\0\0\0\0\x10")
    boxes = box(b"jP  ", b"\r\n\x87\n") + box(b"ftyp", b"jp2 \0\0\0\0jp2 ")
    return boxes + box(b"jp2h", header) + box(b"jp2c", codestream)


if __name__ == "__main__":
    explode()

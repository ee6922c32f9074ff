"""Main program of a sandboxed process that decodes images, one after the other.

Started by `bogv.imaging.sandbox`, with one end of a socket pair as its standard input. Resource
limits contain whatever a file makes Pillow's decoders do: the process can't open, read or write
files, open connections or start programs, and its memory and CPU time are limited for each image.
It imports Pillow, NumPy and bogv's decoding modules only.
"""

from __future__ import annotations

import io
import math
import os
import resource
import socket
import sys
import warnings
from importlib import import_module
from pathlib import Path
from typing import Any

from PIL import AvifImagePlugin, Image

from bogv.errors import BogvError, TooCostly
from bogv.imaging.bounds import BASE_PIXELS, allowed_memory, allowed_seconds
from bogv.imaging.decode import DRAFT_SIDE, FORMATS, decode, decode_upright
from bogv.imaging.frames import Header, receive, send

DETAIL_CHARACTERS = 500
MAX_REQUEST = 1 << 40  # bytes; the decoder has already checked its own limit


def main() -> None:
    """Answer requests until bogv closes the connection."""
    connection = socket.socket(fileno=sys.stdin.fileno())
    _prepare_pillow()
    memory = _measure_address_space()
    _confine()
    send(connection, {"ready": True})
    while True:
        try:
            request, data = receive(connection, MAX_REQUEST)
        except EOFError:
            return
        _set_memory_limit(memory, request["max_pixels"], len(data))
        _set_cpu_limit(request["seconds"])
        response, payload = _handle(connection, request, bytes(data))
        send(connection, response, payload)


def _handle(connection: socket.socket, request: Header, data: bytes) -> tuple[Header, bytes]:
    def extend_time_limit(pixels: int) -> None:
        if pixels > BASE_PIXELS:
            _set_cpu_limit(allowed_seconds(request["seconds"], pixels, len(data)))
            send(connection, {"opened": pixels})

    limits = request["max_pixels"], request["draft_side"]
    try:
        if request["whole"]:
            image, size = decode_upright(data, *limits, extend_time_limit)
            return {"size": size, "image": image.size}, image.tobytes()
        picture = decode(data, *limits, request["thumbnail"], extend_time_limit)
        reduced = picture.reduced if request["reduced"] else None
        response = {
            "size": (picture.width, picture.height),
            "quality": picture.quality,
            "reduced": (0, 0, 0) if reduced is None else reduced.shape,
        }
        arrays = (picture.pixels, picture.hashes, reduced)
        payload = b"".join(array.tobytes() for array in arrays if array is not None)
        return response, payload + (picture.thumbnail or b"")
    except BogvError as error:
        return {"error": error.type, "detail": str(error)[:DETAIL_CHARACTERS]}, b""
    except MemoryError:
        return {"error": TooCostly.type, "detail": "Decoding takes too much memory."}, b""


# Limits


def _prepare_pillow() -> None:
    """Make Pillow load its plugins and libraries now: no file can be opened after `_confine`."""
    warnings.simplefilter("ignore")  # of broken metadata; nobody reads this process's output
    Image.MAX_IMAGE_PIXELS = None  # `decode_upright` checks its own limit before it decodes
    AvifImagePlugin.DEFAULT_MAX_THREADS = 1  # there is already one process for each core
    Image.init()
    for module in ("ImageCms", "ImageColor", "ImageFilter", "ImagePalette"):
        import_module(f"PIL.{module}")
    sample = Image.new("RGB", (8, 8))
    exif = Image.Exif()
    exif[0x0112] = 6
    for kind in FORMATS:
        if kind in Image.SAVE:
            out = io.BytesIO()
            options: dict[str, Any] = {} if kind in {"BMP", "GIF", "PPM"} else {"exif": exif}
            sample.save(out, kind, **options)
            decode(out.getvalue(), 64, DRAFT_SIDE, True, lambda _: None)


def _confine() -> None:
    """Block files, connections and programs for the rest of the process, and silence stderr."""
    null = os.open(os.devnull, os.O_RDWR)
    os.dup2(null, 2)  # libtiff writes a message for every damaged file
    os.close(null)
    for limit in ("RLIMIT_CORE", "RLIMIT_FSIZE", "RLIMIT_NPROC", "RLIMIT_NOFILE"):
        resource.setrlimit(getattr(resource, limit), (0, 0))


def _measure_address_space() -> int | None:
    """Bytes of address space in use; None on macOS, which neither reports nor limits it."""
    if sys.platform != "linux":
        return None
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    return pages * resource.getpagesize()


def _set_memory_limit(baseline: int | None, max_pixels: int, size: int) -> None:
    """baseline: bytes of address space before the first image; None where there is no limit."""
    if baseline is not None:
        _, hard = resource.getrlimit(resource.RLIMIT_AS)
        wanted = baseline + allowed_memory(max_pixels, size)
        soft = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))


def _set_cpu_limit(seconds: float) -> None:
    """Have the kernel end this process (SIGXCPU) after so many more seconds of CPU time."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    _, hard = resource.getrlimit(resource.RLIMIT_CPU)
    soft = math.ceil(usage.ru_utime + usage.ru_stime + seconds)
    resource.setrlimit(resource.RLIMIT_CPU, (soft, hard))


if __name__ == "__main__":
    main()

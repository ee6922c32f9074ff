"""A process that decodes images, one after the other, within limits that the system enforces.

Started by `bogv.imaging.sandbox`, with one end of a socket pair as its standard input. Whatever a
file makes Pillow's decoders do stays here: it can read and write no file, open no connection and
start no program, and has the memory and the processor time that one image may take. It imports
Pillow and NumPy, and nothing of bogv's but what decodes.
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
from bogv.imaging.bounds import PIXELS_IN_TIME, allowed_memory, allowed_seconds
from bogv.imaging.decode import DRAFT_SIDE, FORMATS, decode, decode_upright
from bogv.imaging.frames import Header, receive, send

DETAIL_CHARACTERS = 500
MAX_REQUEST = 1 << 40  # bytes; bogv has checked it against its own limit


def main() -> None:
    """Answer what comes in until bogv closes the connection."""
    connection = socket.socket(fileno=sys.stdin.fileno())
    _prepare_pillow()
    memory = _own_memory()
    _confine()
    send(connection, {"ready": True})
    while True:
        try:
            order, data = receive(connection, MAX_REQUEST)
        except EOFError:
            return
        _limit_memory(memory, order["max_pixels"], len(data))
        _limit_time(order["seconds"])
        answer, payload = _work(connection, order, bytes(data))
        send(connection, answer, payload)


def _work(connection: socket.socket, order: Header, data: bytes) -> tuple[Header, bytes]:
    def opened(pixels: int) -> None:
        if pixels > PIXELS_IN_TIME:
            _limit_time(allowed_seconds(order["seconds"], pixels, len(data)))
            send(connection, {"opened": pixels})

    limits = order["max_pixels"], order["draft_side"]
    try:
        if order["whole"]:
            image, size = decode_upright(data, *limits, opened)
            return {"size": size, "image": image.size}, image.tobytes()
        picture = decode(data, *limits, order["thumbnail"], opened)
        answer = {"size": (picture.width, picture.height), "pixels": picture.pixels.shape}
        return answer, picture.pixels.tobytes() + (picture.thumbnail or b"")
    except BogvError as error:
        return {"error": error.type, "detail": str(error)[:DETAIL_CHARACTERS]}, b""
    except MemoryError:
        return {"error": TooCostly.type, "detail": "Decoding takes too much memory."}, b""


# Limits


def _prepare_pillow() -> None:
    """Load all that Pillow loads when it is first needed: afterwards no file can be opened."""
    # Pillow warns of broken metadata; nobody would read it.
    warnings.simplefilter("ignore")
    # `decode_upright` has a limit of its own, and checks it before any pixel is decoded.
    Image.MAX_IMAGE_PIXELS = None
    # As many images are decoded at once as there are cores.
    AvifImagePlugin.DEFAULT_MAX_THREADS = 1
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
    """No files, no connections, no programs, nothing written to the log, for good."""
    null = os.open(os.devnull, os.O_RDWR)
    os.dup2(null, 2)  # libtiff tells what it finds wrong, of every damaged file
    os.close(null)
    for limit in ("RLIMIT_CORE", "RLIMIT_FSIZE", "RLIMIT_NPROC", "RLIMIT_NOFILE"):
        resource.setrlimit(getattr(resource, limit), (0, 0))


def _own_memory() -> int | None:
    """Bytes of address space in use; None where the system doesn't tell, or limit it (macOS)."""
    if sys.platform != "linux":
        return None
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    return pages * resource.getpagesize()


def _limit_memory(own: int | None, max_pixels: int, size: int) -> None:
    if own is not None:
        _, hard = resource.getrlimit(resource.RLIMIT_AS)
        wanted = own + allowed_memory(max_pixels, size)
        soft = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))


def _limit_time(seconds: float) -> None:
    """The system ends this process (SIGXCPU) once it has computed for so long from now on."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    _, hard = resource.getrlimit(resource.RLIMIT_CPU)
    soft = math.ceil(usage.ru_utime + usage.ru_stime + seconds)
    resource.setrlimit(resource.RLIMIT_CPU, (soft, hard))


if __name__ == "__main__":
    main()

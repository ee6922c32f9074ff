"""Limits of time and memory for decoding one image.

The server's limit of time is BOGV_DECODE_SECONDS (`bogv.config`); the default here is for others.
"""

from __future__ import annotations

DECODE_SECONDS = 10.0
"""Time limit of an image of at most BASE_PIXELS or BASE_BYTES; a larger one is allowed more."""
BASE_PIXELS = 16_000_000
BASE_BYTES = 1_000_000
BYTES_PER_PIXEL = 24
"""Peak memory of a decoder; JPEG 2000 takes the most, 19 (tests/soak/test_large.py)."""
OVERHEAD_BYTES = 64 * 1024 * 1024


def allowed_seconds(seconds: float, pixels: int, size: int) -> float:
    """Time limit of one image in seconds, both of wall-clock time and of CPU time.

    seconds: the limit of an image of ordinary size. size: bytes of the file. A larger image is
    allowed more, in proportion to its pixels or to its bytes, whichever gives less: a header of a
    hundred bytes can claim any number of pixels.
    """
    return seconds * max(1.0, min(pixels / BASE_PIXELS, size / BASE_BYTES))


def allowed_memory(max_pixels: int, size: int) -> int:
    """Bytes that decoding a file of `size` bytes may add to the memory of a fresh process.

    Computed from the limit of pixels, not from the image's own: its header can't be trusted.
    """
    return OVERHEAD_BYTES + BYTES_PER_PIXEL * max_pixels + 4 * size

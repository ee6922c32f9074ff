"""What decoding one image may take: seconds and memory."""

from __future__ import annotations

DECODE_SECONDS = 10.0
"""For an image of at most PIXELS_IN_TIME or BYTES_IN_TIME; a larger one may take longer."""
PIXELS_IN_TIME = 16_000_000
BYTES_IN_TIME = 1_000_000
BYTES_A_PIXEL = 24
"""JPEG 2000 takes the most, 19 (tests/soak/test_large.py)."""
SPARE_BYTES = 64 * 1024 * 1024


def allowed_seconds(seconds: float, pixels: int, size: int) -> float:
    """Seconds, of the clock and of the processor, that an image may take.

    In proportion to its pixels and to its file's bytes, whichever gives less: a header of a hundred
    bytes can claim any number of pixels.
    """
    return seconds * max(1.0, min(pixels / PIXELS_IN_TIME, size / BYTES_IN_TIME))


def allowed_memory(max_pixels: int, size: int) -> int:
    """Bytes that decoding a file of `size` bytes may take, beside what a fresh process has.

    By the limit and not by the image's own pixels: what the header says is the image's word.
    """
    return SPARE_BYTES + BYTES_A_PIXEL * max_pixels + 4 * size

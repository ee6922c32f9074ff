"""Decodes bytes to a `Picture`, in sandboxed processes and within limits."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import accumulate
from typing import Any

import numpy as np
from PIL import Image

from bogv.errors import (
    BogvError,
    DamagedImage,
    NotAnImage,
    TooCostly,
    TooLarge,
    TooManyPixels,
)
from bogv.imaging.bounds import DECODE_SECONDS
from bogv.imaging.decode import DRAFT_SIDE, INPUT_SIZE, THUMBNAIL_SIZE
from bogv.imaging.frames import Header
from bogv.imaging.pdq import BYTES, MAX_QUALITY, ORIENTATIONS
from bogv.imaging.sandbox import Sandbox
from bogv.records import Picture, Pixels

_ERRORS: dict[str, type[BogvError]] = {
    error.type: error for error in (DamagedImage, NotAnImage, TooCostly, TooManyPixels)
}
_INPUT_SHAPE = (INPUT_SIZE, INPUT_SIZE, 3)
_HASHES_SHAPE = (ORIENTATIONS, BYTES)
_MAX_PICTURE_BYTES = 4 * 1024 * 1024
"""Upper bound of a response: a WebP of 384 × 384 pixels and all arrays have far less."""


class Decoder:
    """Decodes images of at most `max_bytes` bytes and `max_pixels` pixels. Thread-safe.

    seconds: time limit of one image; a large one is allowed more (`bounds.allowed_seconds`).
    draft_side: pixels; a large JPEG is scaled down while it is decoded, to sides of at least this.
    """

    def __init__(
        self,
        max_bytes: int,
        max_pixels: int,
        seconds: float = DECODE_SECONDS,
        draft_side: int = DRAFT_SIDE,
    ) -> None:
        self.max_bytes = max_bytes
        self.max_pixels = max_pixels
        self.seconds = seconds
        self.draft_side = draft_side
        self.sandbox = Sandbox()

    def close(self) -> None:
        """End all decoding processes; a later image starts new ones."""
        self.sandbox.close()

    def decode(self, data: bytes, thumbnail: bool = False, reduced: bool = False) -> Picture:
        """Decode the first frame: upright, RGB, transparency over white.

        `pixels` of the picture is (224, 224, 3) uint8. thumbnail, reduced: whether to return one,
        too.

        Raises TooLarge, TooManyPixels (before any pixel is decoded), TooCostly, NotAnImage,
        DamagedImage, Overloaded (all processes are busy), Unavailable (no process could start).
        """
        request = {"whole": False, "thumbnail": thumbnail, "reduced": reduced}
        response, payload = self._run(request, data, _MAX_PICTURE_BYTES)
        with _reject_invalid_response():
            width, height = map(int, response["size"])
            shape = _reduced_shape(response["reduced"], reduced)
            pixels, hashes, small, rest = _split(payload, _INPUT_SHAPE, _HASHES_SHAPE, shape)
            return Picture(
                width=width,
                height=height,
                size=len(data),
                pixels=pixels,
                thumbnail=rest.tobytes() if thumbnail else None,
                hashes=hashes,
                quality=min(max(int(response["quality"]), 0), MAX_QUALITY),
                reduced=small if reduced else None,
            )

    def decode_upright(
        self, data: bytes, draft_side: int | None = None
    ) -> tuple[Image.Image, tuple[int, int]]:
        """Decode the first frame to an upright RGB image; also its full width and height in pixels.

        The image of a large JPEG is scaled down, to sides of at least `draft_side` pixels (by
        default the decoder's own `draft_side`). Raises as `decode` does.
        """
        request = {"whole": True, "draft_side": draft_side or self.draft_side}
        response, payload = self._run(request, data, 3 * self.max_pixels)
        with _reject_invalid_response():
            width, height = map(int, response["size"])
            return Image.frombytes("RGB", tuple(response["image"]), bytes(payload)), (width, height)

    def _run(self, request: Header, data: bytes, max_response: int) -> tuple[Header, bytearray]:
        if len(data) > self.max_bytes:
            raise TooLarge(
                f"The image has {len(data):,} bytes; the limit is {self.max_bytes:,} bytes."
            )
        request = {"max_pixels": self.max_pixels, "draft_side": self.draft_side, **request}
        response, payload = self.sandbox.run(request, data, self.seconds, max_response)
        if "error" in response:
            with _reject_invalid_response():
                error = _ERRORS[response["error"]](response["detail"])
            raise error
        return response, payload


def _reduced_shape(claimed: Sequence[Any], wanted: bool) -> tuple[int, ...]:
    """The shape of the reduced picture in the response, of no pixels unless it was wanted.

    Raises ValueError if it is impossible.
    """
    height, width, channels = map(int, claimed)
    if not wanted:
        return 0, 0, 0
    if not (0 < height <= THUMBNAIL_SIZE and 0 < width <= THUMBNAIL_SIZE and channels == 3):
        raise ValueError("The reduced picture has an impossible shape.")
    return height, width, channels


def _split(payload: bytearray, *shapes: tuple[int, ...]) -> list[Pixels]:
    """Arrays of these shapes from the start of the payload, and the rest of it. Raises ValueError
    if it is too short."""
    ends = list(accumulate(map(math.prod, shapes)))
    parts = np.split(np.frombuffer(payload, np.uint8), ends)
    return [*(part.reshape(shape) for part, shape in zip(parts, shapes, strict=False)), parts[-1]]


@contextmanager
def _reject_invalid_response() -> Iterator[None]:
    """Responses aren't trusted: a malicious image may have taken over the process.

    Raises DamagedImage where one can't be read.
    """
    try:
        yield
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise DamagedImage("The image makes its decoder return an invalid response.") from error

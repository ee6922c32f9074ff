"""Bytes to `Picture`, decoded within limits in processes of their own."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager

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
from bogv.imaging.decode import DRAFT_SIDE, INPUT_SIZE
from bogv.imaging.frames import Header
from bogv.imaging.sandbox import Sandbox
from bogv.records import Picture

_ERRORS: dict[str, type[BogvError]] = {
    error.type: error for error in (DamagedImage, NotAnImage, TooCostly, TooManyPixels)
}
_PIXELS = (INPUT_SIZE, INPUT_SIZE, 3)
_THUMBNAIL_BYTES = 4 * 1024 * 1024
"""More than any has."""


class Decoder:
    """Decodes images of at most `max_bytes` bytes and `max_pixels` pixels. Safe in threads.

    seconds: that an image may take; a large one takes longer (`bounds.allowed_seconds`).
    draft_side: JPEGs are scaled down as they are decoded, their sides at least so many pixels long.
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
        """End the processes that are idle; a later image starts new ones."""
        self.sandbox.close()

    def decode(self, data: bytes, thumbnail: bool = False) -> Picture:
        """Decode the first frame, upright, in RGB, over white where it is transparent.

        Raises TooLarge, TooManyPixels (before any pixel is decoded), TooCostly, NotAnImage,
        DamagedImage, Overloaded (others keep all processes busy), Unavailable (none could be had).
        """
        limit = math.prod(_PIXELS) + _THUMBNAIL_BYTES
        answer, payload = self._run({"whole": False, "thumbnail": thumbnail}, data, limit)
        count = math.prod(_PIXELS)
        with _doubted():
            width, height = map(int, answer["size"])
            return Picture(
                width=width,
                height=height,
                size=len(data),
                pixels=np.frombuffer(payload, np.uint8, count).reshape(_PIXELS),
                thumbnail=bytes(payload[count:]) if thumbnail else None,
            )

    def upright(
        self, data: bytes, draft_side: int | None = None
    ) -> tuple[Image.Image, tuple[int, int]]:
        """The image in RGB, upright, and its size: width and height in pixels.

        A large JPEG comes scaled down, its sides at least `draft_side` pixels long (by default the
        decoder's own); the size is that of the whole image. Raises as `decode` does.
        """
        order = {"whole": True, "draft_side": draft_side or self.draft_side}
        answer, payload = self._run(order, data, 3 * self.max_pixels)
        with _doubted():
            width, height = map(int, answer["size"])
            return Image.frombytes("RGB", tuple(answer["image"]), bytes(payload)), (width, height)

    def _run(self, order: Header, data: bytes, max_answer: int) -> tuple[Header, bytearray]:
        if len(data) > self.max_bytes:
            raise TooLarge(
                f"The image has {len(data):,} bytes; the limit is {self.max_bytes:,} bytes."
            )
        order = {"max_pixels": self.max_pixels, "draft_side": self.draft_side, **order}
        answer, payload = self.sandbox.run(order, data, self.seconds, max_answer)
        if "error" in answer:
            with _doubted():
                error = _ERRORS[answer["error"]](answer["detail"])
            raise error
        return answer, payload


@contextmanager
def _doubted() -> Iterator[None]:
    """Around what reads an answer: an image may have taken over the process that wrote it."""
    try:
        yield
    except (KeyError, TypeError, ValueError) as error:
        raise DamagedImage("The image makes its decoder answer nonsense.") from error

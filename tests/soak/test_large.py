"""Pictures as large as may be, of each format: how much memory one takes while it is decoded."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
from PIL import Image

from bogv.imaging.bounds import BYTES_PER_PIXEL
from bogv.imaging.decode import DRAFT_SIDE, OnHeader, decode
from tests.imaging.support.corpus import KINDS
from tests.support.fakes import encoded, picture
from tests.support.memory import forget, peak
from tests.support.running import ROOT

pytestmark = pytest.mark.soak

SIZE = (10_000, 6_000)
LIMITS: tuple[int, int, bool, OnHeader] = (64_000_000, DRAFT_SIDE, True, lambda _: None)
OPTIONS: dict[str, dict[str, object]] = {
    "AVIF": {"speed": 10},
    "TIFF": {"compression": "tiff_lzw"},
    "WEBP": {"method": 0},
}


@pytest.mark.parametrize("kind", KINDS)
def test_sixty_megapixels_take_a_bounded_amount_of_memory(kind: str) -> None:
    """Decoded in a process of its own: this one has had more before."""
    # Of one colour: as large in memory as any, and made in a tenth of the time.
    large = Image.new("P" if kind == "GIF" else "RGB", SIZE, "teal")
    data = encoded(large, kind, **OPTIONS.get(kind, {}))
    done = subprocess.run(
        [sys.executable, "-m", "tests.soak.test_large"],
        input=data,
        stdout=subprocess.PIPE,
        check=True,
        cwd=ROOT,
    )
    told = json.loads(done.stdout)
    print(f"\n{kind}: {len(data):,} bytes, {told}")
    assert told["size"] == list(SIZE)
    # Whatever a JPEG decoder scales down, the others hold whole.
    assert kind == "JPEG" or told["grown"] >= SIZE[0] * SIZE[1]
    assert told["grown"] < SIZE[0] * SIZE[1] * BYTES_PER_PIXEL


def measure() -> None:
    """Decode what comes in; tell what came out, and the bytes that the process grew by."""
    decode(encoded(picture(1)), *LIMITS)
    data = sys.stdin.buffer.read()
    if sys.platform == "linux":
        forget()
    before = peak()
    decoded = decode(data, *LIMITS)
    print(json.dumps({"size": (decoded.width, decoded.height), "grown": peak() - before}))


if __name__ == "__main__":
    measure()

"""Work on a gallery."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial

from bogv.records import NewImage
from bogv.service import ImageSearch
from tests.support.fakes import png


def fill(search: ImageSearch, count: int) -> list[int]:
    """Add pictures 0 to count - 1 under the keys k0, k1, …; returns their ids."""
    images = (NewImage(partial(png, i), f"/photos/{i}.png", f"k{i}") for i in range(count))
    return [added.id or 0 for added in search.add_many(images)]


def run_concurrently(*calls: Callable[[], object]) -> list[object]:
    """The results of the calls, each in a thread of its own."""
    with ThreadPoolExecutor(len(calls)) as threads:
        return [future.result() for future in [threads.submit(call) for call in calls]]

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from bogv.embedder import Embedder
from bogv.errors import EngineFailed
from bogv.records import Pixels, Vectors
from bogv.weights import DIMENSION, Weights

SIZE = 4


class GatedEngine:
    """Gives each image's first value; its first batch ends when the test says so."""

    name = "gated"
    batch = SIZE

    def __init__(self, fails_with: BaseException | None = None) -> None:
        self.batches: list[int] = []
        self.busy, self.gate = threading.Event(), threading.Event()
        self._fails_with = fails_with
        self._inside = 0

    def features(self, pixels: Pixels) -> Vectors:
        self._inside += 1
        assert self._inside == 1, "two threads at once"
        self.batches.append(len(pixels))
        if len(self.batches) == 1:
            self.busy.set()
            assert self.gate.wait(30)
        self._inside -= 1
        if self._fails_with is not None and len(self.batches) > 1:
            raise self._fails_with
        features = np.ones((len(pixels), DIMENSION), np.float32)
        features[:, 0] = pixels[:, 0, 0, 0]
        return features


def image(value: int) -> Pixels:
    return np.full((1, 2, 2, 3), value, np.uint8)


def first(vectors: Vectors) -> list[float]:
    """The values that went in."""
    return [round(float(row[0] / row[1])) for row in vectors]


def wait_for(embedder: Embedder, jobs: int) -> None:
    while len(embedder._waiting) < jobs:
        threading.Event().wait(0.001)


def meet(engine: GatedEngine, *batches: Pixels) -> list[Vectors | BaseException]:
    """Embed an image; and while it is under way, the batches, each from a thread of its own."""
    embedder = Embedder(Weights("custom", None, "0"), engine)
    with ThreadPoolExecutor(len(batches) + 1) as threads:
        alone = threads.submit(embedder.embed, image(99))
        assert engine.busy.wait(30)
        waiting = []
        for count, batch in enumerate(batches, 1):
            waiting.append(threads.submit(embedder.embed, batch))
            wait_for(embedder, count)
        engine.gate.set()
        assert first(alone.result()) == [99]
        return [job.exception() or job.result() for job in waiting]


def test_who_comes_while_the_engine_is_busy_shares_a_batch() -> None:
    engine = GatedEngine()
    found = meet(engine, *(image(value) for value in range(1, 7)))
    assert engine.batches == [1, 4, 2]
    assert [first(each) for each in found if isinstance(each, np.ndarray)] == [
        [value] for value in range(1, 7)
    ]


def test_who_comes_alone_waits_for_nobody() -> None:
    engine = GatedEngine()
    engine.gate.set()
    embedder = Embedder(Weights("custom", None, "0"), engine)
    assert [first(embedder.embed(image(value))) for value in (5, 6)] == [[5], [6]]
    assert engine.batches == [1, 1]


def test_a_long_list_leaves_room_for_others_between_its_batches() -> None:
    engine = GatedEngine()
    many = np.concatenate([image(value) for value in range(10)])
    found = meet(engine, many, image(50))
    assert engine.batches[:2] == [1, 4]  # the list's first part
    assert engine.batches[2] in {1, 4}  # the image, alone or after the list's next part
    assert sum(engine.batches) == 12
    assert [first(each) for each in found if isinstance(each, np.ndarray)] == [
        list(range(10)),
        [50],
    ]


@pytest.mark.parametrize("error", [RuntimeError("out of memory"), MemoryError("no room")])
def test_a_failure_reaches_everyone_who_shared_the_batch(error: Exception) -> None:
    found = meet(GatedEngine(error), image(1), image(2))
    assert [str(each) for each in found] == [f"gated failed: {error}."] * 2
    assert all(isinstance(each, EngineFailed) for each in found)


def test_a_fault_leaves_nobody_waiting() -> None:
    found = meet(GatedEngine(ValueError("a bug")), image(1), image(2))
    assert all(isinstance(each, ValueError) for each in found)

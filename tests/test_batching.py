from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from bogv.batching import Batcher
from bogv.embedding.embedder import Embedder
from bogv.embedding.weights import DIMENSION, Weights
from bogv.errors import EngineFailed
from bogv.records import Pixels, Vectors


class GatedWork:
    """Doubles numbers; its first batch ends when the test says so."""

    def __init__(self, fails_with: BaseException | None = None) -> None:
        self.batches: list[int] = []
        self.busy, self.gate = threading.Event(), threading.Event()
        self._fails_with = fails_with
        self._inside = 0

    def __call__(self, numbers: list[int]) -> list[int]:
        self._inside += 1
        assert self._inside == 1, "two threads at once"
        self.batches.append(len(numbers))
        if len(self.batches) == 1:
            self.busy.set()
            assert self.gate.wait(30)
        self._inside -= 1
        if self._fails_with is not None and len(self.batches) > 1:
            raise self._fails_with
        return [2 * number for number in numbers]


def meet(work: GatedWork, *numbers: int) -> list[int | BaseException]:
    """Have a number doubled; and while it is under way, the others, each in its own thread."""
    batcher = Batcher(work, 4)
    with ThreadPoolExecutor(len(numbers) + 1) as threads:
        alone = threads.submit(batcher, 99)
        assert work.busy.wait(30)
        waiting = []
        for count, number in enumerate(numbers, 1):
            waiting.append(threads.submit(batcher, number))
            while len(batcher._waiting) < count:
                threading.Event().wait(0.001)
        work.gate.set()
        assert alone.result() == 198
        return [job.exception() or job.result() for job in waiting]


def test_who_comes_while_a_batch_is_under_way_shares_the_next() -> None:
    work = GatedWork()
    assert meet(work, 1, 2, 3, 4, 5, 6) == [2, 4, 6, 8, 10, 12]
    assert work.batches == [1, 4, 2]


def test_who_comes_alone_waits_for_nobody() -> None:
    work = GatedWork()
    work.gate.set()
    batcher = Batcher(work, 4)
    assert [batcher(5), batcher(6)] == [10, 12]
    assert work.batches == [1, 1]


@pytest.mark.parametrize("error", [RuntimeError("out of memory"), ValueError("a bug")])
def test_a_failure_reaches_everyone_who_shared_the_batch(error: Exception) -> None:
    assert meet(GatedWork(error), 1, 2) == [error, error]


def test_the_batch_after_a_failure_is_done() -> None:
    work = GatedWork(RuntimeError("out of memory"))
    batcher = Batcher(work, 4)
    work.gate.set()
    assert batcher(1) == 2
    with pytest.raises(RuntimeError, match="out of memory"):
        batcher(2)
    work._fails_with = None
    assert batcher(3) == 6


class GatedEngine:
    """Gives each image's first value; many at once end when the test says so."""

    name = "gated"
    batch = 4

    def __init__(self) -> None:
        self.busy, self.gate = threading.Event(), threading.Event()

    def features(self, pixels: Pixels) -> Vectors:
        features = np.ones((len(pixels), DIMENSION), np.float32)
        features[:, 0] = pixels[:, 0, 0, 0]
        return features

    def bulk(self, pixels: Pixels) -> Vectors:
        self.busy.set()
        assert self.gate.wait(30)
        return self.features(pixels)


def image(value: int) -> Pixels:
    return np.full((1, 2, 2, 3), value, np.uint8)


def first(vectors: Vectors) -> list[float]:
    """The values that went in."""
    return [round(float(row[0] / row[1])) for row in vectors]


def test_a_single_picture_doesnt_wait_for_many() -> None:
    engine = GatedEngine()
    embedder = Embedder(Weights("custom", None, "0"), engine)
    with ThreadPoolExecutor(1) as thread:
        many = thread.submit(embedder.embed, np.concatenate([image(n) for n in range(10)]))
        assert engine.busy.wait(30)
        assert first(embedder.embed(image(50))) == [50]
        engine.gate.set()
        assert first(many.result()) == list(range(10))


@pytest.mark.parametrize("error", [RuntimeError("out of memory"), MemoryError("no room")])
@pytest.mark.parametrize("count", [1, 3])
def test_an_engines_failure_is_told_as_one(error: Exception, count: int) -> None:
    class Broken(GatedEngine):
        def features(self, pixels: Pixels) -> Vectors:  # noqa: ARG002
            raise error

    engine = Broken()
    engine.gate.set()
    embedder = Embedder(Weights("custom", None, "0"), engine)
    with pytest.raises(EngineFailed, match=f"^gated failed: {error}.$"):
        embedder.embed(np.concatenate([image(1)] * count))

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from bogv.batching import Batcher, prefetch, split
from bogv.embedding.embedder import Embedder
from bogv.embedding.weights import DIMENSION, Weights
from bogv.errors import EngineFailed
from bogv.records import Pixels, Vectors


class GatedWork:
    """Doubles numbers; its first batch waits for `gate`."""

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


def call_together(work: GatedWork, *numbers: int) -> list[int | BaseException]:
    """Call `work` with a number, and during that batch with the others, each in its own thread."""
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


def test_calls_during_a_batch_share_the_next_batch() -> None:
    work = GatedWork()
    assert call_together(work, 1, 2, 3, 4, 5, 6) == [2, 4, 6, 8, 10, 12]
    assert work.batches == [1, 4, 2]


def test_a_single_call_runs_at_once() -> None:
    work = GatedWork()
    work.gate.set()
    batcher = Batcher(work, 4)
    assert [batcher(5), batcher(6)] == [10, 12]
    assert work.batches == [1, 1]


@pytest.mark.parametrize("error", [RuntimeError("out of memory"), ValueError("a bug")])
def test_an_error_is_raised_from_every_call_of_the_batch(error: Exception) -> None:
    assert call_together(GatedWork(error), 1, 2) == [error, error]


def test_the_batch_after_an_error_runs() -> None:
    work = GatedWork(RuntimeError("out of memory"))
    batcher = Batcher(work, 4)
    work.gate.set()
    assert batcher(1) == 2
    with pytest.raises(RuntimeError, match="out of memory"):
        batcher(2)
    work._fails_with = None
    assert batcher(3) == 6


class GatedEngine:
    """Returns each image's first value; `compute_bulk` waits for `gate`."""

    name = "gated"
    batch = 4

    def __init__(self) -> None:
        self.busy, self.gate = threading.Event(), threading.Event()

    def compute(self, pixels: Pixels) -> Vectors:
        features = np.ones((len(pixels), DIMENSION), np.float32)
        features[:, 0] = pixels[:, 0, 0, 0]
        return features

    def compute_bulk(self, pixels: Pixels) -> Vectors:
        self.busy.set()
        assert self.gate.wait(30)
        return self.compute(pixels)

    def compute_maps(self, pixels: Pixels) -> Vectors:
        return self.compute(pixels)[:, np.newaxis, np.newaxis]


def image(value: int) -> Pixels:
    return np.full((1, 2, 2, 3), value, np.uint8)


def first(vectors: Vectors) -> list[float]:
    """The first values of the images, from their normalised vectors."""
    return [round(float(row[0] / row[1])) for row in vectors]


def test_a_single_image_does_not_wait_for_a_bulk_add() -> None:
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
def test_an_error_of_the_engine_becomes_engine_failed(error: Exception, count: int) -> None:
    class Broken(GatedEngine):
        def compute(self, pixels: Pixels) -> Vectors:  # noqa: ARG002
            raise error

    engine = Broken()
    engine.gate.set()
    embedder = Embedder(Weights("custom", None, "0"), engine)
    with pytest.raises(EngineFailed, match=f"^gated failed: {error}.$"):
        embedder.embed(np.concatenate([image(1)] * count))


def test_items_are_split_when_they_are_needed() -> None:
    numbers = iter(range(5))
    parts = split(numbers, 2)
    assert next(parts) == [0, 1]
    assert next(numbers) == 2
    assert list(parts) == [[3, 4]]


def test_prefetched_items_are_the_same_and_one_ahead() -> None:
    started = threading.Event()

    def items() -> Iterator[int]:
        yield 1
        started.set()
        yield 2

    fetched = prefetch(items())
    assert next(fetched) == 1
    assert started.wait(30)
    assert list(fetched) == [2]

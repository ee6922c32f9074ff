from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from bogv.copies.features import describe
from bogv.copies.geometry import NO_AGREEMENT, PART, verify
from bogv.copies.verifier import MAX_HITS, Verifier
from bogv.errors import StorageUnavailable
from bogv.records import Pixels


def photo(seed: int) -> Pixels:
    """Soft noise: features everywhere."""
    from PIL import Image

    noise = np.random.default_rng(seed).integers(0, 256, (36, 48, 3), dtype=np.uint8)
    return np.asarray(Image.fromarray(noise).resize((384, 288), Image.Resampling.BICUBIC))


@pytest.fixture
def verifier() -> Iterator[Verifier]:
    opened = Verifier(threads=3, cached=4)
    yield opened
    opened.close()


def test_each_hit_is_verified_in_order(verifier: Verifier) -> None:
    found = verifier.verify(photo(2), [1, 2, 3], photo)
    assert [each.inliers >= PART for each in found] == [False, True, False]
    alone = verify(describe(photo(2)), describe(photo(2)))
    assert found[1].inliers == alone.inliers
    assert np.array_equal(found[1].hit_points, alone.hit_points)


def test_at_most_twelve_hits_are_verified(verifier: Verifier) -> None:
    loaded: list[int] = []

    def load(record_id: int) -> None:
        loaded.append(record_id)

    assert verifier.verify(photo(0), range(20), load) == [NO_AGREEMENT] * MAX_HITS
    assert sorted(loaded) == list(range(MAX_HITS))
    assert verifier.verify(photo(0), [], load) == []


def test_only_the_features_used_last_are_kept(verifier: Verifier) -> None:
    loaded: list[int] = []

    def load(record_id: int) -> Pixels:
        loaded.append(record_id)
        return photo(record_id)

    for ids in ([1], [2], [3], [4], [1], [5], [1], [2]):
        verifier.verify(photo(0), ids, load)
    assert loaded == [1, 2, 3, 4, 5, 2]


def test_a_hit_without_a_thumbnail_is_looked_for_again(verifier: Verifier) -> None:
    assert verifier.verify(photo(1), [1], lambda _: None) == [NO_AGREEMENT]
    assert verifier.verify(photo(1), [1], photo)[0].inliers >= PART


def test_an_error_of_loading_is_raised_and_the_next_query_is_served(verifier: Verifier) -> None:
    def fail(record_id: int) -> Pixels:
        raise StorageUnavailable("gone")

    with pytest.raises(StorageUnavailable, match="gone"):
        verifier.verify(photo(1), [1, 2], fail)
    assert verifier.verify(photo(1), [1], photo)[0].inliers >= PART


def test_hits_are_verified_at_the_same_time_but_no_more_than_the_threads() -> None:
    verifier = Verifier(threads=2)
    running, most = 0, 0
    both = threading.Barrier(2, timeout=60)
    lock = threading.Lock()

    def load(_: int) -> None:
        nonlocal running, most
        with lock:
            running += 1
            most = max(most, running)
        both.wait()
        with lock:
            running -= 1

    verifier.verify(photo(0), range(8), load)
    verifier.close()
    assert most == 2


def test_queries_of_many_threads_get_their_own_answers(verifier: Verifier) -> None:
    def best(seed: int) -> int:
        found = verifier.verify(photo(seed), [1, 2, 3], photo)
        return max(range(3), key=lambda index: found[index].inliers) + 1

    with ThreadPoolExecutor(6) as threads:
        assert list(threads.map(best, [1, 2, 3] * 2)) == [1, 2, 3] * 2

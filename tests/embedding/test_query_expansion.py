"""Alpha query expansion: the formula, and the service with it on Milvus Lite and on a server."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import pytest

from bogv.canary import Canary
from bogv.embedding.query_expansion import expand, expand_query
from bogv.records import Hit, Neighbour, Vectors
from bogv.service import ImageSearch
from tests.conftest import OpenStore
from tests.support.fakes import fake_search, png
from tests.support.galleries import fill

QUERY = np.array([1.0, 0, 0])
NEAR = np.array([[0.8, 0.6, 0], [0.6, 0, 0.8], [-1, 0, 0]])

Open = Callable[[int], ImageSearch]


def test_neighbours_count_by_their_cosine_to_the_power_of_alpha() -> None:
    found = expand_query(QUERY, NEAR, NEAR @ QUERY, 2)
    # 1 + 0.64 · 0.8 + 0.36 · 0.6; 0.64 · 0.6; 0.36 · 0.8. The cosine below 0 counts as 0.
    assert found == pytest.approx([1.728, 0.384, 0.288])


def test_alpha_0_is_a_sum_of_equals() -> None:
    assert expand_query(QUERY, NEAR[:2], NEAR[:2] @ QUERY, 0) == pytest.approx([2.4, 0.6, 0.8])


def test_no_neighbours_change_no_bit_of_the_query() -> None:
    query = np.array([0.1, 0.2, 0.3])
    none = np.empty((0, 3)), np.empty(0)
    assert expand_query(query, *none, 3).tobytes() == query.tobytes()


def test_an_expanded_query_has_length_1() -> None:
    query = QUERY.astype(np.float32)
    near = [Neighbour(n, float(row[0]), row.astype(np.float32)) for n, row in enumerate(NEAR[:2])]
    found = expand(query, near)
    whole = np.array([1 + 0.512 * 0.8 + 0.216 * 0.6, 0.512 * 0.6, 0.216 * 0.8])
    assert found == pytest.approx(whole / np.linalg.norm(whole), abs=1e-6)
    assert found.dtype == np.float32
    assert expand(query, []).tolist() == query.tolist()


@pytest.fixture
def start_with(open_store: OpenStore, tmp_path: Path) -> Iterator[Open]:
    """A function that starts a service on one gallery, with so many neighbours."""
    with ExitStack() as running:

        def start(query_expansion: int) -> ImageSearch:
            running.close()  # Milvus Lite lets one process open the gallery once
            service = fake_search(open_store(), tmp_path, query_expansion=query_expansion)
            running.callback(service.close)
            return service

        yield start


def ids(hits: list[Hit]) -> list[int]:
    return [hit.record.id for hit in hits]


def test_the_second_search_is_for_query_and_neighbours(start_with: Open) -> None:
    fill(start_with(0), 30)
    search = start_with(5)
    store, asked = search._store, png(77)
    query = search.embedder.embed(search.decoder.decode(asked).pixels[np.newaxis])[0]
    near = store.neighbours(query, 5)
    assert [(each.id, each.score) for each in near] == [
        (hit.record.id, hit.score) for hit in store.search(query, 5)
    ]
    for each in near:
        assert each.vector == pytest.approx(store.vector(each.id), abs=1e-6)
    assert search.search(asked, 8).hits == store.search(expand(query, near), 8)
    assert search.search(asked, 8).hits != store.search(query, 8)


def test_scores_stay_sorted_cosines_and_the_minimum_is_compared_with_them(
    start_with: Open,
) -> None:
    fill(start_with(0), 12)
    search = start_with(4)
    hits = search.search(png(3), 12).hits
    scores = [hit.score for hit in hits]
    assert scores == sorted(scores, reverse=True)
    # The copy of the query comes first, below 1: it is compared with the mean of both and others.
    assert hits[0].record.key == "k3"
    assert 0 <= scores[-1] < scores[0] < 1 - 1e-4
    least = (scores[4] + scores[5]) / 2
    assert search.search(png(3), 12, least).hits == hits[:5]


def test_an_image_of_the_gallery_is_none_of_its_own_neighbours(start_with: Open) -> None:
    added = fill(start_with(0), 20)
    search = start_with(3)
    store = search._store
    query = store.vector(added[2])
    others = [each for each in store.neighbours(query, 20) if each.id != added[2]]
    expected = store.search(expand(query, others[:3]), 20)
    found = search.similar(added[2], 19).hits
    assert found == [hit for hit in expected if hit.record.id != added[2]]


@pytest.mark.parametrize("count", [0, 1, 3])
def test_more_neighbours_than_the_gallery_has_are_all_of_it(start_with: Open, count: int) -> None:
    added = fill(start_with(0), count)
    search = start_with(50)
    assert sorted(ids(search.search(png(99)).hits)) == sorted(added)
    if added:
        assert sorted(ids(search.similar(added[0]).hits)) == sorted(added[1:])


def test_a_neighbour_that_is_deleted_between_both_searches_is_no_hit(
    start_with: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    added = fill(start_with(0), 12)
    search = start_with(4)
    neighbours = search._store.neighbours

    def find_then_delete(vector: Vectors, limit: int) -> list[Neighbour]:
        found = neighbours(vector, limit)
        assert search.delete_ids([found[0].id]) == 1
        search.stats()  # waits until a server has carried it out
        return found

    monkeypatch.setattr(search._store, "neighbours", find_then_delete)
    found = ids(search.search(png(3), 12).hits)
    assert sorted(found) == sorted(set(added) - {added[3]})


def test_searches_that_meet_find_what_each_finds_alone(start_with: Open) -> None:
    fill(start_with(0), 40)
    search = start_with(4)
    asked = [(png(seed), 3 + seed % 3) for seed in range(24)]
    alone = [search.search(image, limit).hits for image, limit in asked]
    with ThreadPoolExecutor(len(asked)) as threads:
        together = threads.map(lambda each: search.search(*each).hits, asked)
        assert list(together) == alone


def test_the_gallery_stays_and_the_canary_searches_without(start_with: Open) -> None:
    plain = start_with(0)
    fill(plain, 12)
    before = plain.stats()
    search = start_with(6)
    after = search.stats()
    assert (after.count, after.fingerprint, after.collection) == (
        before.count,
        before.fingerprint,
        before.collection,
    )
    assert (before.query_expansion, after.query_expansion) == (0, 6)
    canary = Canary(search, 0, seed=0)
    canary.check()
    assert canary.result is not None
    assert canary.result.missed == ()
    assert search.nearest(search.page().records[0].id, 1)[0].score == pytest.approx(1, abs=1e-5)

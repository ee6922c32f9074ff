"""Which pairs of a gallery are compared, when, and what comes of it."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from bogv.calibration import rarity
from bogv.calibration.rarity import FILE, RarityGauge
from bogv.errors import InvalidValue
from bogv.service import ImageSearch
from tests.support.fakes import lite_search, png
from tests.support.galleries import fill

COUNT = 40


@pytest.fixture(scope="module")
def search(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ImageSearch]:
    service = lite_search(tmp_path_factory.mktemp("rarity"))
    fill(service, COUNT)
    yield service
    service.close()


def gauge(search: ImageSearch, folder: Path | None = None, expansion: int = 0) -> RarityGauge:
    return RarityGauge(search._store, "fake0000", folder, query_expansion=expansion)


def test_of_a_small_gallery_all_pairs_are_compared(search: ImageSearch) -> None:
    found = gauge(search)
    assert found.background is None
    found.refresh()
    assert found.background is not None
    assert (found.background.pairs, found.background.complete) == (COUNT * (COUNT - 1) // 2, True)
    vectors = np.array(list(search._store.vectors(search.get_ids_from(0, COUNT)).values()))
    cosines = (vectors @ vectors.T)[np.triu_indices(COUNT, 1)]
    assert found.background.scores == pytest.approx(np.sort(cosines)[::-1], abs=1e-6)


def test_of_a_larger_one_disjoint_pairs_are(
    search: ImageSearch, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rarity, "ALL_PAIRS", COUNT - 1)
    monkeypatch.setattr(rarity, "BATCH", 6)
    found = gauge(search)
    found.refresh()
    assert found.background is not None
    assert (found.background.pairs, found.background.complete) == (COUNT // 2, False)
    monkeypatch.setattr(rarity, "PAIRS", 5)
    fewer = gauge(search)
    fewer.refresh()
    assert fewer.background is not None
    assert 1 <= fewer.background.pairs < COUNT // 2


def test_hits_of_a_stored_image_have_the_rarity_of_their_pair(search: ImageSearch) -> None:
    """Milvus's cosine and ours are the same number but for rounding."""
    found = gauge(search)
    found.refresh()
    assert found.background is not None
    best = max(
        (search.similar(i, 1).hits[0] for i in search.get_ids_from(0, COUNT)),
        key=lambda hit: hit.score,
    )
    [marked] = found.mark([best])
    assert marked.rarity == 2 / (found.background.pairs + 1)
    assert marked == replace(best, rarity=marked.rarity)


def test_it_is_compared_anew_only_when_the_gallery_has_changed_much(
    search: ImageSearch, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = gauge(search)
    counts = iter([COUNT, COUNT + 7, COUNT + 8, 14])
    monkeypatch.setattr(search._store, "count", lambda: next(counts))
    found.refresh()
    first = found.background
    found.refresh()
    assert found.background is first
    found.refresh()
    assert found.background is not None
    assert found.background.count == COUNT + 8
    found.refresh()
    assert found.background is None, "of fewer than 15 images nothing is said"
    assert found.summary == ""


def test_it_is_kept_and_a_gallery_of_other_weights_starts_anew(
    search: ImageSearch, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    found = gauge(search, tmp_path)
    found.refresh()
    assert gauge(search, tmp_path).background == found.background
    assert RarityGauge(search._store, "other", tmp_path).background is None
    (tmp_path / FILE).write_text("{}")
    assert gauge(search, tmp_path).background is None
    assert "is made anew" in caplog.text


def test_a_stop_ends_it_and_keeps_nothing(search: ImageSearch, tmp_path: Path) -> None:
    found = gauge(search, tmp_path)
    stop = threading.Event()
    stop.set()
    found.refresh(stop)
    assert found.background is None
    assert not list(tmp_path.iterdir())


def test_the_thread_measures_and_ends_when_it_is_told(search: ImageSearch) -> None:
    found, stop = gauge(search), threading.Event()
    thread = threading.Thread(target=found.run, args=(stop,))
    thread.start()
    waited = threading.Event()
    while found.background is None and thread.is_alive():
        waited.wait(0.01)
    stop.set()
    thread.join(30)
    assert not thread.is_alive()
    assert found.background is not None


def test_only_hits_as_rare_are_kept(search: ImageSearch) -> None:
    search.rarity.refresh()
    hits = search.search(png(3), COUNT).hits
    rarities = [hit.rarity or 0 for hit in hits]
    assert rarities == sorted(rarities)
    least = rarities[4]
    assert search.search(png(3), COUNT, max_rarity=least).hits == [
        hit for hit in hits if hit.rarity is not None and hit.rarity <= least
    ]
    similar = search.similar(hits[0].record.id, 5, max_rarity=1).hits
    assert all(hit.rarity for hit in similar)


@pytest.mark.parametrize("value", [0, -0.1, 1.1, float("nan"), "0.1", True, 1e-9])
def test_a_limit_that_cannot_be_told_is_rejected(search: ImageSearch, value: float) -> None:
    search.rarity.refresh()
    with pytest.raises(InvalidValue, match="max_rarity"):
        search.search(png(3), max_rarity=value)


def test_without_a_background_there_is_no_rarity_and_no_filter(search: ImageSearch) -> None:
    found = gauge(search)
    assert found.of(0.5) is None
    with pytest.raises(InvalidValue, match="isn't known"):
        found.check(0.01)


def test_scores_of_expanded_queries_have_no_rarity(search: ImageSearch) -> None:
    found = gauge(search, expansion=3)
    found.refresh()
    assert found.of(0.5) is None
    assert found.summary == ""
    with pytest.raises(InvalidValue, match="query expansion"):
        found.check(0.01)

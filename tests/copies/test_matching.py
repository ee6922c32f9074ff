"""How the hits of a search relate to its query: kinds, order, verification, verdict."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from bogv.copies.geometry import PART
from bogv.copies.matching import Matcher
from bogv.copies.thresholds import MAX_BORDERLINE, PAIR_BOUNDS, FixedCriteria, Thresholds
from bogv.errors import NotFound
from bogv.records import HashMatch, Hit, Vectors
from bogv.service import ImageSearch
from tests.support.fakes import encoded, lite_search, png

PART_OF = (40, 30, 300, 220)


def photo(seed: int) -> Image.Image:
    """Soft noise with features everywhere, so that geometry has something to agree on."""
    noise = np.random.default_rng(seed).integers(0, 256, (36, 48, 3), dtype=np.uint8)
    return Image.fromarray(noise).resize((384, 288), Image.Resampling.BICUBIC)


@pytest.fixture
def search(tmp_path: Path) -> Iterator[ImageSearch]:
    service = lite_search(tmp_path, max_bytes=1_000_000)
    yield service
    service.close()


def add_photos(search: ImageSearch, count: int) -> list[int]:
    return [search.add(encoded(photo(seed)), f"k{seed}").id or 0 for seed in range(count)]


def set_distances(
    search: ImageSearch, monkeypatch: pytest.MonkeyPatch, distances: dict[int, int]
) -> None:
    """The hashes of these images differ from any query's in so many bits."""
    found = [HashMatch(i, distance, 1, 100) for i, distance in distances.items()]
    monkeypatch.setattr(search._store.copies, "search_many", lambda _: [found])


def rank_last(
    search: ImageSearch, monkeypatch: pytest.MonkeyPatch, low: list[int], limit: int = 1000
) -> None:
    """The network finds these images last, at a score of 0."""
    nearest = search._store.search

    def worse(vector: Vectors, _: int) -> list[Hit]:
        hits = nearest(vector, 1000)
        hits = [replace(hit, score=0.0) if hit.record.id in low else hit for hit in hits]
        return sorted(hits, key=lambda hit: -hit.score)[:limit]

    monkeypatch.setattr(search._store, "search", worse)


def test_the_same_file_is_exact_and_the_others_are_similar(search: ImageSearch) -> None:
    ids = add_photos(search, 4)
    result = search.search(encoded(photo(2)))
    best = result.hits[0]
    assert (best.record.id, best.match.kind) == (ids[2], "exact")
    assert (best.match.distance, best.match.orientation_name) == (0, "upright")
    assert [hit.match.kind for hit in result.hits[1:]] == ["similar"] * 3
    assert result.verdict is not None
    assert (result.verdict.match, result.verdict.id) == ("exact", ids[2])


def test_the_same_file_is_exact_before_it_is_hashed(search: ImageSearch) -> None:
    ids = add_photos(search, 3)
    search._store.copies.delete(ids)
    assert search.search(encoded(photo(1))).hits[0].match.kind == "exact"


def test_a_mirrored_copy_has_its_distance_and_orientation(search: ImageSearch) -> None:
    ids = add_photos(search, 4)
    mirrored = photo(1).transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    best = search.search(encoded(mirrored, "JPEG", quality=60)).hits[0]
    assert (best.record.id, best.match.kind) == (ids[1], "copy")
    assert best.match.orientation_name == "mirrored"
    assert best.match.distance is not None
    assert best.match.distance <= 31
    assert best.match.inliers is None


def test_a_copy_that_the_network_misses_is_a_hit_with_its_own_score(
    search: ImageSearch, monkeypatch: pytest.MonkeyPatch
) -> None:
    ids = add_photos(search, 6)
    query = encoded(photo(2), "JPEG", quality=50)
    scores = {hit.record.id: hit.score for hit in search.search(query).hits}
    rank_last(search, monkeypatch, [ids[2]], limit=3)
    hits = search.search(query, limit=3).hits
    assert len(hits) == 3
    assert (hits[0].record.id, hits[0].match.kind) == (ids[2], "copy")
    assert hits[0].score == pytest.approx(scores[ids[2]], abs=1e-5)


def test_a_proven_hit_stays_below_the_least_score(
    search: ImageSearch, monkeypatch: pytest.MonkeyPatch
) -> None:
    ids = add_photos(search, 4)
    rank_last(search, monkeypatch, ids)
    hits = search.search(encoded(photo(3)), min_score=0.5).hits
    assert [(hit.record.id, hit.score) for hit in hits] == [(ids[3], 0.0)]


def test_copies_come_first_whatever_their_score(
    search: ImageSearch, monkeypatch: pytest.MonkeyPatch
) -> None:
    ids = add_photos(search, 5)
    set_distances(search, monkeypatch, {ids[0]: 31, ids[4]: 12})
    rank_last(search, monkeypatch, [ids[0], ids[4]])
    hits = search.search(encoded(photo(2))).hits
    kinds = [hit.match.kind for hit in hits]
    assert kinds == ["exact", "copy", "copy", "similar", "similar"]
    scores = [hit.score for hit in hits[3:]]
    assert scores == sorted(scores, reverse=True)


def test_geometry_confirms_a_borderline_copy_without_being_asked(
    search: ImageSearch, monkeypatch: pytest.MonkeyPatch
) -> None:
    ids = add_photos(search, 4)
    set_distances(search, monkeypatch, {ids[1]: 50, ids[3]: 60})
    result = search.search(encoded(photo(1), "JPEG", quality=70))
    by_id = {hit.record.id: hit.match for hit in result.hits}
    assert (by_id[ids[1]].kind, by_id[ids[1]].distance) == ("copy", 50)
    assert (by_id[ids[1]].inliers or 0) >= PART
    assert by_id[ids[3]].kind == "similar"
    assert (by_id[ids[3]].inliers or 0) < PART
    assert by_id[ids[0]].inliers is None


def test_at_most_four_borderline_candidates_are_verified(
    search: ImageSearch, monkeypatch: pytest.MonkeyPatch
) -> None:
    ids = add_photos(search, 7)
    set_distances(search, monkeypatch, dict.fromkeys(ids, 50))
    hits = search.search(encoded(photo(20))).hits
    assert sum(hit.match.inliers is not None for hit in hits) == MAX_BORDERLINE


def test_a_part_is_told_only_when_hits_are_verified(search: ImageSearch) -> None:
    ids = add_photos(search, 4)
    part = encoded(photo(1).crop(PART_OF), "JPEG", quality=80)
    assert all(hit.match.kind == "similar" for hit in search.search(part).hits)
    result = search.search(part, verify=True)
    best = result.hits[0]
    assert (best.record.id, best.match.kind, best.match.distance) == (ids[1], "part", None)
    assert (best.match.inliers or 0) >= PART
    assert [hit.match.kind for hit in result.hits[1:]] == ["similar"] * 3
    assert all(hit.match.inliers is not None for hit in result.hits)
    assert result.verdict is not None
    assert (result.verdict.match, result.verdict.id) == ("part", ids[1])
    assert set(result.seconds) == {"decode", "embed", "search", "verify"}


def test_without_proof_the_verdict_is_none_with_a_rate(search: ImageSearch) -> None:
    add_photos(search, 3)
    verdict = search.search(encoded(photo(9))).verdict
    assert verdict is not None
    assert (verdict.match, verdict.id) == ("none", None)
    assert verdict.false_positive_rate == pytest.approx(PAIR_BOUNDS.rate(3, 0))


def test_verified_pairs_raise_the_rate(search: ImageSearch) -> None:
    add_photos(search, 3)
    verdict = search.search(encoded(photo(9)), verify=True).verdict
    assert verdict is not None
    assert verdict.false_positive_rate == pytest.approx(PAIR_BOUNDS.rate(3, 3))


def test_plain_pictures_match_only_as_equal_files(search: ImageSearch) -> None:
    plain = [encoded(Image.new("RGB", (300, 200), (250, 250, blue))) for blue in (240, 241)]
    search.add(plain[0], "a")
    assert search.search(plain[1]).hits[0].match.kind == "similar"
    assert search.search(plain[0]).hits[0].match.kind == "exact"


def test_similar_images_are_matched_by_the_thumbnail(search: ImageSearch) -> None:
    ids = add_photos(search, 4)
    again = search.add(encoded(photo(1)), "again").id
    turned = photo(1).transpose(Image.Transpose.ROTATE_270)
    copy = search.add(encoded(turned, "JPEG", quality=60), "turned").id
    result = search.similar(ids[1])
    assert ids[1] not in [hit.record.id for hit in result.hits]
    found = [(hit.record.id, hit.match.kind) for hit in result.hits[:2]]
    assert found == [(again, "exact"), (copy, "copy")]
    assert result.hits[1].match.orientation_name == "rotated 90"
    assert result.verdict is not None
    assert (result.verdict.match, result.verdict.id) == ("exact", again)


def test_a_part_of_a_stored_image_is_found_by_similar(search: ImageSearch) -> None:
    ids = add_photos(search, 3)
    part = search.add(encoded(photo(2).crop(PART_OF)), "part").id
    best = search.similar(ids[2], verify=True).hits[0]
    assert (best.record.id, best.match.kind) == (part, "part")


def test_without_its_thumbnail_similar_tells_equal_files_and_no_verdict(
    search: ImageSearch,
) -> None:
    ids = add_photos(search, 3)
    again = search.add(encoded(photo(1)), "again").id
    search.thumbnails.remove([ids[1]])
    result = search.similar(ids[1], verify=True)
    assert (result.hits[0].record.id, result.hits[0].match.kind) == (again, "exact")
    assert result.verdict is None


def test_similar_refuses_an_unknown_id(search: ImageSearch) -> None:
    with pytest.raises(NotFound):
        search.similar(5)
    with pytest.raises(NotFound):
        search._matcher.find_for_stored(5)


def test_an_image_is_verified_against_chosen_ones(search: ImageSearch) -> None:
    ids = add_photos(search, 3)
    part = encoded(photo(1).crop(PART_OF))
    found = search.verify(part, [ids[0], ids[1], 77])
    assert [each.inliers >= PART for each in found] == [False, True, False]
    assert found[1].query_overlap > 0.9
    assert found[1].hit_overlap < 0.6


def test_an_image_that_is_deleted_during_the_search_is_no_hit(
    search: ImageSearch, monkeypatch: pytest.MonkeyPatch
) -> None:
    add_photos(search, 3)
    monkeypatch.setattr(search._store, "search", lambda *_: [])
    monkeypatch.setattr(search._store, "vectors", lambda _: {})
    assert search.search(encoded(photo(1))).hits == []


def test_a_damaged_thumbnail_agrees_with_nothing(search: ImageSearch) -> None:
    [image_id] = add_photos(search, 1)
    search.thumbnails.write(image_id, b"nothing")
    [found] = search.verify(png(1), [image_id])
    assert found.inliers == 0


def test_the_matcher_takes_other_thresholds(search: ImageSearch) -> None:
    ids = add_photos(search, 2)
    query = search.decoder.decode(encoded(photo(1), "JPEG", quality=20), reduced=True)
    vector = search._store.vector(ids[0])
    strict = FixedCriteria(Thresholds(copy_bits=-1, part_inliers=10_000))
    matcher = Matcher(search._store, search.thumbnails, search.decoder, strict)
    assert matcher.combine(matcher.find(query, ""), vector, []) == []
    matcher.close()
    usual = search._matcher.combine(search._matcher.find(query, ""), vector, [])
    assert [hit.match.kind for hit in usual] == ["copy"]

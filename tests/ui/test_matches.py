"""Badges, the sentence on top, and why a result was found."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from PIL import ImageOps

from bogv.copies.geometry import Agreement
from bogv.embedding.explanation import ExplainedScore, Explanation
from bogv.records import Hit, Match, Picture, Record, SearchResult, Verdict
from bogv.service import ImageSearch
from bogv.ui.matches import (
    MAX_LINES,
    WIDTH,
    describe_caption,
    describe_match,
    describe_sum,
    draw_lines,
    format_rate,
    place_pictures,
    render_verdict,
    render_why,
    spread,
)
from tests.support.fakes import encoded
from tests.support.pictures import scene

RECORD = Record(7, "<b>k</b>", "", "0" * 32, 320, 240, 1, 0)


def hit(match: Match, score: float = 0.5) -> Hit:
    return Hit(RECORD, score, match)


def sentence(match: Match, complete: bool = True, **how: Any) -> str:
    verdict = (
        Verdict("none", None, 0.001)
        if match.kind == "similar"
        else Verdict(match.kind, RECORD.id, 0.001)
    )
    result = SearchResult([hit(match)], {}, [], complete, verdict)
    html = render_verdict(result, 921, "en", missing=40, **how)
    return re.sub("<[^>]+>", "", html)


@pytest.mark.parametrize(
    ("match", "badge"),
    [
        (Match("exact", 0, 2), "Exact"),
        (Match("copy", 3, 1), "Copy"),
        (Match("copy", 3, 2), "Copy · mirrored"),
        (Match("copy", 3, 6), "Copy · turned"),
        (Match("copy", 3, 5), "Copy · mirrored and turned"),
        (Match("part", None, None, 43), "Part · 43 points"),
        (Match("similar", None, None, 3), ""),
    ],
)
def test_a_badge_says_what_is_proven(match: Match, badge: str) -> None:
    assert describe_match(match, "en") == badge


def test_a_key_can_not_pretend_to_be_a_badge() -> None:
    proven = hit(Match("copy", 3, 2))
    assert describe_caption(proven, "zh") == "✓ 副本 · 镜像\n0.500 · <b>k</b>"
    assert describe_caption(hit(Match()), "en") == "0.500 · <b>k</b>"
    rare = replace(hit(Match()), rarity=1 / 4987)
    assert describe_caption(rare, "en") == "0.500 · 1 in 5,000 · <b>k</b>"


@pytest.mark.parametrize(
    ("match", "text"),
    [
        (Match("exact", 0, 1), "This very file is here."),
        (Match("copy", 3, 2), "This very picture is here, mirrored."),
        (Match("copy", 3, 1), "This very picture is here."),
        (Match("part", None, None, 43), "A part of this picture is here: 43 points agree."),
        (Match(), "No copy of it among 921 images; false alarms: 0.1%."),
    ],
)
def test_the_sentence_says_whether_the_picture_is_here(match: Match, text: str) -> None:
    assert sentence(match) == text


def test_the_sentence_waits_for_the_geometry_and_tells_what_is_not_indexed() -> None:
    assert sentence(Match(), checking=12).startswith("Comparing it with the first 12 results")
    assert sentence(Match("copy", 3, 1), checking=12) == "This very picture is here."
    assert "40 images are not indexed for copies yet" in sentence(Match(), complete=False)
    assert render_verdict(SearchResult([], {}), 921, "en") == ""


def test_of_an_image_of_the_gallery_only_other_copies_are_told() -> None:
    another = "The gallery has another copy of this picture."
    assert sentence(Match("copy", 3, 2), again=True) == another
    assert sentence(Match("exact", 0, 1), again=True) == another
    assert sentence(Match(), again=True).startswith("No other copy of it among 921 images")


def test_rates_have_two_digits() -> None:
    rates = [0, 1e-7, 0.00013, 0.001, 0.0316, 1]
    assert [*map(format_rate, rates)] == ["0%", "<0.01%", "0.013%", "0.1%", "3.2%", "100%"]


def test_wide_pictures_are_below_each_other_and_others_side_by_side() -> None:
    above, below = place_pictures((400, 200), (300, 300))
    assert above == (0, 0, WIDTH, 200)
    assert below.x == 0
    assert below.y > 200
    left, right = place_pictures((300, 400), (600, 800))
    assert left.height == right.height == pytest.approx(4 / 3 * left.width)
    assert right.x + right.width == pytest.approx(WIDTH)


def test_lines_join_the_points_that_agree_and_are_not_too_many() -> None:
    points = np.random.default_rng(0).random((100, 2), np.float32)
    boxes = place_pictures((300, 400), (300, 400))
    one = Agreement(1, query_points=np.array([[0.5, 0.5]]), hit_points=np.array([[1, 0]]))
    middle = f"M{boxes[0].width / 2:.1f} {boxes[0].height / 2:.1f}"
    assert f'd="{middle}L{WIDTH:.1f} 0.0"' in draw_lines(boxes, one)
    many = draw_lines(boxes, Agreement(100, query_points=points, hit_points=points))
    assert many.count("<circle") == 2 * MAX_LINES


def test_the_chosen_points_are_far_from_each_other() -> None:
    points = np.array([[0, 0], [0.01, 0], [1, 1], [0, 0.01], [0.5, 0.5]], np.float32)
    assert spread(points, 3) == [0, 2, 4]
    assert spread(points[:2], 3) == [0, 1]
    assert spread(points[:0], 3) == []


def test_the_sum_is_compared_with_the_score_that_was_shown() -> None:
    pixel = np.zeros((1, 1, 3), np.uint8)
    nothing = Picture(1, 1, 1, pixel, None, pixel, 0)
    maps = np.zeros((7, 7), np.float32)
    explained = ExplainedScore(nothing, nothing, Explanation(maps, maps, 0.5), 0.5)
    assert "sum to 0.50000: the score" in describe_sum(explained, hit(Match()), False, "en")
    differs = describe_sum(explained, hit(Match(), 0.4), False, "en")
    assert "+0.10000" in differs
    assert "thumbnail" in differs
    assert "query expansion" in describe_sum(explained, hit(Match(), 0.4), True, "en")


@pytest.fixture
def added(search: ImageSearch) -> Iterator[Record]:
    ids = [search.add(encoded(scene(1)), "<script>").id or 0]
    yield search.get(ids)[0]
    search.delete_ids(ids)


def test_lines_are_drawn_between_a_part_and_its_picture(search: ImageSearch, added: Record) -> None:
    crop = encoded(ImageOps.mirror(scene(1).crop((60, 40, 280, 200))))
    html = render_why(search, crop, Hit(added, 0.5, Match("part", None, None, 50)), "en")
    assert "once one picture is mirrored" in html
    assert html.count("data:image/webp;base64,") == 2
    assert html.count("<circle") > 20
    assert "Show the lines" in html


def test_a_copy_without_details_says_how_near_the_hashes_are(
    search: ImageSearch, added: Record
) -> None:
    other = encoded(scene(2))
    html = render_why(search, other, Hit(added, 0.5, Match("copy", 5, 1)), "en")
    assert "differ in 5 bits of 256" in html
    assert "No points agree" in html
    assert "checkbox" not in html


def test_equal_files_need_no_picture(search: ImageSearch, added: Record) -> None:
    html = render_why(search, b"", Hit(added, 1.0, Match("exact", 0, 1)), "en")
    assert "byte for byte" in html
    assert "<svg" not in html


def test_the_heat_map_lies_over_both_pictures(search: ImageSearch, added: Record) -> None:
    query = encoded(scene(2))
    [found] = search.search(query).hits
    html = render_why(search, query, found, "zh")
    assert html.count("data:image/png;base64,") == 2
    assert html.count("data:image/webp;base64,") == 2
    assert "显示热力图" in html
    assert "<script" not in html

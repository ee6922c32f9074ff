"""What relates a query to its hits, in words and pictures: badges, the sentence on top, and why."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Sequence
from html import escape
from typing import NamedTuple

import numpy as np

from bogv.copies.geometry import Agreement, Floats
from bogv.embedding.explanation import ExplainedScore, draw_overlay
from bogv.records import Hit, Match, MatchKind, SearchResult, Verdict
from bogv.service import ImageSearch
from bogv.ui.answers import format_score
from bogv.ui.components import data_url, read_thumbnail
from bogv.ui.strings import Language, translate, translate_count

MAX_LINES = 40
WIDTH, GAP = 400.0, 8.0
"""Of two pictures side by side and of what is between them, in units of the SVG."""
EQUAL = 1e-5
"""Scores that differ by less are shown as equal."""
BADGES: dict[MatchKind, str] = {
    "exact": "match_exact",
    "copy": "match_copy",
    "part": "match_part",
}
ORIENTATIONS = {
    2: "mirrored",
    3: "turned",
    4: "mirrored_turned",
    5: "mirrored_turned",
    6: "turned",
    7: "mirrored_turned",
    8: "turned",
}
"""By Exif orientation."""

Size = tuple[int, int]
"""Width and height in pixels."""


class Box(NamedTuple):
    """Where a picture lies, in units of the SVG."""

    x: float
    y: float
    width: float
    height: float


# Words


def describe_match(match: Match, language: Language) -> str:
    """In plain text; empty where nothing is proven."""
    if match.kind == "similar":
        return ""
    words = [translate(language, BADGES[match.kind])]
    if match.orientation in ORIENTATIONS and match.kind != "exact":
        words.append(translate(language, ORIENTATIONS[match.orientation]))
    if match.kind == "part" and match.inliers is not None:
        words.append(translate_count(language, "points", match.inliers))
    return " · ".join(words)


def describe_caption(hit: Hit, language: Language) -> str:
    """Plain text below a picture: the badge, where there is one, on a line of its own."""
    badge = describe_match(hit.match, language)
    rarity = "" if hit.one_in is None else translate(language, "one_in", pairs=f"{hit.one_in:,}")
    text = " · ".join(filter(None, (format_score(hit.score), rarity, hit.record.key)))
    return f"✓ {badge}\n{text}" if badge else text


def render_verdict(
    result: SearchResult,
    total: int,
    language: Language,
    *,
    checking: int = 0,
    missing: int = 0,
    again: bool = False,
) -> str:
    """HTML: whether the query's picture is in the gallery; empty where the search doesn't tell.

    total: images of the gallery. checking: hits whose geometry is being verified now. missing:
    images without a hash. again: the query is an image of the gallery, and no hit.
    """
    verdict = result.verdict
    if verdict is None:
        return ""
    if verdict.match == "none" and checking:
        sentence = translate_count(language, "verdict_checking", checking)
    elif verdict.match == "none":
        sentence = _deny(verdict, total, again, language)
    else:
        sentence = _affirm(verdict, result.hits, again, language)
    html = f"<b>{escape(sentence)}</b>"
    if not result.copies_complete:
        html += f" {escape(translate_count(language, 'copies_incomplete', missing))}"
    return f'<span class="bogv-verdict">{html}</span>'


def render_summary(
    result: SearchResult,
    total: int,
    min_score: float,
    max_rarity: float | None,
    language: Language,
) -> str:
    """HTML: how many were found in which time, or why none."""
    if not result.hits and max_rarity is not None:
        return translate(language, "no_match_rare")
    if not result.hits and min_score:
        return escape(translate(language, "no_match", min_score=f"{min_score:.2f}"))
    if not result.hits:
        return translate(language, "none_similar")
    images = translate_count(language, "images", total)
    found = translate(language, "found", found=len(result.hits), total=images)
    stages = " · ".join(
        f"<span>{translate(language, stage, ms=f'{seconds * 1000:.1f}')}</span>"
        for stage, seconds in result.seconds.items()
    )
    return f"<b>{found}</b> {stages}"


def _deny(verdict: Verdict, total: int, again: bool, language: Language) -> str:
    key = "verdict_none_again" if again else "verdict_none"
    images = translate_count(language, "images", total)
    return translate(language, key, images=images, rate=format_rate(verdict.false_positive_rate))


def _affirm(verdict: Verdict, hits: Sequence[Hit], again: bool, language: Language) -> str:
    proof = next((hit.match for hit in hits if hit.record.id == verdict.id), Match())
    if verdict.match == "part":
        points = translate_count(language, "points", proof.inliers or 0)
        return translate(language, "verdict_part", points=points)
    if again:
        return translate(language, "verdict_again")
    if verdict.match == "exact":
        return translate(language, "verdict_exact")
    how = ORIENTATIONS.get(proof.orientation or 1)
    if how is None:
        return translate(language, "verdict_copy")
    return translate(language, "verdict_copy_as", how=translate(language, how))


def format_rate(rate: float) -> str:
    """A probability as a percentage with two digits: 12%, 0.1%, 0.013%; the smallest as <0.01%."""
    if 0 < rate < 1e-4:
        return "<0.01%"
    return f"{100 * rate:.2g}%" if rate < 0.1 else f"{rate:.0%}"


# Why


def render_why(search: ImageSearch, query: bytes, hit: Hit, language: Language) -> str:
    """HTML: what of query and hit agrees, or where they are similar.

    Raises the errors of decoding and of `ImageSearch.explain`.
    """
    kind = hit.match.kind
    if kind == "exact":
        return _render_section([translate(language, "why_exact")], "", language)
    if kind == "similar":
        return _render_heat(search, query, hit, language)
    return _render_points(search, query, hit, language)


def _render_points(search: ImageSearch, query: bytes, hit: Hit, language: Language) -> str:
    picture = search.decoder.decode(query, thumbnail=True)
    agreement = search.verify(query, [hit.record.id])[0]
    size = hit.record.width, hit.record.height
    boxes = place_pictures((picture.width, picture.height), size)
    pictures = picture.thumbnail or b"", read_thumbnail(search, hit.record.id)
    sentences = []
    if hit.match.distance is not None:
        bits = translate_count(language, "bits", hit.match.distance)
        sentences.append(translate(language, "why_copy", bits=bits))
    if not agreement.inliers:
        sentences.append(translate(language, "why_no_points"))
        figure = render_pair(boxes, pictures, "", language)
        return _render_section(sentences, figure, language)
    sentences.append(_describe_agreement(agreement, language))
    figure = render_pair(boxes, pictures, draw_lines(boxes, agreement), language)
    return _render_section(sentences, figure, language, "show_lines")


def _describe_agreement(agreement: Agreement, language: Language) -> str:
    key = "why_points_mirrored" if agreement.mirrored else "why_points"
    return translate(
        language,
        key,
        points=translate_count(language, "points", agreement.inliers),
        query=f"{agreement.query_overlap:.0%}",
        hit=f"{agreement.hit_overlap:.0%}",
    )


def _render_heat(search: ImageSearch, query: bytes, hit: Hit, language: Language) -> str:
    explained = search.explain(query, hit.record.id)
    sizes = [(each.width, each.height) for each in (explained.query, explained.hit)]
    boxes = place_pictures(sizes[0], sizes[1])
    parts = explained.parts
    overlays = "".join(
        _image(box, f"data:image/png;base64,{b64encode(png).decode()}")
        for box, png in zip(
            boxes,
            (
                draw_overlay(parts.query, *sizes[0], parts.peak),
                draw_overlay(parts.hit, *sizes[1], parts.peak),
            ),
            strict=True,
        )
    )
    pictures = explained.query.thumbnail or b"", read_thumbnail(search, hit.record.id)
    expanded = bool(search.stats().query_expansion)
    sentences = [translate(language, "why_heat"), describe_sum(explained, hit, expanded, language)]
    figure = render_pair(boxes, pictures, overlays, language)
    return _render_section(sentences, figure, language, "show_heat")


def describe_sum(explained: ExplainedScore, hit: Hit, expanded: bool, language: Language) -> str:
    """Whether the sum of the places is the score that the search showed.

    expanded: the search expanded its query.
    """
    difference = explained.parts.score - hit.score
    total, score = f"{explained.parts.score:.5f}", f"{hit.score:.5f}"
    if abs(difference) < EQUAL:
        return translate(language, "why_sum_equal", sum=total)
    key = "why_sum_expanded" if expanded else "why_sum_differs"
    return translate(language, key, sum=total, score=score, difference=f"{difference:+.5f}")


def _render_section(
    sentences: Sequence[str], figure: str, language: Language, switch: str | None = None
) -> str:
    """switch: text of the check box that hides the overlay; None: there is none.

    The box is plain HTML, and its effect a style: the page runs no script of its own.
    """
    box = ""
    if switch:
        text = escape(translate(language, switch))
        box = f'<label><input type="checkbox" class="bogv-switch" checked> {text}</label>'
    words = "".join(f"<p>{escape(each)}</p>" for each in sentences)
    title = escape(translate(language, "why"))
    return f'<section class="bogv-why"><h3>{title}</h3>{box}{figure}{words}</section>'


# Pictures


def place_pictures(query: Size, hit: Size) -> tuple[Box, Box]:
    """Side by side at the same height, or one below the other if they are wide."""
    aspects = [width / height for width, height in (query, hit)]
    if sum(aspects) > 2:
        heights = [WIDTH / aspect for aspect in aspects]
        return (
            Box(0, 0, WIDTH, heights[0]),
            Box(0, heights[0] + GAP, WIDTH, heights[1]),
        )
    height = (WIDTH - GAP) / sum(aspects)
    left, right = (height * aspect for aspect in aspects)
    return Box(0, 0, left, height), Box(left + GAP, 0, right, height)


def render_pair(
    boxes: tuple[Box, Box], pictures: tuple[bytes, bytes], overlay: str, language: Language
) -> str:
    """Query and hit (WebP) as one SVG. overlay: SVG that the check box shows and hides."""
    right, bottom = boxes[1].x + boxes[1].width, boxes[1].y + boxes[1].height
    images = "".join(
        _image(box, data_url(picture)) for box, picture in zip(boxes, pictures, strict=True)
    )
    names = "".join(
        f'<text x="{box.x + 7:.1f}" y="{box.y + 21:.1f}">{escape(translate(language, key))}</text>'
        for box, key in zip(boxes, ("why_query", "why_result"), strict=True)
    )
    text = escape(translate(language, "query_and_result"))
    return (
        f'<svg class="bogv-pair" viewBox="0 0 {right:.1f} {bottom:.1f}" role="img"'
        f' aria-label="{text}">{images}<g class="bogv-overlay">{overlay}</g>{names}</svg>'
    )


def _image(box: Box, url: str) -> str:
    return (
        f'<image x="{box.x:.1f}" y="{box.y:.1f}" width="{box.width:.1f}"'
        f' height="{box.height:.1f}" preserveAspectRatio="none" href="{url}"/>'
    )


def draw_lines(boxes: tuple[Box, Box], agreement: Agreement) -> str:
    """SVG: lines between points that agree, at most MAX_LINES, those far from each other."""
    chosen = spread(agreement.query_points, MAX_LINES)
    ends = [
        np.array([box.x, box.y]) + points[chosen] * np.array([box.width, box.height])
        for box, points in zip(boxes, (agreement.query_points, agreement.hit_points), strict=True)
    ]
    path = "".join(
        f"M{x1:.1f} {y1:.1f}L{x2:.1f} {y2:.1f}" for (x1, y1), (x2, y2) in zip(*ends, strict=True)
    )
    dots = "".join(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3"/>' for each in ends for x, y in each)
    # Twice: the light one below makes the line visible on every picture.
    return f'<path class="bogv-halo" d="{path}"/><path class="bogv-line" d="{path}"/>{dots}'


def spread(points: Floats, count: int) -> list[int]:
    """Indices of at most `count` of the points (n, 2), each as far as possible from those before.

    The first is the first of all (Gonzalez, Clustering to minimize the maximum intercluster
    distance, 1985).
    """
    if not len(points):
        return []
    chosen = [0]
    distances = np.linalg.norm(points - points[0], axis=1)
    while len(chosen) < min(count, len(points)):
        chosen.append(int(distances.argmax()))
        distances = np.minimum(distances, np.linalg.norm(points - points[chosen[-1]], axis=1))
    return chosen

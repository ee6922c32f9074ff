"""Takes a score apart: how much each place of two images contributes to their cosine similarity.

Stylianou, Souvenir and Pless, Visualizing Deep Similarity Networks, WACV 2019, section 3.1: global
average pooling is linear, so the cosine of two pooled feature maps is a sum over their places.
"""

from __future__ import annotations

import io
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from bogv.imaging.decode import THUMBNAIL_SIZE, crop_box
from bogv.records import Picture, Vectors

POSITIVE = (230, 159, 0)
"""Orange and blue, of the colours by Okabe and Ito that all kinds of colour vision tell apart."""
NEGATIVE = (0, 114, 178)
OPAQUE = 0.8
"""Opacity of the part that contributes most."""
UNSEEN = (0, 0, 0, 128)
"""Colour and opacity, of 255, where the network doesn't look."""


@dataclass(frozen=True, eq=False)
class Explanation:
    """The parts of a score. Each of the two maps sums to it."""

    query: Vectors
    """(h, w) float32: what each place of the query contributes, with all places of the hit."""
    hit: Vectors
    """(h, w) float32: what each place of the hit contributes, with all places of the query."""
    score: float
    """Cosine similarity of the pooled maps."""

    @property
    def peak(self) -> float:
        """The largest contribution of a place in either image, without its sign."""
        return float(max(abs(self.query).max(), abs(self.hit).max()))


@dataclass(frozen=True)
class ExplainedScore:
    """Why a search finds a hit: its score, taken apart over the places of query and hit."""

    query: Picture
    """With its thumbnail."""
    hit: Picture
    """Its thumbnail: the gallery doesn't keep the images."""
    parts: Explanation
    stored_score: float
    """What a search shows: of the embedding in the gallery, not of the thumbnail."""

    @property
    def difference(self) -> float:
        """What the parts' sum exceeds the stored score by: the thumbnail is smaller than the image
        and has been compressed once more, and bf16 and int8 round."""
        return self.parts.score - self.stored_score


def explain(query_map: Vectors, hit_map: Vectors) -> Explanation:
    """Take the cosine of two feature maps' means apart. query_map, hit_map: (h, w, channels).

    With q and h, the means of the query's n places q_i and of the hit's, the place i of the query
    contributes q_i · h / (n |q| |h|); the places of the hit likewise. The sum over i is the cosine
    q · h / (|q| |h|). Where a map is 0 everywhere, all is 0.
    """
    query, hit = (each.astype(np.float64) for each in (query_map, hit_map))
    query_mean, hit_mean = query.mean(axis=(0, 1)), hit.mean(axis=(0, 1))
    norms = float(np.linalg.norm(query_mean) * np.linalg.norm(hit_mean)) or 1.0

    def contributions(features: NDArray[np.float64], other_mean: NDArray[np.float64]) -> Vectors:
        places = features.shape[0] * features.shape[1]
        parts: Vectors = (features @ other_mean / (places * norms)).astype(np.float32)
        return parts

    return Explanation(
        query=contributions(query, hit_mean),
        hit=contributions(hit, query_mean),
        score=float(query_mean @ hit_mean) / norms,
    )


def draw_overlay(contributions: Vectors, width: int, height: int, peak: float) -> bytes:
    """A PNG to lay over an image of width * height pixels, scaled to the size of a thumbnail.

    The more a place contributes, the more opaque is its colour: orange for what raises the score,
    blue for what lowers it. Where the network doesn't look, beyond its central crop, the image is
    darkened. peak: the contribution shown as OPAQUE (`Explanation.peak`).
    """
    scale = THUMBNAIL_SIZE / max(width, height)
    size = max(round(width * scale), 1), max(round(height * scale), 1)
    left, top, right, bottom = (round(each * scale) for each in crop_box(width, height))
    crop = max(right - left, 1), max(bottom - top, 1)
    overlay = Image.new("RGBA", size, UNSEEN)
    overlay.paste(_colour(_enlarge(contributions / (peak or 1.0), crop)), (left, top))
    out = io.BytesIO()
    overlay.save(out, "PNG")
    return out.getvalue()


def _enlarge(contributions: Vectors, size: tuple[int, int]) -> Vectors:
    """Bilinear, so that the places' centres keep their values."""
    values = np.ascontiguousarray(contributions, np.float32)
    return np.asarray(Image.fromarray(values).resize(size, Image.Resampling.BILINEAR))


def _colour(values: Vectors) -> Image.Image:
    """(h, w), -1 to 1 -> RGBA."""
    pixels = np.empty((*values.shape, 4), np.uint8)
    pixels[..., :3] = np.where(values[..., np.newaxis] < 0, NEGATIVE, POSITIVE)
    pixels[..., 3] = np.rint(np.clip(abs(values), 0, 1) * OPAQUE * 255)
    return Image.fromarray(pixels)

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from bogv.embedding.embedder import load_embedder
from bogv.embedding.explanation import NEGATIVE, OPAQUE, POSITIVE, UNSEEN, draw_overlay, explain
from bogv.embedding.weights import resolve
from bogv.imaging.decoder import Decoder
from bogv.records import Vectors

DECODER = Decoder(20 << 20, 64_000_000)


def feature_map(seed: int, lowest: float = 0) -> Vectors:
    return np.random.default_rng(seed).uniform(lowest, 1, (7, 7, 2048)).astype(np.float32)


def drawn(contributions: Vectors, width: int, height: int, peak: float) -> np.ndarray:
    data = draw_overlay(contributions, width, height, peak)
    image = Image.open(io.BytesIO(data))
    assert image.format == "PNG"
    return np.asarray(image)


def test_each_map_sums_to_the_cosine() -> None:
    query, hit = feature_map(1), feature_map(2, lowest=-1)
    found = explain(query, hit)
    means = query.mean(axis=(0, 1)), hit.mean(axis=(0, 1))
    cosine = means[0] @ means[1] / np.linalg.norm(means[0]) / np.linalg.norm(means[1])
    assert found.score == pytest.approx(cosine, abs=1e-6)
    assert found.query.sum() == pytest.approx(cosine, abs=1e-6)
    assert found.hit.sum() == pytest.approx(cosine, abs=1e-6)
    assert found.query.shape == found.hit.shape == (7, 7)
    assert found.query.dtype == found.hit.dtype == np.float32
    assert found.peak == pytest.approx(max(abs(found.query).max(), abs(found.hit).max()))


def test_a_worked_example() -> None:
    """q = (1/2, 0), h = (1/2, 1/2): the cosine is 1/√2, all from where the query has features."""
    query, hit = np.zeros((1, 2, 2), np.float32), np.zeros((1, 2, 2), np.float32)
    query[0, 1] = (1, 0)
    hit[0, 0], hit[0, 1] = (1, 0), (0, 1)
    found = explain(query, hit)
    assert found.score == pytest.approx(0.5**0.5)
    assert found.query == pytest.approx(np.array([[0, 0.5**0.5]]))
    assert found.hit == pytest.approx(np.array([[0.5**0.5, 0]]))


def test_what_lowers_the_score_is_negative() -> None:
    query, hit = np.ones((1, 2, 4), np.float32), np.ones((1, 2, 4), np.float32)
    query[0, 0] = -0.5
    found = explain(query, hit)
    assert found.query[0, 0] < 0 < found.query[0, 1]
    assert found.query.sum() == pytest.approx(found.score)


def test_a_map_of_zeros_gives_zeros() -> None:
    found = explain(np.zeros((7, 7, 8), np.float32), np.ones((7, 7, 8), np.float32))
    assert found.score == found.peak == 0
    assert not found.query.any()
    assert not drawn(found.query, 224, 224, found.peak)[192, 192, 3]


@pytest.mark.parametrize("engine", ["openvino", "torch"])
def test_in_single_precision_the_sum_is_the_score_of_the_embeddings(
    engine: str, photos: list[Path], tmp_path: Path
) -> None:
    from tests.support import models

    pytest.importorskip(engine)
    models.lend(tmp_path)
    precision = load_embedder(
        resolve("untrained"),
        "torch" if engine == "torch" else "openvino",
        tmp_path / "cache",
        "fp32",
    )
    pair = np.stack([DECODER.decode(path.read_bytes()).pixels for path in photos[:2]])
    query, hit = (precision.embed(each[np.newaxis])[0] for each in pair)
    found = explain(*precision.feature_maps(pair))
    assert found.score == pytest.approx(float(query @ hit), abs=1e-5)
    assert found.query.sum() == pytest.approx(float(query @ hit), abs=1e-5)
    assert found.hit.sum() == pytest.approx(float(query @ hit), abs=1e-5)


def test_the_overlay_covers_the_central_crop_and_darkens_the_rest() -> None:
    """1024 x 768 shows as 384 x 288; the network sees 224/256 of the short side: 252 pixels."""
    overlay = drawn(np.full((7, 7), 0.5, np.float32), 1024, 768, peak=0.5)
    assert overlay.shape == (288, 384, 4)
    seen = (overlay != UNSEEN).any(axis=2)
    rows, columns = np.flatnonzero(seen.any(axis=1)), np.flatnonzero(seen.any(axis=0))
    assert abs(np.array([rows[0], 288 - 1 - rows[-1]]) - 18).max() <= 1
    assert abs(np.array([columns[0], 384 - 1 - columns[-1]]) - 66).max() <= 1
    assert (overlay[144, 192] == (*POSITIVE, round(OPAQUE * 255))).all()


def test_each_place_is_drawn_where_it_lies() -> None:
    contributions = np.zeros((7, 7), np.float32)
    contributions[0, 6], contributions[6, 0] = 1, -0.5
    overlay = drawn(contributions, 256, 256, peak=1)
    near, far = round(384 * (16 + 16) / 256), round(384 * (256 - 16 - 16) / 256)
    assert tuple(overlay[near, far, :3]) == POSITIVE
    assert overlay[near, far, 3] == pytest.approx(OPAQUE * 255, abs=8)
    assert tuple(overlay[far, near, :3]) == NEGATIVE
    assert overlay[far, near, 3] == pytest.approx(OPAQUE * 255 / 2, abs=8)
    assert overlay[near, near, 3] == overlay[192, 192, 3] == 0


@pytest.mark.parametrize("size", [(1, 1), (1, 3000), (3000, 1), (10, 4000), (50_000, 40_000)])
def test_an_overlay_fits_any_picture(size: tuple[int, int]) -> None:
    overlay = drawn(np.ones((7, 7), np.float32), *size, peak=1)
    assert max(overlay.shape[:2]) == 384
    assert overlay.shape[2] == 4


def test_a_smaller_peak_does_not_overflow() -> None:
    overlay = drawn(np.ones((7, 7), np.float32), 256, 256, peak=0.1)
    assert overlay[192, 192, 3] == round(OPAQUE * 255)

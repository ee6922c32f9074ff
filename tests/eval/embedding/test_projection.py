from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from sklearn.decomposition import PCA

from bogv.records import Vectors
from eval.embedding.projection import fit, project
from eval.errors import WorkbenchError
from eval.selftest import made_up


def vectors(count: int, dimension: int = 24) -> Vectors:
    """Of unit length, and far more spread in some directions than in others."""
    rows = np.random.default_rng(0).normal(size=(count, dimension)) / np.arange(1, dimension + 1)
    rows += 1
    found: Vectors = (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)
    return found


@pytest.mark.parametrize("whiten", [False, True])
@pytest.mark.parametrize("count", [20, 200])
def test_it_is_scikit_learns_pca_of_length_one(whiten: bool, count: int) -> None:
    rows = vectors(count)
    found = fit(rows, 5, whiten=whiten)(rows)
    expected = PCA(5, whiten=whiten, svd_solver="full").fit_transform(rows.astype(np.float64))
    expected /= np.linalg.norm(expected, axis=1, keepdims=True)
    assert found.dtype == np.float32
    # An axis may point either way: cosines between images are what counts.
    assert np.abs(found @ found.T - expected @ expected.T).max() < 1e-5


def test_whitened_directions_have_equal_variances() -> None:
    rows = vectors(300).astype(np.float64)
    projection = fit(rows.astype(np.float32), 8, whiten=True)
    whitened = ((rows - projection.mean) @ projection.axes) / projection.scales
    assert np.cov(whitened.T, bias=True) == pytest.approx(np.eye(8), abs=1e-3)


def test_each_axis_points_to_its_largest_coordinate() -> None:
    axes = fit(vectors(100), 10, whiten=False).axes
    largest = axes[np.abs(axes).argmax(axis=0), np.arange(10)]
    assert (largest > 0).all()


def test_only_the_gallery_is_looked_at() -> None:
    rows = vectors(60)
    dataset = made_up(["a"] * 60, queries=[0, 1], gallery=list(range(2, 60)))
    other = rows.copy()
    other[0] = rows[1]
    found, changed = project(dataset, rows, "whiten:6"), project(dataset, other, "whiten:6")
    assert np.allclose(found[2:], changed[2:], atol=1e-6)
    searched = made_up(["a"] * 60)
    assert not np.allclose(found[2:], project(searched, rows, "whiten:6")[2:], atol=1e-3)


def test_the_order_of_the_files_changes_no_bit_and_duplicates_stay_alike() -> None:
    rows = vectors(90)
    rows[[5, 40]] = rows[71]
    dataset = made_up(["a"] * 90)
    shuffled = np.random.default_rng(1).permutation(90)
    other = replace(dataset, items=[dataset.items[index] for index in shuffled])
    found = project(dataset, rows, "whiten:12")
    assert project(other, rows[shuffled], "whiten:12").tobytes() == found[shuffled].tobytes()
    assert found[5].tobytes() == found[40].tobytes() == found[71].tobytes()


def test_other_images_are_fitted_on_where_they_are_given() -> None:
    rows, others = vectors(40), vectors(90)[40:]
    dataset = made_up(["a"] * 40)
    found = project(dataset, rows, "whiten:6", others)
    assert np.allclose(found, fit(others, 6, whiten=True)(rows), atol=1e-6)
    assert not np.allclose(found, project(dataset, rows, "whiten:6"), atol=1e-3)
    with pytest.raises(WorkbenchError, match="embeddings of --fit-on differ in 3 only"):
        project(dataset, rows, "pca:4", others[:4])


def test_none_is_nothing() -> None:
    rows = vectors(10)
    assert project(made_up(["a"] * 10), rows, "none") is rows


@pytest.mark.parametrize(("count", "dimension", "most"), [(10, 10, 9), (100, 25, 24)])
def test_more_dimensions_than_there_are_is_one_clear_error(
    count: int, dimension: int, most: int
) -> None:
    fit(vectors(count), most, whiten=True)
    with pytest.raises(WorkbenchError, match=f"gallery differ in {most} only; ask for {most} at"):
        fit(vectors(count), dimension, whiten=True)


def test_duplicates_add_no_dimensions() -> None:
    rows = np.repeat(vectors(4), 5, axis=0)
    with pytest.raises(WorkbenchError, match="differ in 3 only"):
        fit(rows, 4, whiten=False)

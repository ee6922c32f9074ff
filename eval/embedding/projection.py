"""PCA and whitening of embeddings, fitted on the gallery or on other images.

Papers fit on a set of its own, such as Paris for Oxford (`eval.embedding.fitting`). By default the
gallery, which is known before any query comes, stands in: the queries of a leave-one-out protocol
are part of it, which flatters slightly. The labels are never looked at.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bogv.records import Vectors
from eval.data.datasets import Dataset
from eval.errors import WorkbenchError
from eval.vectors import distinct, normalise

Doubles = NDArray[np.float64]


@dataclass(frozen=True)
class Projection:
    """x -> (x - mean) · axes / scales, then of length 1."""

    mean: Doubles
    """(d,)"""
    axes: Doubles
    """(d, dimension), orthonormal columns, the largest variance first."""
    scales: Doubles
    """(dimension,): the standard deviations where it whitens, else ones."""

    def __call__(self, vectors: Vectors) -> Vectors:
        """(n, d) float32 -> (n, dimension) float32, each of length 1."""
        rows = ((vectors - self.mean) @ self.axes) / self.scales
        return normalise(rows).astype(np.float32)


def project(
    dataset: Dataset, vectors: Vectors, setting: str, fitted_on: Vectors | None = None
) -> Vectors:
    """The embeddings after `setting`: none, pca:<dimension> or whiten:<dimension>.

    vectors: (n, d) float32, one for each item -> (n, dimension) float32 of length 1. fitted_on:
    (m, d), of the images to fit on; None: the gallery's. A product's last bit depends on where in
    the matrix it stands: rows are put into an order of their own, so that the order of the files
    changes nothing, and equal embeddings stay equal.

    Raises WorkbenchError where what it is fitted on has fewer dimensions than that.
    """
    if setting == "none":
        return vectors
    kind, _, dimension = setting.partition(":")
    rows, which = distinct(vectors[dataset.gallery] if fitted_on is None else fitted_on)
    source = "the gallery" if fitted_on is None else "--fit-on"
    projection = fit(rows[np.sort(which)], int(dimension), whiten=kind == "whiten", source=source)
    rows, which = distinct(vectors)
    return projection(rows)[which]


def fit(
    vectors: Vectors, dimension: int, *, whiten: bool, source: str = "the gallery"
) -> Projection:
    """PCA of embeddings, (n, d) float32, to `dimension` axes; whitening also evens out variances.

    Each axis points to where its largest coordinate is positive, so that the same images have the
    same axes everywhere. The dimensions that there are: fewer than images, d at most, and none in
    which they differ by no more than float32's rounding.

    Source: Jégou, Chum, Negative Evidences and Co-occurrences in Image Retrieval: the Benefit of
    PCA and Whitening, ECCV 2012, section 3. Raises WorkbenchError where there are too few.
    """
    rows = vectors.astype(np.float64)
    mean = rows.mean(axis=0)
    # Of the triangle of QR, which has d rows at most: as exact as of all rows, and less work.
    _, lengths, axes = np.linalg.svd(np.linalg.qr(rows - mean, mode="r"), full_matrices=False)
    rounding = np.finfo(np.float32).eps * np.linalg.norm(rows)
    there = int((lengths > rounding).sum())
    if dimension > there:
        raise WorkbenchError(
            f"--post asks for {dimension:,} dimensions, but the {len(vectors):,} embeddings of"
            f" {source} differ in {there:,} only; ask for {there:,} at most."
        )
    axes = axes[:dimension].T
    largest = np.abs(axes).argmax(axis=0)
    axes = axes * np.sign(axes[largest, np.arange(dimension)])
    deviations = lengths[:dimension] / np.sqrt(len(vectors))
    return Projection(mean, axes, deviations if whiten else np.ones(dimension))

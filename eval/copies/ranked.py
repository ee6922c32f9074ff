"""One ranked list of the predictions of all searches, as in the DISC21 challenge.

Source: Douze et al., The 2021 Image Similarity Dataset and Challenge, arXiv:2106.09672, section 4:
micro-average precision is the area under the precision-recall curve of all (query, image) pairs,
sorted by one confidence for all queries; a query without an original can only lower it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]
PRECISIONS = (0.9, 0.99, 0.999)
RESAMPLES = 500


@dataclass(frozen=True)
class Curve:
    """At each confidence, the highest first: of what is at least as high. All (n,)."""

    thresholds: Floats
    precision: Floats
    recall: Floats

    @property
    def micro_ap(self) -> float:
        """The sum over confidences of the gain in recall times the precision.

        Equal confidences are one step, so no order of theirs counts, as in scikit-learn's
        `average_precision_score`.
        """
        return float((np.diff(self.recall, prepend=0.0) * self.precision).sum())

    def recall_at(self, precision: float) -> float:
        """The highest recall with at least this precision; 0 if there is none."""
        return float(self.recall[self.precision >= precision].max(initial=0.0))

    def threshold_at(self, precision: float) -> float:
        """The lowest confidence from which on the precision is at least this; infinite if none."""
        return float(self.thresholds[self.precision >= precision].min(initial=np.inf))


class RankedList:
    """The predictions of one method.

    scores: (n,), the confidence of each. right: (n,), whether its image is the query's original.
    units: (n,), the number of the photo that each query was made from, from 0 on. wanted: (m,), the
    same of each query that has an original to be found.
    """

    def __init__(
        self, scores: ArrayLike, right: ArrayLike, units: ArrayLike, wanted: ArrayLike
    ) -> None:
        values = np.asarray(scores, np.float64)
        order = np.argsort(-values, kind="stable")
        self._scores = values[order]
        self._right = np.asarray(right, np.bool_)[order]
        self._units = np.asarray(units, np.intp)[order]
        self._wanted = np.asarray(wanted, np.intp)
        # Where another confidence follows.
        self._ends = np.flatnonzero(np.diff(self._scores, append=-np.inf))

    def curve(self, weights: Floats | None = None) -> Curve:
        """weights: (units,), how many times each unit counts; None: each once."""
        each, total = np.ones(len(self._scores)), float(len(self._wanted))
        if weights is not None:
            each, total = weights[self._units], float(weights[self._wanted].sum())
        found = np.cumsum(each * self._right)[self._ends]
        named = np.cumsum(each)[self._ends]
        precision = np.divide(found, named, out=np.zeros_like(found), where=named > 0)
        recall = found / total if total else np.zeros_like(found)
        return Curve(self._scores[self._ends], precision, recall)


def figures(curve: Curve) -> dict[str, float]:
    """`micro_ap` and `recall@p90`, `recall@p99`, `recall@p99.9`, which are of that precision."""
    at = {f"recall@p{100 * each:g}": curve.recall_at(each) for each in PRECISIONS}
    return {"micro_ap": curve.micro_ap, **at}


def resampled_figures(
    lists: Mapping[str, RankedList], units: int, seed: int, resamples: int = RESAMPLES
) -> dict[str, dict[str, Floats]]:
    """The figures of each method, (resamples,) each, by the same draws of units for all methods.

    Source: Efron, Tibshirani, An Introduction to the Bootstrap, 1993, section 13.3: from the 2.5th
    to the 97.5th percentile is a 95% interval.
    """
    rng = np.random.default_rng(seed)
    draws = rng.multinomial(units, np.full(units, 1 / units), resamples).astype(np.float64)
    found = {}
    for method, ranked in lists.items():
        rows = [figures(ranked.curve(draw)) for draw in draws]
        found[method] = {name: np.array([row[name] for row in rows]) for name in rows[0]}
    return found

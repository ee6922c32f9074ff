"""How alike relevant and irrelevant pairs are: all pairs that were ranked, counted in fixed bins.

Counted, not kept: a gallery of 60,000 that searches itself has 3.6 billion pairs.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from eval.metrics import Relevance
from eval.retrieval.scoring import JudgedRanking

Bins = NDArray[np.int64]

BIN = 1e-5
"""Width of a bin. So fine, because untrained weights put all pairs of a dataset into 0.99 to 1."""
COUNT = round(2 / BIN) + 1


class Similarities:
    """Counts of cosine similarities (-1 to 1): pairs of a query and what is relevant to it, and
    pairs of a query and what is not. 3 MB, however many pairs there are."""

    def __init__(self) -> None:
        self.relevant: Bins = np.zeros(COUNT, np.int64)
        self.irrelevant: Bins = np.zeros(COUNT, np.int64)

    def observe(self, ranking: JudgedRanking) -> None:
        """Count one ranking, as it is scored."""
        self.add(ranking.scores, ranking.rel)

    def add(self, scores: NDArray[np.float64], rel: Relevance) -> None:
        """Count one ranking. scores, rel: (n,), without the query and without junk."""
        bins_of_scores = np.rint((np.clip(scores, -1, 1) + 1) / BIN).astype(np.intp)
        np.add.at(self.relevant, bins_of_scores[rel], 1)
        np.add.at(self.irrelevant, bins_of_scores[~rel], 1)

    @property
    def auc(self) -> float:
        """How often a relevant pair is more alike than an irrelevant one, all against all.

        Equal ones, within BIN, count one half: the area under the ROC curve. 0.5 is chance. NaN
        where there are no pairs of a kind.

        >>> similarities = Similarities()
        >>> similarities.add(np.array([0.9, 0.8, 0.7]), np.array([True, False, True]))
        >>> similarities.auc
        0.5
        """
        below = np.cumsum(self.irrelevant) - self.irrelevant
        pairs = float(self.relevant.sum()) * float(self.irrelevant.sum())
        won = float(self.relevant @ (below + self.irrelevant / 2))
        return won / pairs if pairs else float("nan")

    def edges(self, bins: int = 60) -> NDArray[np.float64]:
        """(at most bins + 3,): edges of coarser bins, each of as many of the fine ones.

        From the lowest to the highest similarity of the middle 99.8% of each kind, so that a
        handful far out don't squeeze the rest.
        """
        ends = [
            round((quantile(counts, share) + 1) / BIN)
            for counts in (self.relevant, self.irrelevant)
            for share in (0.001, 0.999)
            if counts.any()
        ]
        step = max(1, math.ceil((max(ends) - min(ends)) / bins))
        edges = np.arange(min(ends) - step, max(ends) + 2 * step, step)
        return np.asarray((edges - 0.5) * BIN - 1, np.float64)


def quantile(bins: Bins, share: float) -> float:
    """The similarity below which this share of the pairs lies, to a bin; of at least one pair.

    >>> similarities = Similarities()
    >>> similarities.add(np.array([0.5, 0.25, 0.75]), np.array([True, True, True]))
    >>> round(quantile(similarities.relevant, 0.5), 5)
    0.5
    """
    bin_number = int(np.searchsorted(np.cumsum(bins), share * bins.sum()))
    return bin_number * BIN - 1


def coarse(bins: Bins, edges: NDArray[np.float64]) -> NDArray[np.float64]:
    """(m + 1,) edges, as `Similarities.edges` gives them -> (m,) share of all pairs between each
    two, in percent."""
    upto = np.concatenate([[0], np.cumsum(bins)])
    bin_numbers = np.clip(np.rint((edges + 1) / BIN + 0.5), 0, COUNT).astype(np.intp)
    return 100 * np.diff(upto[bin_numbers]) / max(1, int(bins.sum()))

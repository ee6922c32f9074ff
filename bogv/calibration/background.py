"""The cosines of a gallery's pairs of images, and what share of them a cosine reaches."""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from bogv.calibration.binomial import upper_limit

TIE = 1e-6
"""Cosines nearer than this are ties: Milvus and NumPy round differently."""

_EXACT_RANKS = 1000
_RANK_STEP = 1.005

Scores = NDArray[np.float32]


@dataclass(frozen=True)
class Rarity:
    """How many of a gallery's pairs are at least as alike as a query and a hit."""

    share: float
    """(k + 1) / (n + 1) if k of n compared pairs are: never 0, and valid as a p-value (Phipson and
    Smyth, Permutation p-values should never be zero, 2010)."""
    upper: float
    """With 95% confidence, the share among all pairs of the gallery is at most this."""
    beyond: bool
    """None of the compared pairs is: all that is known is that it is rarer than `share`."""


class Background(BaseModel):
    """The cosines of a gallery's pairs, sorted; kept as a file."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    schema_version: int = Field(1, ge=1, le=1)
    fingerprint: str
    count: int
    """Images in the gallery when they were compared."""
    pairs: int = Field(ge=1)
    """Compared pairs."""
    complete: bool
    """All pairs were compared: there is no error of sampling."""
    ranks: list[int] = Field(min_length=1)
    """Ascending; the first 1,000 pairs one by one, then each 0.5% further: so shares are rounded
    up by at most 0.5%."""
    scores: list[float] = Field(min_length=1)
    """Of the pairs at these ranks: the first is the most alike."""

    def share(self, score: float) -> float:
        """As of `Rarity`, in microseconds: for each hit of each search."""
        return (self._count(score) + 1) / (self.pairs + 1)

    def rarity(self, score: float) -> Rarity:
        """The rarity of a cosine, 0 to 1."""
        count = self._count(score)
        upper = count / self.pairs if self.complete else upper_limit(count, self.pairs)
        return Rarity(self.share(score), upper, beyond=not count)

    def _count(self, score: float) -> int:
        """Compared pairs that are at least as alike; never too few, also where ranks are left out
        and cosines rounded."""
        place = bisect_right(self.scores, TIE - score, key=lambda each: -each)
        return self._end_of(place) if place else 0

    def _end_of(self, place: int) -> int:
        """The last rank that may be as alike as that at place - 1."""
        return self.ranks[place] - 1 if place < len(self.ranks) else self.pairs

    @property
    def smallest(self) -> float:
        """The smallest share that can be told."""
        return 1 / (self.pairs + 1)

    @property
    def summary(self) -> str:
        """One sentence, for health."""
        if self.complete:
            return f"all {self.pairs:,} pairs of {self.count:,} images compared"
        most = round(1 / upper_limit(0, self.pairs))
        return (
            f"{self.pairs:,} random pairs of {self.count:,} images compared: rarer than all of"
            f" them is rarer than 1 in {most:,} pairs, with 95% confidence"
        )


def summarise(scores: Scores, fingerprint: str, count: int, *, complete: bool) -> Background:
    """The background from the cosines of pairs, (n,), in any order."""
    ranked = np.sort(np.clip(scores, 0, 1))[::-1]
    ranks = [*range(1, min(_EXACT_RANKS, len(ranked)) + 1)]
    while ranks[-1] < len(ranked):
        ranks.append(min(int(ranks[-1] * _RANK_STEP), len(ranked)))
    return Background(
        fingerprint=fingerprint,
        count=count,
        pairs=len(ranked),
        complete=complete,
        ranks=ranks,
        scores=[float(ranked[rank - 1]) for rank in ranks],
    )

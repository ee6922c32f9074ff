"""What the Search tab keeps of a visitor's searches."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

from bogv.errors import BogvError
from bogv.records import SearchResult
from bogv.ui.strings import Language, translate

SCORE_DIGITS = 3
"""Of a score, so many are shown behind the point."""


@dataclass(frozen=True)
class Query:
    """The last query: a file in gradio's cache, or an image of the gallery."""

    path: Path | None = None
    record_id: int | None = None


@dataclass(frozen=True)
class Field:
    """A slider, in whose field any number can be typed, or none."""

    name: str
    """Of its text."""
    lowest: int
    highest: int
    default: int
    digits: int
    """Behind the point."""

    def read(self, value: object) -> float:
        """A number within the limits; the default, if there is none."""
        if not isinstance(value, int | float) or not math.isfinite(value):
            return self.default
        return round(float(min(max(value, self.lowest), self.highest)), self.digits)

    def explain(self, value: object, language: Language) -> str | None:
        """A sentence for users about a value out of the limits; None: it is within them."""
        missing = not isinstance(value, int | float)
        if isinstance(value, int | float) and self.lowest <= value <= self.highest:
            return None
        return translate(
            language,
            "number_missing" if missing else "number_outside",
            name=translate(language, self.name),
            used=f"{self.read(value):g}",
            lowest=self.lowest,
            highest=self.highest,
        )


LIMIT = Field("limit", 1, 100, 12, 0)
MIN_SCORE = Field("min_score", 0, 1, 0, 2)
MIN_RARITY = Field("min_rarity", 0, 6, 0, 1)
FIELDS = (LIMIT, MIN_SCORE, MIN_RARITY)
"""In the order of the fields of Options."""


@dataclass(frozen=True)
class Options:
    """The values of the sliders."""

    limit: int
    min_score: float
    min_rarity: float = 0
    """n for 1 in 10^n pairs; 0: all."""

    @classmethod
    def read(cls, limit: object, min_score: object, min_rarity: object) -> Options:
        """From what was typed, which gradio passes on as it is."""
        return cls(int(LIMIT.read(limit)), MIN_SCORE.read(min_score), MIN_RARITY.read(min_rarity))

    @property
    def lowest_score(self) -> float:
        """The lowest score that is shown as at least `min_score`."""
        return max(0.0, self.min_score - 0.5 * 10.0**-SCORE_DIGITS)

    @property
    def max_rarity(self) -> float | None:
        """As of `ImageSearch.search`."""
        return 10 ** -float(self.min_rarity) if self.min_rarity else None


@dataclass(frozen=True, eq=False)
class Answer:
    """What a search found. Each is equal to itself only: a state with another one has changed."""

    query: Query
    options: Options
    result: SearchResult
    checked: BogvError | bool = False
    """Whether the geometry of the first hits is verified; an error: it can't be."""


@dataclass(frozen=True, eq=False)
class Verified:
    """An answer with verified hits."""

    before: Answer
    after: Answer


def format_score(score: float) -> str:
    """With SCORE_DIGITS."""
    return f"{score:.{SCORE_DIGITS}f}"

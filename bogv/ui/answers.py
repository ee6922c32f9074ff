"""What the Search tab keeps of a visitor's searches."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from bogv.errors import BogvError
from bogv.records import SearchResult


@dataclass(frozen=True)
class Query:
    """The last query: a file in gradio's cache, or an image of the gallery."""

    path: Path | None = None
    record_id: int | None = None


@dataclass(frozen=True)
class Options:
    """The values of the sliders."""

    limit: int
    min_score: float
    min_rarity: float = 0
    """n for 1 in 10^n pairs; 0: all."""

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

"""Judged rankings, drawn at random."""

from __future__ import annotations

import numpy as np
from hypothesis import strategies as st

from eval.metrics import Relevance

Judged = tuple[Relevance, int]


@st.composite
def judged(draw: st.DrawFn) -> Judged:
    """A judged ranking and the number of relevant images, of which some may not be ranked."""
    found = np.array(draw(st.lists(st.booleans(), max_size=40)), dtype=bool)
    return found, max(1, int(found.sum()) + draw(st.integers(0, 5)))


places = st.integers(1, 50)

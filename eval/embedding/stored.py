"""Embeddings of a file (`run --vectors`), by the images' ids, in place of a network's."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from bogv.embedding.weights import Weights
from bogv.records import Vectors
from eval.errors import WorkbenchError

SHOWN = 3
"""Ids named in an error."""


@dataclass(frozen=True)
class StoredVectors:
    """One vector for each id. `eval.embedding.vector_file` reads them."""

    name: str
    """The file's name."""
    ids: list[str]
    """No two are equal."""
    vectors: Vectors
    """(n, dimension) float32, each of length 1."""
    weights: Weights
    """What the file says that made them; the fingerprint is the file's own."""
    description: dict[str, str]
    """For run.json and the report."""
    engine: str = "none"

    def select(self, names: Sequence[str], *, is_sample: bool) -> Vectors:
        """(n, dimension) float32, a vector for each of the names of a dataset's images.

        is_sample: the names are not all of the dataset's; the file may have more. Raises
        WorkbenchError where names are missing in the file, or ids are none of the names.
        """
        place = {name: row for row, name in enumerate(self.ids)}
        if missing := [name for name in names if name not in place]:
            raise WorkbenchError(
                f"{self.name} has no vector for {len(missing):,} of the dataset's {len(names):,}"
                f" images: {_listed(missing)}. Ids are those of `run --embeddings`."
            )
        if not is_sample and (others := sorted(place.keys() - set(names))):
            raise WorkbenchError(
                f"{self.name} has vectors for {len(others):,} ids that are no images of the"
                f" dataset: {_listed(others)}."
            )
        return self.vectors[np.array([place[name] for name in names], np.intp)]


def absence_note(absent: int, images: int) -> str | None:
    """A warning where vectors stand for images that can't be read; None if all can."""
    if not absent:
        return None
    return (
        f"IMAGES: {absent:,} of {images:,} are not there. They are not shown, duplicates among them"
        " are not found, and the dataset's digest has their ids in place of their bytes."
    )


def _listed(names: Sequence[str]) -> str:
    return ", ".join(map(repr, names[:SHOWN])) + (", …" if len(names) > SHOWN else "")

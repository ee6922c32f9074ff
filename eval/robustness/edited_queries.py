"""From a gallery to a dataset whose queries are edited images of it.

The gallery's images are its first items, the edited ones the others, made when they are read. So
they are embedded, cached and searched with as any dataset's are.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cache, lru_cache
from os import cpu_count

import numpy as np
from PIL import Image

from bogv.calibration.edits import CONTROL, EditVariant, apply_edit, working_size
from bogv.imaging.decoder import Decoder
from bogv.records import Vectors
from eval.data.catalogue import DatasetError
from eval.data.datasets import Dataset
from eval.data.items import Item, Truth

CLOSE = 1e-5
"""Maximum squared distance of embeddings of equal pixels; float32's rounding gives about 1e-6."""

Opener = Callable[[Item], Image.Image]


@dataclass(frozen=True)
class Question:
    """The original and the edit of one query."""

    original: int
    """Index into the items."""
    variant: EditVariant


@dataclass(frozen=True)
class EditedQueries:
    """Edited images and the gallery that they search."""

    dataset: Dataset
    questions: dict[int, Question]
    """By the query: an index into the items."""

    @property
    def originals(self) -> list[int]:
        """The images that were edited: indices into the items."""
        return sorted({question.original for question in self.questions.values()})

    @property
    def copies(self) -> dict[int, tuple[int, ...]]:
        """What is right for the edits of each original, itself among it; see `with_copies`."""
        truth = self.dataset.truth or {}
        return {each.original: truth[query].relevant for query, each in self.questions.items()}


def make_edited_queries(
    dataset: Dataset, variants: Sequence[EditVariant], sample: int, seed: int, decoder: Decoder
) -> EditedQueries:
    """Edits of at most `sample` images of the dataset's gallery, and each of them unedited.

    Which images depends on the seed and on the gallery's ids, not on their order. Raises
    DatasetError for a gallery of fewer than two; reading an item raises as its original does, and
    what `decoder` raises.
    """
    items = sorted((dataset.items[index] for index in dataset.gallery), key=lambda item: item.id)
    if len(items) < 2:
        raise DatasetError(
            dataset.spec.id, f"{len(items)} image is no gallery to search; there have to be two."
        )
    chosen = np.random.default_rng(seed).permutation(len(items))[:sample].tolist()
    questions = [
        Question(original, variant)
        for original in sorted(chosen)
        for variant in (CONTROL, *variants)
    ]
    opener = _opener(decoder)
    queries = [_query(items[each.original], each.variant, seed, opener) for each in questions]
    query_indices = range(len(items), len(items) + len(queries))
    return EditedQueries(
        Dataset(
            dataset.spec,
            dataset.root,
            [*items, *queries],
            list(query_indices),
            list(range(len(items))),
        ),
        dict(zip(query_indices, questions, strict=True)),
    )


def mark_copies(
    edited: EditedQueries, vectors: Vectors, digests: Sequence[str], decoder: Decoder
) -> EditedQueries:
    """Add the ground truth: the original and all images with the same bytes or pixels.

    Such copies are indistinguishable, so any of them counts as the original. Pixels are compared at
    full size, upright and in RGB, so a copy in another lossless format counts, but not one saved as
    a JPEG again. Only images with nearly equal embeddings are compared; equal embeddings alone
    prove nothing, since a broken network gives the same one to all images.

    vectors: (n, dimension) float32; digests: of the bytes; both one for each item.
    """
    items, gallery = edited.dataset.items, vectors[: len(edited.dataset.gallery)]
    squares = np.square(gallery).sum(axis=1)

    @cache
    def pixels(index: int) -> str:
        image = decoder.decode_upright(items[index].read())[0]
        return hashlib.sha256(f"{image.size}".encode() + image.tobytes()).hexdigest()

    copies: dict[int, tuple[int, ...]] = {}
    for original in edited.originals:
        distances = squares + squares[original] - 2 * (gallery @ gallery[original])
        distances[original] = 0  # which rounding may hide
        copies[original] = tuple(
            other
            for other in np.flatnonzero(distances < CLOSE).tolist()
            if digests[other] == digests[original] or pixels(other) == pixels(original)
        )
    truth = {query: Truth(copies[each.original]) for query, each in edited.questions.items()}
    return replace(edited, dataset=replace(edited.dataset, truth=truth))


def _opener(decoder: Decoder) -> Opener:
    """Originals as they are edited. Few are kept: the edits of one image are made in turn."""

    @lru_cache(maxsize=2 * (cpu_count() or 1))
    def opened(item: Item) -> Image.Image:
        return working_size(decoder.decode_upright(item.read())[0])

    return opened


def _query(item: Item, variant: EditVariant, seed: int, opener: Opener) -> Item:
    if variant == CONTROL:
        return Item(f"{item.id} ({variant.name})", item.label, item.read)
    return Item(
        f"{item.id} ({variant.name})",
        item.label,
        lambda: apply_edit(opener(item), variant, seed, item.id),
    )

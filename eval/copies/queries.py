"""The images that search for their originals, and those whose original isn't there.

Edits of a sample of the gallery, each image of the gallery as it is, and the dataset's queries
that aren't in the gallery. Each of the first two is searched for twice: with its original in the
gallery, and with the original taken out.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from bogv.calibration.edits import CONTROL, EditVariant
from bogv.imaging.decoder import Decoder
from eval.data.datasets import Dataset
from eval.data.items import Item, Truth
from eval.embedding.embed import Embedded
from eval.robustness.edited_queries import (
    EditedQueries,
    Question,
    make_edited_queries,
    mark_copies,
)

STRANGER = EditVariant("not in the gallery", "")
"""A query of the dataset that is no image of the gallery, unedited."""


@dataclass(frozen=True)
class CopyQueries:
    """Images with and without an original in the gallery, and the gallery."""

    edited: EditedQueries
    """Its dataset's items begin with the gallery; its questions are those with an original."""
    sampled: list[int]
    """The images that were edited: indices into the items."""
    strangers: list[int]
    """The queries without an original: indices into the items."""

    @property
    def items(self) -> list[Item]:
        """The gallery, then the queries."""
        return self.edited.dataset.items

    def variant(self, query: int) -> EditVariant:
        """What was done to the query's original."""
        question = self.edited.questions.get(query)
        return STRANGER if question is None else question.variant

    def source(self, query: int) -> str:
        """The id of the photo that the query was made from: the sampling unit of intervals."""
        question = self.edited.questions.get(query)
        return self.items[query if question is None else question.original].id

    def originals(self, query: int) -> tuple[int, ...]:
        """The original and its copies in the gallery: indices into the items."""
        truth = self.edited.dataset.truth or {}
        return truth[query].relevant


def make_copy_queries(
    dataset: Dataset, variants: Sequence[EditVariant], sample: int, seed: int, decoder: Decoder
) -> CopyQueries:
    """Arguments and errors as of `make_edited_queries`. `mark_originals` has to follow."""
    edited = make_edited_queries(dataset, variants, sample, seed, decoder)
    items, questions = list(edited.dataset.items), dict(edited.questions)
    for original in sorted(set(edited.dataset.gallery) - set(edited.originals)):
        questions[len(items)] = Question(original, CONTROL)
        item = items[original]
        items.append(Item(f"{item.id} ({CONTROL.name})", item.label, item.read))
    gallery = set(dataset.gallery)
    outside = [dataset.items[index] for index in dataset.queries if index not in gallery]
    strangers = list(range(len(items), len(items) + len(outside)))
    whole = replace(edited.dataset, items=[*items, *outside], queries=[*questions, *strangers])
    return CopyQueries(EditedQueries(whole, questions), edited.originals, strangers)


def mark_originals(queries: CopyQueries, embedded: Embedded, decoder: Decoder) -> CopyQueries:
    """Add which images of the gallery are a query's original: those of equal bytes or pixels.

    For a query from outside the gallery, those of equal bytes.
    """
    edited = mark_copies(queries.edited, embedded.vectors, embedded.digests, decoder)
    by_digest: dict[str, list[int]] = {}
    for index in edited.dataset.gallery:
        by_digest.setdefault(embedded.digests[index], []).append(index)
    outside = {
        query: Truth(tuple(by_digest.get(embedded.digests[query], ())))
        for query in queries.strangers
    }
    truth = {**(edited.dataset.truth or {}), **outside}
    return replace(queries, edited=replace(edited, dataset=replace(edited.dataset, truth=truth)))

"""How many edited copies are found: edits of a gallery's images, searched for in it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image
from pydantic import BaseModel, ConfigDict

from bogv.calibration.binomial import interval
from bogv.calibration.edits import EditVariant, apply_edit
from bogv.calibration.false_positives import GalleryImages
from bogv.copies.candidates import find_candidates
from bogv.copies.thresholds import Thresholds
from bogv.copies.verifier import MAX_HITS, Verifier
from bogv.embedding.embedder import Embedder
from bogv.imaging.decoder import Decoder
from bogv.records import Record
from bogv.storage.milvus import MilvusStore


@dataclass(frozen=True)
class EditedSearch:
    """What a search with an edited image says about its original."""

    variant: EditVariant
    distance: int | None
    """Bits of 256; None: the hashes are too far apart."""
    inliers: int
    """0 if the original is not among the hits that are verified."""


class EditRecall(BaseModel):
    """How many originals are found by one edit of them."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    edit: str
    """`crop:50`"""
    images: int
    copy_found: int
    """By the hash."""
    part_found: int
    """By the geometry."""
    found: int
    """By either."""
    low: float
    high: float
    """95% interval of the share found (Clopper and Pearson)."""


def search_edited(
    store: MilvusStore,
    images: GalleryImages,
    decoder: Decoder,
    embedder: Embedder,
    verifier: Verifier,
    seed: int,
) -> Callable[[tuple[Record, EditVariant]], EditedSearch]:
    """A function that edits an image's thumbnail and searches the gallery with it. It raises as
    `search_left_out`'s does."""

    def search(task: tuple[Record, EditVariant]) -> EditedSearch:
        record, variant = task
        image = _open(decoder, images.thumbnail(record.id))
        picture = decoder.decode(apply_edit(image, variant, seed, str(record.id)), reduced=True)
        near = {e.record.id: e.match.distance for e in find_candidates(store, picture, "")}
        vector = embedder.embed(picture.pixels[np.newaxis])[0]
        hits = [hit.record.id for hit in store.search(vector, MAX_HITS)]
        inliers = 0
        if picture.reduced is not None and (record.id in hits or record.id in near):
            [agreement] = verifier.verify(picture.reduced, [record.id], images.load)
            inliers = agreement.inliers
        return EditedSearch(variant, near.get(record.id), inliers)

    return search


def _open(decoder: Decoder, thumbnail: bytes) -> Image.Image:
    return decoder.decode_upright(thumbnail)[0]


def recall_by_edit(searches: Sequence[EditedSearch], thresholds: Thresholds) -> list[EditRecall]:
    """The recall of each edit, in the order of the first search with it."""
    by_edit: dict[EditVariant, list[EditedSearch]] = {}
    for each in searches:
        by_edit.setdefault(each.variant, []).append(each)
    return [_recall(variant.name, some, thresholds) for variant, some in by_edit.items()]


def _recall(name: str, searches: Sequence[EditedSearch], thresholds: Thresholds) -> EditRecall:
    by_hash = [
        each.distance is not None and each.distance <= thresholds.copy_bits for each in searches
    ]
    by_geometry = [each.inliers >= thresholds.part_inliers for each in searches]
    found = sum(map(max, by_hash, by_geometry))
    low, high = interval(found, len(searches))
    return EditRecall(
        edit=name,
        images=len(searches),
        copy_found=sum(by_hash),
        part_found=sum(by_geometry),
        found=found,
        low=low,
        high=high,
    )

"""Finds the images of a gallery that may be copies of a query, by their hashes."""

from __future__ import annotations

from bogv.records import MIN_QUALITY, CopyCandidate, Picture
from bogv.storage.milvus import MilvusStore


def find_candidates(store: MilvusStore, picture: Picture, md5: str) -> list[CopyCandidate]:
    """The records whose hashes are near one of the picture's, the nearest first.

    md5: of the query's file. Where the picture or the image is too plain for its hash to mean
    anything (MIN_QUALITY), only equal files are candidates. Raises DatabaseUnavailable.
    """
    matches = {match.id: match for match in store.copies.search(picture.hashes)}
    records = store.get(list(matches), latest=False)  # without those that are being deleted
    found = [CopyCandidate(each, matches[each.id], each.md5 == md5) for each in records]
    return [
        each
        for each in found
        if each.exact or min(picture.quality, each.match.quality) >= MIN_QUALITY
    ]

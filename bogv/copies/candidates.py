"""Finds the images of a gallery that may be copies of a query, by their hashes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from bogv.records import MIN_QUALITY, CopyCandidate, HashMatch, Picture, Record
from bogv.storage.milvus import MilvusStore

Query = tuple[Picture, str]
"""A picture, and the MD5 of its file."""


def find_candidates(store: MilvusStore, picture: Picture, md5: str) -> list[CopyCandidate]:
    """The records whose hashes are near one of the picture's, the nearest first.

    md5: of the query's file. Where the picture or the image is too plain for its hash to mean
    anything (MIN_QUALITY), only equal files are candidates. Raises DatabaseUnavailable.
    """
    return find_candidates_of_each(store, [(picture, md5)])[0]


def find_candidates_of_each(
    store: MilvusStore, queries: Sequence[Query]
) -> list[list[CopyCandidate]]:
    """As `find_candidates`, for several queries."""
    found = store.copies.search_many([picture.hashes for picture, _ in queries])
    ids = {match.id for matches in found for match in matches}
    # Without those that are being deleted.
    records = {record.id: record for record in store.get(sorted(ids), latest=False)}
    return [
        select_candidates(picture, md5, matches, records)
        for (picture, md5), matches in zip(queries, found, strict=True)
    ]


def select_candidates(
    picture: Picture, md5: str, matches: Iterable[HashMatch], records: Mapping[int, Record]
) -> list[CopyCandidate]:
    """The matches whose records are there, without those that mean nothing."""
    found = [
        CopyCandidate(records[match.id], match, records[match.id].md5 == md5)
        for match in matches
        if match.id in records
    ]
    return [
        each
        for each in found
        if each.exact or min(picture.quality, each.match.quality) >= MIN_QUALITY
    ]

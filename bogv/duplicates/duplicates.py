"""Finds the duplicates of a gallery: groups of images, every pair of which is a match."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from itertools import combinations, product
from pathlib import Path
from typing import Literal, get_args

import numpy as np

from bogv.copies.thresholds import THRESHOLDS
from bogv.duplicates.close_pairs import ClosePairs, PairTable
from bogv.duplicates.contents import Contents, read_contents
from bogv.duplicates.differences import NEVER, Differences
from bogv.duplicates.linkage import link_completely
from bogv.duplicates.parts import Parts
from bogv.errors import BogvError, Overloaded, Unavailable
from bogv.imaging.decoder import Decoder
from bogv.records import Pixels, Record
from bogv.storage.milvus import ROWS_PER_CALL, MilvusStore
from bogv.storage.thumbnails import Thumbnails

log = logging.getLogger(__name__)

DuplicateKind = Literal["exact", "copy", "part"]
KINDS: tuple[DuplicateKind, ...] = get_args(DuplicateKind)
"""From the strictest: a scan for one finds those before it, too."""

_VERIFIED = {"copy": 2_000, "part": 20_000}
"""Pairs of more than THRESHOLDS.copy_bits that geometry verifies, the closest first: some two and
twenty minutes of a core. A part of less than some nine tenths of a picture is too far away."""

Rule = Literal["largest", "oldest"]
RULES: tuple[Rule, ...] = get_args(Rule)

Stage = Literal["read", "compare", "verify"]
Report = Callable[[Stage, int, int], None]
"""Called with a stage, how much of it is done, and of how much."""


@dataclass(frozen=True)
class Group:
    """Images that are duplicates of one another: every pair of them matches."""

    match: DuplicateKind
    """Of its weakest pair."""
    images: tuple[Record, ...]
    """At least two, the largest first."""

    def kept(self, rule: Rule) -> Record:
        """The image to keep: that with the most pixels, or that added first.

        Ties: more bytes, then the older one, then the smaller id.
        """
        return min(self.images, key=_by_age if rule == "oldest" else _by_size)

    def others(self, rule: Rule) -> list[Record]:
        """The images to delete."""
        kept = self.kept(rule)
        return [each for each in self.images if each.id != kept.id]

    def saving(self, rule: Rule) -> int:
        """Bytes of the files of the others."""
        return sum(each.size for each in self.others(rule))


@dataclass(frozen=True)
class Scan:
    """What a scan has found."""

    match: DuplicateKind
    groups: tuple[Group, ...]
    """Largest saving first, if the largest image is kept."""
    images: int
    """In the gallery."""
    without_hash: int
    """Of these: too plain for their hashes to say anything, or not hashed yet; only equal files of
    theirs are found."""
    is_complete: bool
    """False: it was cancelled; these are the groups among what has been compared so far."""
    is_cut: bool
    """So many pairs are close that only the closest were looked at."""

    def kept(self, rule: Rule) -> list[Record]:
        """The image of each group to keep."""
        return [group.kept(rule) for group in self.groups]

    def others(self, rule: Rule) -> list[Record]:
        """The images of all groups to delete."""
        return [each for group in self.groups for each in group.others(rule)]


class Duplicates:
    """Scans a gallery for duplicates, one scan at a time. Thread-safe.

    Hashes are compared in orientation 1, the only one that is stored: copies that are mirrored or
    turned are not found. The other seven can't be derived from its bits: they are relative to a
    median, which mirroring changes, so that they would be up to 52 bits off.
    """

    def __init__(
        self, store: MilvusStore, thumbnails: Thumbnails, decoder: Decoder, folder: Path
    ) -> None:
        """folder: for the state of scans and for what is different, of this gallery alone."""
        self.different = Differences(folder / "different.json")
        self._store = store
        self._thumbnails = thumbnails
        self._decoder = decoder
        self._pairs = ClosePairs(folder / "pairs.npz", THRESHOLDS.borderline_bits)
        self._parts = Parts(folder / "verified.npz")
        self._scanning = threading.Lock()
        self._stop = threading.Event()

    def cancel(self) -> None:
        """End the running scan at its next block; a later one goes on from there."""
        self._stop.set()

    def scan(self, match: DuplicateKind = "copy", report: Report | None = None) -> Scan:
        """Find all groups. What an earlier scan has compared isn't compared again.

        Raises DatabaseUnavailable, StorageUnavailable, and Overloaded if another scan is running.
        """
        tell = report or (lambda *_: None)
        with self._one_at_a_time():
            contents = read_contents(self._store, self._stop, partial(tell, "read"))
            if contents is None:
                return Scan(match, (), self._store.count(), 0, is_complete=False, is_cut=False)
            pairs, parts, complete = self._find_pairs(match, contents, tell)
        groups = self._group(contents, pairs, parts)
        return Scan(
            match=match,
            groups=tuple(sorted(groups, key=lambda each: (-each.saving("largest"), _first(each)))),
            images=contents.images,
            without_hash=contents.without_hash(),
            is_complete=complete,
            is_cut=pairs.is_cut or parts.is_cut,
        )

    def mark_different(self, group: Group) -> None:
        """Remember that each two images of a group are different. Raises StorageUnavailable."""
        self.different.add([each.id for each in group.images])

    @contextmanager
    def _one_at_a_time(self) -> Iterator[None]:
        if not self._scanning.acquire(blocking=False):
            raise Overloaded("Another scan for duplicates is running.")
        try:
            self._stop.clear()
            yield
        finally:
            self._scanning.release()

    def _find_pairs(
        self, match: DuplicateKind, contents: Contents, report: Report
    ) -> tuple[PairTable, PairTable, bool]:
        """The pairs of contents that are copies, those that are parts, and whether that is all."""
        if match == "exact":
            return PairTable(), PairTable(), True
        places = np.flatnonzero(contents.is_telling).astype(np.int32)
        found, complete = self._pairs.find(
            contents.md5s[places], contents.words[places], self._stop, partial(report, "compare")
        )
        found.left, found.right = places[found.left], places[found.right]
        copies, candidates = found.split(THRESHOLDS.copy_bits)
        if not complete:
            return copies, PairTable(), complete
        load = partial(self._read_pixels, contents)
        candidates = candidates.first(_VERIFIED[match])
        edited, parts, complete = self._parts.prove(
            contents.md5s, candidates, load, self._stop, partial(report, "verify")
        )
        copies.append(edited.left, edited.right, edited.distances)
        if match == "copy":
            parts = PairTable(is_cut=parts.is_cut)
        return copies, parts, complete

    def _read_pixels(self, contents: Contents, place: int) -> Pixels | None:
        """The thumbnail of a content, decoded; None if it is missing or damaged."""
        thumbnail = self._thumbnails.read(contents.ids[place][0])
        if thumbnail is None:
            return None
        try:
            return self._decoder.decode(thumbnail, reduced=True).reduced
        except Unavailable:
            raise
        except BogvError as error:
            log.warning("Image %d can't be verified: %s", contents.ids[place][0], error)
            return None

    def _group(self, contents: Contents, pairs: PairTable, parts: PairTable) -> Iterator[Group]:
        """Equal files first, then copies, the closest first, then parts."""
        nodes = _Nodes(contents, self.different.sets_of_each())
        of_parts = set(nodes.links(parts))
        linked = link_completely([*nodes.links(pairs), *nodes.links(parts)], nodes.apart)
        alone = sorted(set(nodes.repeated).difference(*linked))
        groups = [*linked, *([each] for each in alone)]
        records = self._read_records([i for group in groups for i in nodes.ids_of(group)])
        for group in groups:
            images = [records[i] for i in nodes.ids_of(group) if i in records]
            if len(images) > 1:  # none has been deleted meanwhile
                kind = _kind(images, group, of_parts)
                yield Group(kind, tuple(sorted(images, key=_by_size)))

    def _read_records(self, ids: Sequence[int]) -> dict[int, Record]:
        return {
            record.id: record
            for start in range(0, len(ids), ROWS_PER_CALL)
            for record in self._store.get(ids[start : start + ROWS_PER_CALL])
        }


class _Nodes:
    """What is linked: the images of one file, or of several, if some of them are different."""

    def __init__(self, contents: Contents, sets: dict[int, frozenset[int]]) -> None:
        """sets: of each image, see `Differences.sets_of_each`."""
        self._ids: list[list[int]] = []
        self._of_content: list[range] = []
        self.apart: dict[int, frozenset[int]] = {}
        """By node: see `link_completely`."""
        for ids in contents.ids:
            first = len(self._ids)
            for group, numbers in _split(ids, sets):
                if numbers:
                    self.apart[len(self._ids)] = numbers
                self._ids.append(group)
            self._of_content.append(range(first, len(self._ids)))
        self.repeated = [node for node, ids in enumerate(self._ids) if len(ids) > 1]
        """Nodes of several images."""

    def links(self, pairs: PairTable) -> Iterator[tuple[int, int]]:
        """The pairs of nodes, in the order of the pairs of contents.

        Nodes of one content aren't linked: each has an image that differs from one of the other.
        """
        for left, right in zip(pairs.left.tolist(), pairs.right.tolist(), strict=True):
            yield from product(self._of_content[left], self._of_content[right])

    def ids_of(self, nodes: Sequence[int]) -> list[int]:
        """Of the images of some nodes."""
        return [image_id for node in nodes for image_id in self._ids[node]]


def _kind(
    images: Sequence[Record], nodes: Sequence[int], of_parts: set[tuple[int, int]]
) -> DuplicateKind:
    """Of the weakest pair. of_parts: the pairs of nodes that are parts, the smaller node first."""
    if len({each.md5 for each in images}) == 1:
        return "exact"
    return "part" if any(pair in of_parts for pair in combinations(nodes, 2)) else "copy"


def _split(
    ids: Sequence[int], sets: dict[int, frozenset[int]]
) -> list[tuple[list[int], frozenset[int]]]:
    """The images of one file in groups without two that are different; each with its sets."""
    groups: list[tuple[list[int], frozenset[int]]] = []
    for image_id in ids:
        own = sets.get(image_id, NEVER)
        for place, (group, numbers) in enumerate(groups):
            if not own & numbers:
                group.append(image_id)
                groups[place] = (group, numbers | own)
                break
        else:
            groups.append(([image_id], own))
    return groups


def _by_size(record: Record) -> tuple[int, ...]:
    return -record.width * record.height, -record.size, record.added_at, record.id


def _by_age(record: Record) -> tuple[int, ...]:
    return record.added_at, *_by_size(record)


def _first(group: Group) -> int:
    return min(each.id for each in group.images)

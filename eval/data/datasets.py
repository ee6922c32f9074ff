"""Loading a dataset of the catalogue, and drawing a sample of it.

    datasets.yaml -> catalogue() -> Spec -> load() -> Dataset (items, queries, gallery, truth)

Raises DatasetError, which begins with the dataset's id.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np

from eval.data import layouts, packages
from eval.data.catalogue import (
    DatasetError,
    Folder,
    Protocol,
    ScikitLearn,
    Spec,
    Torchvision,
    catalogue_entry,
    root_of,
)
from eval.data.items import Item, LayoutError, RawDataset, Truth
from eval.data.naming import check_names
from eval.vectors import Indices

UnitName = Literal["class", "group", "landmark", "query"]
UNITS: dict[Protocol, UnitName] = {
    "leave-one-out": "class",
    "query-gallery": "class",
    "revisited": "landmark",
    "copy": "group",
    "groups-of-four": "group",
}
"""What a protocol's queries come in. `copy`: an original's edits."""


@dataclass(frozen=True)
class Dataset:
    """Images, queries, gallery and ground truth."""

    spec: Spec
    """Its protocol is the one in use: labels.csv of your own may have roles."""
    root: Path | None
    items: list[Item]
    queries: list[int]
    """Indices into `items`."""
    gallery: list[int]
    """Indices into `items`. A query may be among them; metrics take it out by its id."""
    truth: Mapping[int, Truth] | None = None

    def relevant(self, query: int) -> Indices:
        """What should be found: gallery items (indices, ascending), never the query itself.

        Right is what bears the query's label, unless the dataset says otherwise; nothing is right
        for a query without a label.
        """
        if self.truth is not None:
            return np.array(self.truth[query].relevant, dtype=np.intp)
        same = self._by_label.get(self.items[query].label, _NOTHING)
        others: Indices = same[same != query]
        return others

    def junk(self, query: int) -> Indices:
        """Junk: images that are neither right nor wrong, and are removed from the ranking."""
        return np.array(self.truth[query].junk if self.truth else (), dtype=np.intp)

    def unit(self, query: int) -> str:
        """The sampling unit of a query (an index into `items`): what `unit_name` says it is.

        Queries of one unit are after the same images, so their scores depend on each other; units
        are independent, and are what a bootstrap or a sample has to draw. A query without a label
        is a unit of its own, named by its id.
        """
        item = self.items[query]
        return item.id if item.label is None else item.label

    @cached_property
    def unit_name(self) -> UnitName:
        """What a sampling unit is called; "query" where no two queries share one."""
        units = {self.unit(query) for query in self.queries}
        return "query" if len(units) == len(self.queries) else UNITS[self.spec.protocol]

    @cached_property
    def _by_label(self) -> dict[str | None, Indices]:
        members: dict[str | None, list[int]] = {}
        for index in sorted(self.gallery):
            members.setdefault(self.items[index].label, []).append(index)
        members.pop(None, None)
        return {label: np.array(indices, dtype=np.intp) for label, indices in members.items()}


_NOTHING = np.array((), dtype=np.intp)


def load(
    spec: Spec | str, root: Path | None = None, *, limit: int | None = None, seed: int = 0
) -> Dataset:
    """A dataset, its counts checked; nothing is downloaded and no image is read yet.

    root: its own folder; None: $BOGV_DATASETS/<folder>. limit: at most so many images, a sample
    that depends on `seed` alone (`_sample_classes` and `_sample_queries` say how).

    Raises DatasetError.
    """
    spec = catalogue_entry(spec)
    folder = root_of(spec, root)
    try:
        found = _read_items(spec, folder)
    except LayoutError as error:
        raise DatasetError(spec.id, f"{error} {_hint(spec, folder)}".rstrip()) from error
    if found.by_role and spec.protocol == "leave-one-out":
        spec = spec.model_copy(update={"protocol": "query-gallery"})
    check_names(spec.id, found.items)
    _check_counts(spec, found, folder)
    dataset = Dataset(spec, folder, found.items, found.queries, found.gallery, found.truth)
    return dataset if limit is None else draw_sample(dataset, limit, seed)


def _read_items(spec: Spec, folder: Path | None) -> RawDataset:
    source = spec.source
    if isinstance(source, ScikitLearn):
        return packages.scikit_learn_items(source.loader)
    assert folder is not None  # noqa: S101 - root_of gives one to all others
    if not folder.is_dir():
        raise LayoutError(f"There is no folder {str(folder)!r}.")
    if isinstance(source, Torchvision):
        return packages.torchvision_items(folder, source.name, source.splits)
    if source.layout == "csv":
        return layouts.labels_csv(folder, source.roles.model_dump())
    return layouts.LAYOUTS[source.layout](folder)


def _hint(spec: Spec, folder: Path | None) -> str:
    if isinstance(spec.source, Folder):
        fetchable = any(file.url for file in spec.source.files)
        hint = " `python -m eval fetch` can get it." if fetchable else ""
        return f"It should hold: {spec.source.where}{hint}"
    return f"`python -m eval fetch {spec.id}` gets it." if folder else ""


def _check_counts(spec: Spec, found: RawDataset, folder: Path | None) -> None:
    ids = {item.id for item in found.items}
    if len(ids) != len(found.items):
        raise DatasetError(spec.id, f"{len(found.items) - len(ids)} images occur twice.")
    there = {
        "images": len(found.items) - found.distractors,
        "classes": len({item.label for item in found.items} - {None}),
        "queries": len(found.queries),
        "gallery": len(found.gallery) - found.distractors,
    }
    wrong = [
        f"{there[name]:,} {name} instead of {expected:,}"
        for name, expected in spec.counts.model_dump(exclude_none=True).items()
        if there[name] != expected
    ]
    if wrong:
        raise DatasetError(spec.id, f"{folder or 'the package'} has {', '.join(wrong)}.")


# ------------------------------------------------------------------------------ samples

ENOUGH = 10
"""Images per class in a sample."""


def draw_sample(dataset: Dataset, limit: int, seed: int) -> Dataset:
    """At most so many of its images, a sample that depends on `seed` alone. Raises DatasetError."""
    if limit >= len(dataset.items):
        return dataset
    if limit < 2:
        raise DatasetError(dataset.spec.id, f"a limit of {limit} images leaves no relevant images.")
    rng = np.random.default_rng(seed)
    everyone = len(dataset.queries) == len(dataset.gallery) == len(dataset.items)
    kept = (_sample_classes if everyone else _sample_queries)(dataset, limit, rng)
    if not kept.queries:
        raise DatasetError(
            dataset.spec.id, f"a limit of {limit} images has no query with a relevant image."
        )
    return _renumbered(dataset, kept)


@dataclass(frozen=True)
class _Kept:
    items: set[int]
    queries: list[int]


def _sample_classes(dataset: Dataset, limit: int, rng: np.random.Generator) -> _Kept:
    """Where each image searches all others: few classes with enough images each.

    All classes get the same share of the limit; where that is less than ten images, some classes
    are left out instead, chosen by the seed. A class that has fewer is taken whole, and so are
    groups of four. Unlabelled images are drawn singly.
    """
    members: dict[str, list[int]] = {}
    for index, item in enumerate(dataset.items):
        members.setdefault(item.label or f"\0{index}", []).append(index)
    share = max(limit // len(members), min(ENOUGH, limit // 2), 2)
    kept: set[int] = set()
    classes = [members[label] for label in sorted(members)]
    for number in rng.permutation(len(classes)).tolist():
        whole = classes[number]
        if dataset.spec.protocol != "groups-of-four":
            whole = rng.permutation(whole)[:share].tolist()
        if len(kept) + len(whole) <= limit:
            kept.update(whole)
    return _Kept(kept, [query for query in dataset.queries if query in kept])


def _sample_queries(dataset: Dataset, limit: int, rng: np.random.Generator) -> _Kept:
    """Where queries search a gallery: queries, each with all that is right and all its junk.

    They take up half of the limit at most; the other half is the rest of the gallery, so that there
    is something to be mistaken for. Where that leaves room, it goes to further queries for which
    all is there.
    """
    needed = {
        query: {query, *dataset.relevant(query).tolist(), *dataset.junk(query).tolist()}
        for query in dataset.queries
    }
    drawn: list[int] = rng.permutation(dataset.queries).tolist()
    kept: set[int] = set()
    queries = set()
    for query in drawn:
        if len(kept | needed[query]) <= max(limit // 2, 2):
            kept |= needed[query]
            queries.add(query)
    others = [index for index in dataset.gallery if index not in kept]
    kept.update(rng.permutation(others).tolist()[: limit - len(kept)])
    for query in drawn:
        if queries and len(kept | needed[query]) <= min(limit, len(kept | {query})):
            kept.add(query)
            queries.add(query)
    return _Kept(kept, sorted(queries))


def _renumbered(dataset: Dataset, kept: _Kept) -> Dataset:
    old = sorted(kept.items)
    new = {index: position for position, index in enumerate(old)}
    truth = dataset.truth and {
        new[query]: Truth(
            tuple(new[index] for index in dataset.truth[query].relevant),
            tuple(new[index] for index in dataset.truth[query].junk),
        )
        for query in kept.queries
    }
    return replace(
        dataset,
        items=[dataset.items[index] for index in old],
        queries=[new[query] for query in kept.queries],
        gallery=[new[index] for index in dataset.gallery if index in new],
        truth=truth,
    )


def dataset_digest(dataset: Dataset, digests: Sequence[str]) -> str:
    """12 hex digits, a hash of queries, gallery and ground truth. digests: of each item's bytes.

    The order of the files and where they lie change nothing.
    """
    queries, gallery = set(dataset.queries), set(dataset.gallery)
    lines: list[list[Any]] = []
    for index, item in enumerate(dataset.items):
        truth = dataset.truth.get(index) if dataset.truth else None
        ids = [
            sorted(dataset.items[other].id for other in others)
            for others in ((truth.relevant, truth.junk) if truth else ())
        ]
        roles = [index in queries, index in gallery]
        lines.append([item.id, digests[index], item.label, *roles, *ids])
    text = json.dumps([dataset.spec.protocol, *sorted(lines, key=lambda line: str(line[0]))])
    return hashlib.sha256(text.encode()).hexdigest()[:12]

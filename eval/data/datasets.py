"""Loading a dataset of the catalogue, and drawing a sample of it.

    datasets.yaml -> catalogue() -> Spec -> load() -> Dataset (items, queries, gallery, truth)

Raises DatasetError, which begins with the dataset's id.
"""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np

from eval.data import judged, layouts, packages
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
from eval.data.roots import find_root
from eval.vectors import Indices

UnitName = Literal["class", "group", "landmark", "query"]
UNITS: dict[Protocol, UnitName] = {
    "leave-one-out": "class",
    "query-gallery": "class",
    "revisited": "landmark",
    "copy": "group",
    "groups-of-four": "group",
    "judged": "query",
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
    sample: str | None = None
    """What was drawn, in words; None: this is the whole dataset."""

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

    root: its own folder, or the one above or below (a line on stderr says which is used); None:
    $BOGV_DATASETS/<folder>. limit: at most so many images, a sample
    that depends on `seed` alone (`_sample_units` and `_sample_queries` say how).

    Raises DatasetError.
    """
    spec = catalogue_entry(spec)
    folder = root_of(spec, root)
    try:
        folder = _own_folder(spec, folder)
        found = _read_items(spec, folder)
    except LayoutError as error:
        raise DatasetError(spec.id, f"{error} {_hint(spec, folder)}".rstrip()) from error
    if found.by_role and spec.protocol == "leave-one-out":
        spec = spec.model_copy(update={"protocol": "query-gallery"})
    check_names(spec.id, found.items)
    _check_counts(spec, found, folder)
    dataset = Dataset(spec, folder, found.items, found.queries, found.gallery, found.truth)
    return dataset if limit is None else draw_sample(dataset, limit, seed)


def _own_folder(spec: Spec, given: Path | None) -> Path | None:
    if given is None or isinstance(spec.source, ScikitLearn):
        return None
    folder = find_root(given, spec.source.markers)
    if folder != given:
        print(f"{spec.id} is not in {given} itself: using {folder}.", file=sys.stderr)
    return folder


def _read_items(spec: Spec, folder: Path | None) -> RawDataset:
    source = spec.source
    if isinstance(source, ScikitLearn):
        return packages.scikit_learn_items(source.loader)
    assert folder is not None  # noqa: S101 - root_of gives one to all others
    if isinstance(source, Torchvision):
        return packages.torchvision_items(folder, source.name, source.splits)
    if source.layout == "judged":
        return _read_judged(folder)
    if source.layout == "csv":
        return layouts.labels_csv(folder, source.roles.model_dump())
    return layouts.LAYOUTS[source.layout](folder)


def _read_judged(pool: Path) -> RawDataset:
    source = judged.read_source(pool)
    whole = load(source.dataset, source.root, limit=source.limit, seed=source.seed)
    junk = {query: tuple(whole.junk(query).tolist()) for query in whole.queries}
    return judged.judged(pool, whole.items, whole.gallery, junk)


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
"""Images of each class in a sample that has no room for two whole classes."""
PLURALS: dict[UnitName, str] = {
    "class": "classes",
    "group": "groups",
    "landmark": "landmarks",
    "query": "queries",
}


def draw_sample(dataset: Dataset, limit: int, seed: int) -> Dataset:
    """At most so many of its images: sampling units as a whole, drawn by `seed` alone.

    `Dataset.sample` says what was drawn and what was left out. Raises DatasetError.
    """
    if limit >= len(dataset.items):
        return dataset
    if limit < 2:
        raise DatasetError(dataset.spec.id, f"a limit of {limit} images leaves no relevant images.")
    rng = np.random.default_rng(seed)
    everyone = len(dataset.queries) == len(dataset.gallery) == len(dataset.items)
    kept = (_sample_units if everyone else _sample_queries)(dataset, limit, rng)
    if not kept.queries:
        raise DatasetError(
            dataset.spec.id, f"a limit of {limit} images has no query with all that is relevant."
        )
    return _renumbered(dataset, kept)


@dataclass(frozen=True)
class _Kept:
    items: set[int]
    queries: list[int]
    what: str


def _sample_units(dataset: Dataset, limit: int, rng: np.random.Generator) -> _Kept:
    """Where each image searches all others: whole units; one that no longer fits is passed over.

    Where no two classes fit, each gives the same share of the limit, at least ten images: then
    less is relevant than in the dataset. Groups of four are never torn. Unlabelled images are
    drawn singly.
    """
    units = _units(dataset, range(len(dataset.items)))
    drawn = [units[number] for number in rng.permutation(len(units)).tolist()]
    chosen = _fill(drawn, limit)
    plural = "images" if dataset.unit_name == "query" else PLURALS[dataset.unit_name]
    what = f"{len(chosen):,} of {len(units):,} {plural}, each as a whole"
    several = sum(len(unit) > 1 for unit in units)
    if sum(len(unit) > 1 for unit in chosen) < min(2, several) and dataset.unit_name == "class":
        share = max(limit // len(units), min(ENOUGH, limit // 2), 2)
        chosen = _fill([rng.permutation(unit)[:share].tolist() for unit in drawn], limit)
        what = (
            f"{len(chosen):,} of {len(units):,} {plural}, of each at most {share:,} images, for no"
            " two fit as a whole: less is relevant than in the dataset"
        )
    kept = {index for unit in chosen for index in unit}
    return _Kept(kept, sorted(kept), what)


def _units(dataset: Dataset, queries: Iterable[int]) -> list[list[int]]:
    members: dict[str, list[int]] = {}
    for query in queries:
        members.setdefault(dataset.unit(query), []).append(query)
    return [members[name] for name in sorted(members)]


def _fill(drawn: list[list[int]], limit: int) -> list[list[int]]:
    chosen, size = [], 0
    for unit in drawn:
        if size + len(unit) <= limit:
            chosen.append(unit)
            size += len(unit)
    return chosen


def _sample_queries(dataset: Dataset, limit: int, rng: np.random.Generator) -> _Kept:
    """Where queries search a gallery: units of queries, and the whole gallery if it fits.

    If it doesn't, the queries with all that is relevant to them and all their junk take up half of
    the limit (more where no unit fits into half), and the rest of the gallery the other half, so
    that there is something to be mistaken for. Single queries are drawn where no whole unit fits.
    """
    units = _units(dataset, dataset.queries)
    single = [[query] for query in dataset.queries]
    for parts, plural in ((units, PLURALS[dataset.unit_name]), (single, "queries")):
        drawn = [parts[number] for number in rng.permutation(len(parts)).tolist()]
        for start, room in ((dataset.gallery, limit), ([], limit // 2), ([], limit - 1)):
            chosen, kept = _fill_with_relevant(dataset, drawn, set(start), room)
            if chosen:
                others = [index for index in dataset.gallery if index not in kept]
                kept.update(rng.permutation(others).tolist()[: limit - len(kept)])
                number = f"{len(chosen):,} of {len(parts):,} {plural}"
                queries = number if plural == "queries" else f"the queries of {number}"
                what = f"{queries}, {_part_of_gallery(dataset, kept)}"
                return _Kept(kept, sorted(query for unit in chosen for query in unit), what)
    return _Kept(set(), [], "")


def _fill_with_relevant(
    dataset: Dataset, drawn: list[list[int]], kept: set[int], room: int
) -> tuple[list[list[int]], set[int]]:
    """Units, while they and all that their queries need fit into `room` images."""
    chosen = []
    for unit in drawn:
        needed = set(unit)
        for query in unit:
            needed.update(dataset.relevant(query).tolist(), dataset.junk(query).tolist())
        needed -= kept
        if len(kept) + len(needed) <= room:
            chosen.append(unit)
            kept |= needed
    return chosen, kept


def _part_of_gallery(dataset: Dataset, kept: set[int]) -> str:
    size, whole = len(kept.intersection(dataset.gallery)), len(dataset.gallery)
    return "the whole gallery" if size == whole else f"{size:,} of the gallery's {whole:,}"


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
        sample=kept.what,
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

"""The datasets that the workbench can run on: the catalogue, checked, and loading one of them.

    datasets.yaml -> catalogue() -> Spec -> load() -> Dataset (items, queries, gallery, truth)

Whatever is wrong (a field of the catalogue, a missing folder, a wrong count, a bad checksum) is a
DatasetError that begins with the dataset's id.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import yaml
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from eval.data import layouts
from eval.data.layouts import Found, Item, LayoutError, Truth

__all__ = ["Dataset", "DatasetError", "Item", "Spec", "catalogue", "load", "root_of"]

CATALOGUE = Path(__file__).parents[2] / "datasets.yaml"
VARIABLE = "BOGV_DATASETS"

Indices = NDArray[np.intp]
Protocol = Literal["leave-one-out", "query-gallery", "revisited", "copy", "groups-of-four"]
Layout = Literal[
    "any", "copydays", "corel1k", "csv", "cub200", "holidays", "revisited", "sop", "subfolders",
    "ukbench",
]  # fmt: skip
Metric = Annotated[
    str,
    Field(
        pattern=r"^((hit_rate|recall|precision|ndcg)@[1-9]\d*"
        r"|map|map_trapezoid|map@r|r_precision|mrr|ns)$"
    ),
]
Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][\w.-]*$")]
"""Of a file or folder: never a path, so never one that leads elsewhere."""
Text = Annotated[str, Field(min_length=1)]
Count = Annotated[int, Field(gt=0)]


class DatasetError(ValueError):
    """A dataset can't be had as it should be; the message begins with its id."""

    def __init__(self, dataset: str, message: str) -> None:
        super().__init__(f"Dataset {dataset}: {message}")
        self.dataset = dataset


# ------------------------------------------------------------------------------ the catalogue


class Strict(BaseModel):
    """A field that isn't known is an error, not a hint."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class File(Strict):
    """One file to be had: fetched from `url`, or put into the folder by hand."""

    name: Name
    url: Annotated[str, Field(pattern=r"^https?://")] | None = None
    size: Count | None = None
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")] | None = None
    md5: Annotated[str, Field(pattern=r"^[0-9a-f]{32}$")] | None = None
    into: Name | None = None
    """The subfolder that an archive is unpacked into; by default the dataset's own folder."""


class Torchvision(Strict):
    """A class of torchvision.datasets and, for each split, its keyword arguments."""

    type: Literal["torchvision"]
    name: Text = Field(alias="class")
    splits: list[dict[str, str | bool | int]] = Field(min_length=1)


class ScikitLearn(Strict):
    """A loader inside scikit-learn."""

    type: Literal["scikit-learn"]
    loader: Literal["load_digits"]


class Roles(Strict):
    """Which of the roles in labels.csv search, and which are searched."""

    query: Text = "query"
    gallery: Text = "gallery"


class Folder(Strict):
    """Files on disk, laid out as `layout` says; `where` tells how to get them."""

    type: Literal["folder"]
    layout: Layout
    where: Text
    roles: Roles = Roles()
    files: list[File] = []


class Counts(Strict):
    """How many there have to be; absent: any number."""

    images: Count | None = None
    classes: Count | None = None
    queries: Count | None = None
    gallery: Count | None = None


class Anchor(Strict):
    """A figure to compare with."""

    metric: Metric
    value: Annotated[float, Field(ge=0, le=4)]
    setting: Text
    source: Text
    status: Literal["cited", "reproduced"]


class Spec(Strict):
    """One entry of datasets.yaml, where the fields are explained."""

    id: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_-]*$")]
    name: Text
    kind: Literal["category", "instance", "copy"]
    source: Annotated[Torchvision | ScikitLearn | Folder, Field(discriminator="type")]
    folder: Name | None = None
    licence: Text
    terms: Text
    homepage: str | None = None
    counts: Counts = Counts()
    protocol: Protocol
    headline: Metric
    anchors: list[Anchor] = []
    overlaps_imagenet: Literal["images", "classes", "none", "unknown"]
    tier: Literal["smoke", "ci", "full"]
    citation: Text

    @model_validator(mode="after")
    def _revisited_has_its_layout(self) -> Spec:
        """Only that layout knows of junk, and no other protocol would take it out."""
        layout = self.source.layout if isinstance(self.source, Folder) else None
        if (self.protocol == "revisited") != (layout == "revisited"):
            raise ValueError("protocol and layout are both 'revisited' or neither is")
        return self

    @property
    def needs_root(self) -> bool:
        """Whether there have to be files on disk."""
        return not isinstance(self.source, ScikitLearn)


def catalogue(path: Path | None = None) -> dict[str, Spec]:
    """All entries of datasets.yaml by id, in its order. Raises DatasetError."""
    path = path or CATALOGUE
    try:
        data = yaml.safe_load(path.read_text("utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise DatasetError("catalogue", f"{path} can't be read: {error}.") from error
    entries = data.get("datasets") if isinstance(data, dict) and len(data) == 1 else None
    if not isinstance(entries, list):
        raise DatasetError("catalogue", f"{path} should hold a list `datasets`, and nothing else.")
    specs: dict[str, Spec] = {}
    for number, entry in enumerate(entries, 1):
        spec = _spec(entry, number)
        if spec.id in specs:
            raise DatasetError(spec.id, f"it comes twice in {path.name}.")
        specs[spec.id] = spec
    return specs


def _spec(entry: Any, number: int) -> Spec:
    name = entry.get("id") if isinstance(entry, dict) else None
    try:
        return Spec.model_validate(entry)
    except ValidationError as error:
        faults = "; ".join(
            f"{'.'.join(str(part) for part in fault['loc']) or 'the entry'}: {fault['msg']}"
            for fault in error.errors()
        )
        raise DatasetError(str(name or f"number {number}"), f"{faults}.") from error


# ------------------------------------------------------------------------------ one dataset


@dataclass(frozen=True)
class Dataset:
    """Images, which of them search, which are searched, and what is right."""

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
        """What is neither right nor wrong, and is taken out of the ranking."""
        return np.array(self.truth[query].junk if self.truth else (), dtype=np.intp)

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
        found = _found(spec, folder)
    except LayoutError as error:
        raise DatasetError(spec.id, f"{error} {_way_out(spec, folder)}".rstrip()) from error
    if found.by_role and spec.protocol == "leave-one-out":
        spec = spec.model_copy(update={"protocol": "query-gallery"})
    _check_counts(spec, found, folder)
    dataset = Dataset(spec, folder, found.items, found.queries, found.gallery, found.truth)
    return dataset if limit is None else limited(dataset, limit, seed)


def catalogue_entry(spec: Spec | str) -> Spec:
    """The entry itself, or the one of that id. Raises DatasetError for an unknown id."""
    if isinstance(spec, Spec):
        return spec
    specs = catalogue()
    if spec not in specs:
        raise DatasetError(spec, f"there is none of that name; there are {', '.join(specs)}.")
    return specs[spec]


def root_of(spec: Spec, root: Path | None = None) -> Path | None:
    """The dataset's folder, which need not be there yet; None where it needs none.

    Raises DatasetError where neither --root nor BOGV_DATASETS says where.
    """
    if not spec.needs_root:
        return None
    if root is not None:
        return Path(root).expanduser()
    # A folder of anyone's has no place among those of the catalogue.
    if spec.id == "folder":
        raise DatasetError(spec.id, "name the folder with --root.")
    if not (base := os.environ.get(VARIABLE)):
        folder = spec.folder or spec.id
        raise DatasetError(
            spec.id,
            f"name its folder with --root, or set {VARIABLE} to the one that has {folder}/.",
        )
    return Path(base).expanduser() / (spec.folder or spec.id)


def _found(spec: Spec, folder: Path | None) -> Found:
    source = spec.source
    if isinstance(source, ScikitLearn):
        return layouts.scikit_learn_items(source.loader)
    assert folder is not None  # noqa: S101 - root_of gives one to all others
    if not folder.is_dir():
        raise LayoutError(f"There is no folder {str(folder)!r}.")
    if isinstance(source, Torchvision):
        return layouts.torchvision_items(folder, source.name, source.splits)
    if source.layout == "csv":
        return layouts.labels_csv(folder, source.roles.model_dump())
    return layouts.LAYOUTS[source.layout](folder)


def _way_out(spec: Spec, folder: Path | None) -> str:
    if isinstance(spec.source, Folder):
        fetchable = any(file.url for file in spec.source.files)
        hint = " `python -m eval fetch` can get it." if fetchable else ""
        return f"It should hold: {spec.source.where}{hint}"
    return f"`python -m eval fetch {spec.id}` gets it." if folder else ""


def _check_counts(spec: Spec, found: Found, folder: Path | None) -> None:
    ids = {item.id for item in found.items}
    if len(ids) != len(found.items):
        raise DatasetError(spec.id, f"{len(found.items) - len(ids)} images come twice.")
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
"""So many images of a class tell whether it is found."""


def limited(dataset: Dataset, limit: int, seed: int) -> Dataset:
    """At most so many of its images, a sample that depends on `seed` alone. Raises DatasetError."""
    if limit >= len(dataset.items):
        return dataset
    if limit < 2:
        raise DatasetError(dataset.spec.id, f"a limit of {limit} images leaves nothing to find.")
    rng = np.random.default_rng(seed)
    everyone = len(dataset.queries) == len(dataset.gallery) == len(dataset.items)
    kept = (_sample_classes if everyone else _sample_queries)(dataset, limit, rng)
    if not kept.queries:
        raise DatasetError(
            dataset.spec.id, f"a limit of {limit} images holds no query with what is right for it."
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

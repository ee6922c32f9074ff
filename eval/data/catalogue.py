"""The catalogue of datasets: datasets.yaml, its schema, and where a dataset's files lie.

Whatever is wrong (a field of the catalogue, a missing folder, a wrong count, a bad checksum) is a
DatasetError that begins with the dataset's id.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

CATALOGUE = Path(__file__).parents[2] / "datasets.yaml"
ROOT_VARIABLE = "BOGV_DATASETS"
Protocol = Literal[
    "leave-one-out", "query-gallery", "revisited", "copy", "groups-of-four", "judged"
]  # fmt: skip
Layout = Literal[
    "any", "cars196", "copydays", "corel1k", "csv", "cub200", "disc21", "gpr1200", "holidays",
    "inaturalist", "inshop", "instre", "judged", "nabirds", "revisited", "revisited-easy",
    "revisited-hard", "sop", "stanford_dogs", "subfolders", "ukbench",
]  # fmt: skip
Metric = Annotated[
    str,
    Field(
        pattern=r"^((hit_rate|recall|precision|ndcg|mp)@[1-9]\d*"
        r"|map|map_trapezoid|map@r|r_precision|mrr|ns)$"
    ),
]
Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][\w.-]*$")]
"""Of a file or folder: never a path, so never one that leads elsewhere."""
Text = Annotated[str, Field(min_length=1)]
Count = Annotated[int, Field(gt=0)]


class DatasetError(ValueError):
    """A dataset is missing or invalid; the message begins with its id."""

    def __init__(self, dataset: str, message: str) -> None:
        super().__init__(f"Dataset {dataset}: {message}")
        self.dataset = dataset


class Strict(BaseModel):
    """Unknown fields are an error."""

    model_config = ConfigDict(extra="forbid", frozen=True)


Marker = Annotated[str, Field(pattern=r"^\w[\w*. /-]*$")]


class File(Strict):
    """A required file: downloaded from `url`, or put into the folder by hand."""

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
    markers: list[Marker] = []


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
    markers: list[Marker] = []


class ExpectedCounts(Strict):
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
    counts: ExpectedCounts = ExpectedCounts()
    protocol: Protocol
    headline: Metric
    anchors: list[Anchor] = []
    overlaps_imagenet: Literal["images", "classes", "none", "unknown"]
    tier: Literal["smoke", "ci", "full"]
    citation: Text

    @model_validator(mode="after")
    def _revisited_has_its_layout(self) -> Spec:
        """Only its layouts have junk, and only that protocol removes it."""
        layout = self.source.layout if isinstance(self.source, Folder) else ""
        if (self.protocol == "revisited") != layout.startswith("revisited"):
            raise ValueError("protocol and layout are both 'revisited' or neither is")
        return self

    @property
    def needs_root(self) -> bool:
        """Whether there have to be files on disk."""
        return not isinstance(self.source, ScikitLearn)


def read_catalogue(path: Path | None = None) -> dict[str, Spec]:
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
            raise DatasetError(spec.id, f"it occurs twice in {path.name}.")
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


def catalogue_entry(spec: Spec | str) -> Spec:
    """The entry itself, or the one of that id. Raises DatasetError for an unknown id."""
    if isinstance(spec, Spec):
        return spec
    specs = read_catalogue()
    if spec not in specs:
        raise DatasetError(spec, f"there is no dataset of that name; there are {', '.join(specs)}.")
    return specs[spec]


def root_of(spec: Spec, root: Path | None = None) -> Path | None:
    """The dataset's folder, which need not be there yet; None where it needs none.

    Raises DatasetError where neither --root nor BOGV_DATASETS says where.
    """
    if not spec.needs_root:
        return None
    if root is not None:
        return _expand(spec, Path(root))
    # A user's own folder is not below the catalogue's.
    if spec.id in {"folder", "judged"}:
        raise DatasetError(spec.id, "give the folder with --root.")
    if not (base := os.environ.get(ROOT_VARIABLE)):
        folder = spec.folder or spec.id
        raise DatasetError(
            spec.id,
            f"name its folder with --root, or set {ROOT_VARIABLE} to the one that has {folder}/.",
        )
    return _expand(spec, Path(base)) / (spec.folder or spec.id)


def _expand(spec: Spec, path: Path) -> Path:
    try:
        return path.expanduser()
    except RuntimeError as error:
        raise DatasetError(spec.id, f"{str(path)!r} names no user's home folder.") from error

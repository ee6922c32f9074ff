"""Reads files on disk as items, queries, gallery and ground truth: the layouts by their names.

One function a layout, here those of plain folders; none knows the catalogue. All sort by path: the
order in which a disk lists its files changes nothing. They raise LayoutError, which
`eval.data.datasets.load` turns into an error that names the dataset.
"""

from __future__ import annotations

import csv
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

from eval.data import instances, metric_learning
from eval.data.files import list_images, list_numbered, path_below
from eval.data.items import LayoutError, RawDataset, all_to_all, file_item
from eval.data.revisited import revisited

Roles = Mapping[str, str]

ROLES = {"query": "query", "gallery": "gallery"}
COREL_CLASSES = (
    *("africa", "beach", "buildings", "buses", "dinosaurs"),
    *("elephants", "flowers", "horses", "mountains", "food"),
)


def subfolders(root: Path) -> RawDataset:
    """The first folder below the root is the label."""
    paths = list_images(root)
    if any(path.parent == root for path in paths):
        raise LayoutError("There are images beside the class folders.")
    return all_to_all([file_item(root, path, path.relative_to(root).parts[0]) for path in paths])


def any_folder(root: Path, roles: Roles = ROLES) -> RawDataset:
    """Labels by `labels.csv`, else by subfolder, else none.

    Images beside class folders have no label. A lone subfolder is no class: with one class,
    everything would be right.
    """
    if (root / "labels.csv").is_file():
        return labels_csv(root, roles)
    paths = list_images(root)
    folders = [path.relative_to(root).parts[:-1] for path in paths]
    labelled = len({folder[0] for folder in folders if folder}) > 1
    return all_to_all(
        [
            file_item(root, path, folder[0] if folder and labelled else None)
            for path, folder in zip(paths, folders, strict=True)
        ]
    )


def labels_csv(root: Path, roles: Roles = ROLES) -> RawDataset:
    """`labels.csv` with the columns path, label and perhaps role; other columns are ignored.

    roles: which of the file's roles is the query's and which the gallery's; rows of any other role
    are left out. Without a column role, each image searches all others.
    """
    rows = sorted(_rows(root / "labels.csv"), key=lambda row: row["path"])
    by_role = "role" in rows[0]
    if by_role:
        rows = [row for row in rows if row["role"] in roles.values()]
    items = [file_item(root, path_below(root, row["path"]), row["label"] or None) for row in rows]
    if not by_role:
        return all_to_all(items)
    queries, gallery = (
        [index for index, row in enumerate(rows) if row["role"] == roles[role]]
        for role in ("query", "gallery")
    )
    if not queries or not gallery:
        raise LayoutError(f"labels.csv has no rows of the roles {sorted(roles.values())}.")
    return RawDataset(items, queries, gallery, by_role=True)


def _rows(path: Path) -> list[dict[str, str]]:
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file, restkey="", restval="")
            if missing := {"path", "label"} - set(reader.fieldnames or ()):
                raise LayoutError(f"labels.csv has no column {sorted(missing)}.")
            rows = list(reader)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise LayoutError(f"labels.csv can't be read: {error}.") from error
    if not rows:
        raise LayoutError("labels.csv has no rows.")
    return rows


def corel1k(root: Path) -> RawDataset:
    """0.jpg to 999.jpg: a hundred of each class in turn."""
    named = list_numbered(root, r"(\d{1,3})")
    return all_to_all([file_item(root, path, COREL_CLASSES[int(n) // 100]) for n, path in named])


LAYOUTS: dict[str, Callable[[Path], RawDataset]] = {
    "any": any_folder,
    "cars196": metric_learning.cars196,
    "copydays": instances.copydays,
    "corel1k": corel1k,
    "csv": labels_csv,
    "cub200": metric_learning.cub200,
    "disc21": instances.disc21,
    "gpr1200": metric_learning.gpr1200,
    "holidays": instances.holidays,
    "inaturalist": metric_learning.inaturalist,
    "inshop": metric_learning.inshop,
    "instre": instances.instre,
    "nabirds": metric_learning.nabirds,
    "revisited": revisited,
    "revisited-easy": partial(revisited, difficulty="easy"),
    "revisited-hard": partial(revisited, difficulty="hard"),
    "sop": metric_learning.sop,
    "stanford_dogs": metric_learning.stanford_dogs,
    "subfolders": subfolders,
    "ukbench": instances.ukbench,
}
"""By the name that a `source` of the catalogue gives; `any` and `csv` take roles too. One more,
`judged`, is in `eval.data.datasets`: its images are those of another dataset."""

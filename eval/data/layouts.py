"""Reads files on disk as items, queries, gallery and ground truth.

One function a layout; none knows the catalogue. All sort by path: the order in which a disk lists
its files changes nothing. They raise LayoutError, which `eval.data.datasets.load` turns into an
error that names the dataset.
"""

from __future__ import annotations

import csv
import pickle
import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from eval.data.items import Item, LayoutError, RawDataset, Truth, all_to_all, file_item, png

Box = tuple[int, int, int, int]
Roles = Mapping[str, str]

ROLES = {"query": "query", "gallery": "gallery"}
COREL_CLASSES = (
    *("africa", "beach", "buildings", "buses", "dinosaurs"),
    *("elephants", "flowers", "horses", "mountains", "food"),
)


# ------------------------------------------------------------------------------ labelled files


def subfolders(root: Path) -> RawDataset:
    """The first folder below the root is the label."""
    paths = _images(root)
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
    paths = _images(root)
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
    items = [file_item(root, _inside(root, row["path"]), row["label"] or None) for row in rows]
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


def _inside(root: Path, name: str) -> Path:
    """The path of a list's entry. Lists are untrusted: entries must stay below the root."""
    path = root / name
    try:
        inside, there = path.resolve().is_relative_to(root.resolve()), path.is_file()
    except (OSError, ValueError) as error:  # too long a name, a NUL in it
        raise LayoutError(f"{name!r} is not a valid path: {error}.") from error
    if not inside:
        raise LayoutError(f"{name!r} leads out of the folder.")
    if not there:
        raise LayoutError(f"There is no file {name!r}.")
    return path


def cub200(root: Path) -> RawDataset:
    """Classes 101 to 200, on which metric learning tests (the first 100 are for training)."""
    base = root / "CUB_200_2011"
    label_of = dict(_fields(base / "image_class_labels.txt", 2))
    items = [
        file_item(root, _inside(base / "images", name), name.split("/")[0])
        for number, name in _fields(base / "images.txt", 2)
        if int(label_of.get(number, 0)) > 100
    ]
    return all_to_all(items)


def sop(root: Path) -> RawDataset:
    """The products of Ebay_test.txt: image_id class_id super_class_id path."""
    base = root / "Stanford_Online_Products"
    rows = list(_fields(base / "Ebay_test.txt", 4))[1:]
    return all_to_all([file_item(root, _inside(base, name), label) for _, label, _, name in rows])


def _fields(path: Path, count: int) -> Iterable[list[str]]:
    try:
        lines = path.read_text("utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise LayoutError(f"The list {path.name} can't be read: {error}.") from error
    for line in lines:
        if fields := line.split():
            if len(fields) != count:
                raise LayoutError(f"{path.name} has a line of {len(fields)} fields: {line!r}.")
            yield fields


def corel1k(root: Path) -> RawDataset:
    """0.jpg to 999.jpg: a hundred of each class in turn."""
    named = _named(root, r"(\d{1,3})")
    return all_to_all([file_item(root, path, COREL_CLASSES[int(n) // 100]) for n, path in named])


def ukbench(root: Path) -> RawDataset:
    """ukbench00000.jpg and so on, in `full/` where the archive has it: four of each object."""
    folder = root / "full" if (root / "full").is_dir() else root
    named = _named(folder, r"ukbench(\d{5})")
    found = all_to_all([file_item(root, path, f"{int(n) // 4:04d}") for n, path in named])
    sizes = Counter(item.label for item in found.items)
    if torn := [label for label, size in sizes.items() if size != 4]:
        raise LayoutError(f"Group {torn[0]} has {sizes[torn[0]]} images instead of four.")
    return found


def holidays(root: Path) -> RawDataset:
    """100000.jpg and so on: the first of each hundred is the query, the others are right.

    All are searched, the other queries too; the query itself is taken out by its id.
    """
    named = _named(root, r"(\d{6})")
    items = [file_item(root, path, number[:4]) for number, path in named]
    queries = [index for index, (number, _) in enumerate(named) if number.endswith("00")]
    return RawDataset(items, queries, list(range(len(items))))


def copydays(root: Path) -> RawDataset:
    """Edits (jpegqual/, crops/, strong/) search for their original among `distractors/`.

    A file's first four digits name its original. An edit keeps its original's name or, where it is
    strong, counts on from it; the same name comes in several folders, so ids are paths.
    """
    originals = {path.name[:4]: path for path in _images(root / "original")}
    edits = [
        path
        for folder in ("crops", "jpegqual", "strong")
        if (root / folder).is_dir()
        for path in _images(root / folder)
    ]
    for path in edits:
        if path.name[:4] not in originals:
            raise LayoutError(f"{path.relative_to(root)} has no original.")
    in_the_way = _images(root / "distractors") if (root / "distractors").is_dir() else []
    labelled = [(path, path.name[:4]) for path in [*originals.values(), *edits]]
    items = [file_item(root, path, label) for path, label in labelled]
    items += [file_item(root, path, None) for path in in_the_way]
    first, last = len(originals), len(labelled)
    gallery = [*range(first), *range(last, len(items))]
    return RawDataset(items, list(range(first, last)), gallery, distractors=len(in_the_way))


def _images(root: Path) -> list[Path]:
    from bogv.sources.folders import find_images

    try:
        found = find_images([root])
    except FileNotFoundError as error:
        raise LayoutError(f"There is no folder {str(root)!r}.") from error
    if not found:
        raise LayoutError(f"There are no images in {str(root)!r}.")
    return sorted((root / path.relative_to(root.absolute()) for path in found), key=Path.as_posix)


def _named(root: Path, pattern: str) -> list[tuple[str, Path]]:
    """Of the images, those whose stem is the pattern, with its first group; sorted by that."""
    matches = ((re.fullmatch(pattern, path.stem), path) for path in _images(root))
    named = [(match[1], path) for match, path in matches if match]
    if not named:
        raise LayoutError(f"No image in {str(root)!r} is called {pattern}.")
    return sorted(named, key=lambda pair: (int(pair[0]), pair[1].as_posix()))


# ------------------------------------------------------------------------------ revisited


def revisited(root: Path) -> RawDataset:
    """Revisited Oxford and Paris, Medium: easy and hard images are right, junk is taken out.

    The query is the part of its photo inside the box; it is no part of the gallery.
    """
    lists = sorted(root.glob("gnd_*.pkl"))
    if len(lists) != 1:
        raise LayoutError(f"There are {len(lists)} files gnd_*.pkl in {str(root)!r}, not one.")
    gallery, queries, ground = _ground_truth(lists[0])
    path_of = {path.stem: path for path in _images(root / "jpg")}
    if missing := [name for name in [*gallery, *queries] if name not in path_of]:
        raise LayoutError(f"{len(missing)} photos are missing, such as {missing[0]!r}.")
    items = [file_item(root, path_of[name], None) for name in gallery]
    answers = [_medium(right, len(gallery)) for right in ground]
    truth = dict(enumerate(answers, len(gallery)))
    for name, right, first in zip(queries, ground, _landmarks(answers), strict=True):
        crop = partial(_cropped, path_of[name], _box(right))
        items.append(Item(path_of[name].relative_to(root).as_posix(), queries[first], crop))
    return RawDataset(items, list(truth), list(range(len(gallery))), truth)


def _ground_truth(path: Path) -> tuple[list[str], list[str], list[Mapping[str, Any]]]:
    try:
        with path.open("rb") as file:
            data = _ArraysOnly(file).load()
        names = [str(name) for name in data["imlist"]]
        queries = [str(name) for name in data["qimlist"]]
        ground = list(data["gnd"])
    except Exception as error:  # a damaged pickle fails in any way
        raise LayoutError(f"{path.name} can't be read: {error}.") from error
    if len(queries) != len(ground):
        raise LayoutError(f"{path.name} has {len(queries)} queries and {len(ground)} answers.")
    return names, queries, ground


class _ArraysOnly(pickle.Unpickler):
    """Reads lists, dicts, strings, numbers and NumPy arrays, and refuses everything else.

    A pickle is a program: one from the internet, read the plain way, can do whatever its author
    likes. It does so through the names that it looks up, and all lookups come through here.
    """

    ALLOWED = frozenset(
        {
            ("_codecs", "encode"),  # how old protocols spell bytes
            ("numpy", "dtype"),
            ("numpy", "ndarray"),
            ("numpy._core.multiarray", "_reconstruct"),
            ("numpy._core.multiarray", "scalar"),
            ("numpy._core.numeric", "_frombuffer"),
        }
    )

    def find_class(self, module: str, name: str) -> Any:
        # NumPy 1 wrote numpy.core; asking NumPy 2 for it warns.
        module = re.sub(r"^numpy\.core\b", "numpy._core", module)
        if (module, name) not in self.ALLOWED:
            raise pickle.UnpicklingError(f"it uses {module}.{name}, which no list needs")
        return super().find_class(module, name)


def _box(right: Mapping[str, Any]) -> Box:
    box = np.asarray(right.get("bbx", ()), dtype=float).ravel()
    if box.shape != (4,) or not (box[0] < box[2] and box[1] < box[3]):
        raise LayoutError(f"A query's box is not left, top, right, bottom: {box.tolist()}.")
    left, top, right_, bottom = (round(side) for side in box.tolist())
    return left, top, right_, bottom


def _medium(right: Mapping[str, Any], size: int) -> Truth:
    easy, hard, junk = (
        np.asarray(right.get(name, ()), dtype=np.intp).ravel().tolist()
        for name in ("easy", "hard", "junk")
    )
    if any(not 0 <= index < size for index in (*easy, *hard, *junk)):
        raise LayoutError("The ground truth names images that its list doesn't have.")
    return Truth(tuple(sorted({*easy, *hard})), tuple(sorted(junk)))


def _landmarks(answers: Sequence[Truth]) -> list[int]:
    """For each query the first one of its landmark: queries that share a relevant image.

    Names don't tell: oxford_002985 is the third query of the landmark of all_souls_000013.
    """
    first = list(range(len(answers)))
    for query, answer in enumerate(answers):
        relevant = set(answer.relevant)
        same = {first[other] for other in range(query) if relevant & set(answers[other].relevant)}
        joined = min(same, default=query)
        first = [joined if landmark in {*same, query} else landmark for landmark in first]
    return first


def _cropped(path: Path, box: Box) -> bytes:
    with Image.open(path) as image:
        return png(np.asarray(image.convert("RGB").crop(box)))


LAYOUTS: dict[str, Callable[[Path], RawDataset]] = {
    "any": any_folder,
    "copydays": copydays,
    "corel1k": corel1k,
    "csv": labels_csv,
    "cub200": cub200,
    "holidays": holidays,
    "revisited": revisited,
    "sop": sop,
    "subfolders": subfolders,
    "ukbench": ukbench,
}
"""By the name that a `source` of the catalogue gives; `any` and `csv` take roles too."""

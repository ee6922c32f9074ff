"""Layouts of datasets of instances (one object, scene or original) and of copies."""

from __future__ import annotations

import csv
from collections import Counter
from functools import partial
from pathlib import Path

from eval.data.files import (
    list_images,
    list_numbered,
    matlab_text,
    path_below,
    read_crop,
    read_matlab,
    to_box,
)
from eval.data.items import Item, LayoutError, RawDataset, Truth, all_to_all, file_item


def ukbench(root: Path) -> RawDataset:
    """ukbench00000.jpg and so on, in `full/` where the archive has it: four of each object."""
    folder = root / "full" if (root / "full").is_dir() else root
    named = list_numbered(folder, r"ukbench(\d{5})")
    found = all_to_all([file_item(root, path, f"{int(n) // 4:04d}") for n, path in named])
    sizes = Counter(item.label for item in found.items)
    if torn := [label for label, size in sizes.items() if size != 4]:
        raise LayoutError(f"Group {torn[0]} has {sizes[torn[0]]} images instead of four.")
    return found


def holidays(root: Path) -> RawDataset:
    """100000.jpg and so on: the first of each hundred is the query, the others are right.

    All are searched, the other queries too; the query itself is taken out by its id.
    """
    named = list_numbered(root, r"(\d{6})")
    items = [file_item(root, path, number[:4]) for number, path in named]
    queries = [index for index, (number, _) in enumerate(named) if number.endswith("00")]
    return RawDataset(items, queries, list(range(len(items))))


def copydays(root: Path) -> RawDataset:
    """Edits (jpegqual/, crops/, strong/) search for their original among `distractors/`.

    A file's first four digits name its original. An edit keeps its original's name or, where it is
    strong, counts on from it; the same name comes in several folders, so ids are paths.
    """
    originals = {path.name[:4]: path for path in list_images(root / "original")}
    edits = [
        path
        for folder in ("crops", "jpegqual", "strong")
        if (root / folder).is_dir()
        for path in list_images(root / folder)
    ]
    for path in edits:
        if path.name[:4] not in originals:
            raise LayoutError(f"{path.relative_to(root)} has no original.")
    in_the_way = list_images(root / "distractors") if (root / "distractors").is_dir() else []
    labelled = [(path, path.name[:4]) for path in [*originals.values(), *edits]]
    items = [file_item(root, path, label) for path, label in labelled]
    items += [file_item(root, path, None) for path in in_the_way]
    first, last = len(originals), len(labelled)
    gallery = [*range(first), *range(last, len(items))]
    return RawDataset(items, list(range(first, last)), gallery, distractors=len(in_the_way))


def instre(root: Path) -> RawDataset:
    """INSTRE in the protocol of Iscen et al. (arXiv:1611.05113), by their gnd_instre.mat.

    `imlist` and `qimlist` are cells of paths (INSTRE-S1/01a_canada_book/001.jpg), `gnd` a struct
    whose first field has the relevant images (1 is the first of imlist) and whose second has the
    query's box: left, top, right, bottom, as aosokin/os2d reads it. The query is the part inside.
    """
    gallery, queries, ground = read_matlab(root / "gnd_instre.mat", "imlist", "qimlist", "gnd")
    if len(queries) != len(ground) or len(ground.dtype.names or ()) < 2:
        raise LayoutError(f"gnd_instre.mat has no images and box for {len(queries)} queries.")
    items = [file_item(root, path_below(root, matlab_text(name)), None) for name in gallery]
    truth = {}
    for name, answer in zip(queries, ground, strict=True):
        relevant = (answer[0].ravel().astype(int) - 1).tolist()
        if any(not 0 <= index < len(gallery) for index in relevant):
            raise LayoutError("gnd_instre.mat names images that its list doesn't have.")
        path = path_below(root, matlab_text(name))
        truth[len(items)] = Truth(tuple(sorted(relevant)))
        inside = partial(read_crop, path, to_box(answer[1]))
        label = path.parent.relative_to(root).as_posix()
        items.append(Item(path.relative_to(root).as_posix(), label, inside))
    return RawDataset(items, list(truth), list(range(len(gallery))), truth)


def disc21(root: Path) -> RawDataset:
    """DISC21 (arXiv:2106.09672), development set: Q00000.jpg and R000000.jpg, wherever they are.

    dev_queries_groundtruth.csv (in the challenge: dev_ground_truth.csv) has a line query,reference
    for each query; a header, and queries without a reference, as in facebookresearch/isc2021, are
    left out. So are the 40,000 queries that are no copies: only the official metric, micro average
    precision over all queries, counts them.
    """
    names = ("dev_queries_groundtruth.csv", "dev_ground_truth.csv")
    lists = [root / name for name in names if (root / name).is_file()]
    if not lists:
        raise LayoutError(f"There is no {names[0]}.")
    original_of = _original_of(lists[0])
    originals = set(original_of.values())
    path_of = {path.stem: path for path in list_images(root)}
    if missing := sorted((originals | set(original_of)) - set(path_of)):
        raise LayoutError(f"{len(missing)} images are missing, such as {missing[0]!r}.")
    references = [name for name in sorted(path_of) if name.startswith("R")]
    items = [
        file_item(root, path_of[name], name if name in originals else None) for name in references
    ]
    queries = sorted(original_of)
    items += [file_item(root, path_of[name], original_of[name]) for name in queries]
    gallery = list(range(len(references)))
    return RawDataset(items, list(range(len(references), len(items))), gallery)


def _original_of(path: Path) -> dict[str, str]:
    try:
        with path.open(encoding="utf-8", newline="") as file:
            rows = [row for row in csv.reader(file) if row and row[0] != "query_id"]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise LayoutError(f"{path.name} can't be read: {error}.") from error
    if wrong := [row for row in rows if len(row) != 2]:
        raise LayoutError(f"{path.name} has a line of {len(wrong[0])} fields: {wrong[0]}.")
    return {query: reference for query, reference in rows if reference}

"""Layouts of the datasets on which metric learning and fine-grained recognition test.

All take the images of the test half alone; but for In-Shop, each searches all others.
"""

from __future__ import annotations

from pathlib import Path

from eval.data.files import (
    list_images,
    matlab_number,
    matlab_text,
    path_below,
    read_fields,
    read_matlab,
)
from eval.data.items import LayoutError, RawDataset, all_to_all, file_item

CARS_TEST = 99
"""The first class of Cars196's test half; classes are counted from 1."""


def cub200(root: Path) -> RawDataset:
    """Classes 101 to 200, on which metric learning tests (the first 100 are for training)."""
    base = root / "CUB_200_2011"
    label_of = dict(read_fields(base / "image_class_labels.txt", 2))
    items = [
        file_item(root, path_below(base / "images", name), name.split("/")[0])
        for number, name in read_fields(base / "images.txt", 2)
        if int(label_of.get(number, 0)) > 100
    ]
    return all_to_all(items)


def sop(root: Path) -> RawDataset:
    """The products of Ebay_test.txt: image_id class_id super_class_id path."""
    base = root / "Stanford_Online_Products"
    rows = read_fields(base / "Ebay_test.txt", 4, skip=1)
    return all_to_all(
        [file_item(root, path_below(base, name), label) for _, label, _, name in rows]
    )


def inshop(root: Path) -> RawDataset:
    """DeepFashion's In-Shop: queries search the gallery of Eval/list_eval_partition.txt.

    Its first line is the number of images, its second names the columns: image_name item_id
    evaluation_status (train, query or gallery). Images are in Img/img/, or in img/.
    """
    base = root / "Img" if (root / "Img" / "img").is_dir() else root
    rows = [
        row
        for row in read_fields(root / "Eval" / "list_eval_partition.txt", 3, skip=2)
        if row[2] != "train"
    ]
    items = [file_item(root, path_below(base, name), label) for name, label, _ in rows]
    queries, gallery = (
        [index for index, row in enumerate(rows) if row[2] == role] for role in ("query", "gallery")
    )
    return RawDataset(items, queries, gallery)


def cars196(root: Path) -> RawDataset:
    """Classes 99 to 196, whichever half of the original, classifying split they were in.

    Either cars_annos.mat and car_ims/, or cars_train/, cars_test/ and, in the root or in devkit/,
    cars_train_annos.mat and cars_test_annos_withlabels.mat. Numbers are counted from 1.
    Split: Song et al., arXiv:1511.06452.
    """
    if (root / "cars_annos.mat").is_file():
        parts = [(root, root / "cars_annos.mat", "relative_im_path")]
    else:
        lists = {"cars_train": "cars_train_annos", "cars_test": "cars_test_annos_withlabels"}
        parts = [
            (root / folder, _in_root_or_devkit(root, f"{name}.mat"), "fname")
            for folder, name in lists.items()
        ]
    items = []
    for base, path, field in parts:
        (rows,) = read_matlab(path, "annotations")
        if missing := {field, "class"} - set(rows.dtype.names or ()):
            raise LayoutError(f"{path.name} has no field {sorted(missing)}.")
        labelled = [(matlab_text(row[field]), matlab_number(row["class"])) for row in rows]
        items += [
            file_item(root, path_below(base, name), f"{label:03d}")
            for name, label in labelled
            if label >= CARS_TEST
        ]
    return all_to_all(items)


def _in_root_or_devkit(root: Path, name: str) -> Path:
    return root / name if (root / name).is_file() else root / "devkit" / name


def stanford_dogs(root: Path) -> RawDataset:
    """The images of test_list.mat, whose `file_list` has paths below Images/."""
    (names,) = read_matlab(root / "test_list.mat", "file_list")
    paths = [path_below(root / "Images", matlab_text(name)) for name in names]
    return all_to_all([file_item(root, path, path.parent.name) for path in paths])


def nabirds(root: Path) -> RawDataset:
    """The images with a 0 in train_test_split.txt; all lists begin with the image's id."""
    base = root / "nabirds"
    label_of = dict(read_fields(base / "image_class_labels.txt", 2))
    is_training = dict(read_fields(base / "train_test_split.txt", 2))
    items = []
    for number, name in read_fields(base / "images.txt", 2):
        if number not in label_of or number not in is_training:
            raise LayoutError(f"Image {number} has no class or is in no half.")
        if is_training[number] == "0":
            items.append(file_item(root, path_below(base / "images", name), label_of[number]))
    return all_to_all(items)


def inaturalist(root: Path) -> RawDataset:
    """iNaturalist 2018, the species of Inaturalist_test_set1.txt (Smooth-AP, arXiv:2007.12163).

    Each line is a path, train_val2018/Aves/2761/x.jpg, whose folders are the species: the
    competition's JSON files, with the same numbers as `category_id`, are not needed.
    """
    name = "Inaturalist_test_set1.txt"
    splits = root / "Inat_dataset_splits"
    paths = [
        path_below(root, line)
        for (line,) in read_fields((splits if splits.is_dir() else root) / name, 1)
    ]
    return all_to_all([file_item(root, path, "/".join(path.parts[-3:-1])) for path in paths])


def gpr1200(root: Path) -> RawDataset:
    """images/{category}_{original name}.jpg, as the README of Visual-Computing/GPR1200 says."""
    paths = list_images(root / "images")
    if wrong := [path.name for path in paths if not path.name.partition("_")[0].isdigit()]:
        raise LayoutError(f"{wrong[0]!r} doesn't begin with the number of its category.")
    return all_to_all([file_item(root, path, path.name.partition("_")[0]) for path in paths])

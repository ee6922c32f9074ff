from __future__ import annotations

import pickle
import struct
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from eval.data.catalogue import DatasetError, ExpectedCounts
from eval.data.datasets import load
from tests.eval.support.datasets import ids, listed, pictures, pixels


def test_digits_are_always_there() -> None:
    dataset = load("digits")
    assert len(dataset.items) == len(dataset.queries) == len(dataset.gallery) == 1797
    first = pixels(dataset.items[0].read())
    assert (first.shape, first.min(), first.max()) == ((8, 8), 0, 239)
    assert dataset.items[0].read() == load("digits").items[0].read()


def idx(path: Path, array: Any) -> None:
    """The format of MNIST's files."""
    path.parent.mkdir(parents=True, exist_ok=True)
    header = struct.pack(f">HBB{array.ndim}I", 0, 8, array.ndim, *array.shape)
    path.write_bytes(header + array.astype(np.uint8).tobytes())


def made_up_fashionmnist(root: Path) -> None:
    images = np.arange(2 * 28 * 28).reshape(2, 28, 28) % 256
    for prefix in ("train", "t10k"):
        idx(root / f"FashionMNIST/raw/{prefix}-images-idx3-ubyte", images)
        idx(root / f"FashionMNIST/raw/{prefix}-labels-idx1-ubyte", np.array([9, 0]))


def made_up_pets(root: Path) -> None:
    base = root / "oxford-iiit-pet"
    pictures(base / "images", "Abyssinian_1.jpg", "pug_2.jpg")
    (base / "annotations").mkdir()
    (base / "annotations/test.txt").write_text("Abyssinian_1 1 1 1\npug_2 2 2 1\n")


def made_up_caltech(root: Path) -> None:
    names = ["Faces/image_0001.jpg", "ant/image_0001.jpg", "ant/image_0002.jpg"]
    base = root / "caltech101/101_ObjectCategories"
    pictures(base, *names, "BACKGROUND_Google/image_0001.jpg")


def made_up_food(root: Path) -> None:
    base = root / "food-101"
    pictures(base / "images", "pho/1.jpg", "pho/2.jpg", "ramen/1.jpg")
    (base / "meta").mkdir()
    (base / "meta/test.json").write_text('{"ramen": ["ramen/1"], "pho": ["pho/2", "pho/1"]}')


def made_up_dtd(root: Path) -> None:
    base = root / "dtd/dtd"
    pictures(base / "images", *(f"{name}/1.jpg" for name in ("dotted", "woven", "waffled")))
    (base / "labels").mkdir()
    for split, name in (("train", "dotted"), ("val", "woven"), ("test", "waffled")):
        (base / f"labels/{split}1.txt").write_text(f"{name}/1.jpg\n")


def made_up_eurosat(root: Path) -> None:
    pictures(root / "eurosat/2750", "Forest/1.jpg", "Forest/2.jpg", "River/1.jpg")


@pytest.mark.parametrize(
    ("name", "make", "labels"),
    [
        ("fashionmnist", made_up_fashionmnist, ["Ankle boot", "T-shirt/top"]),
        ("oxford_pet", made_up_pets, ["Abyssinian", "Pug"]),
        ("caltech101", made_up_caltech, ["Faces", "ant", "ant"]),
        ("food101", made_up_food, ["pho", "pho", "ramen"]),
        ("dtd", made_up_dtd, ["dotted", "waffled", "woven"]),
        ("eurosat", made_up_eurosat, ["Forest", "Forest", "River"]),
    ],
)
def test_torchvisions_datasets_are_read_where_it_puts_them(
    tmp_path: Path, name: str, make: Callable[[Path], None], labels: list[str]
) -> None:
    make(tmp_path)
    with pytest.raises(DatasetError, match=f"{name}: .* images instead of"):
        load(name, tmp_path)
    dataset = load(listed(name, counts=ExpectedCounts(images=len(labels))), tmp_path)
    assert sorted(ids(dataset)) == ids(dataset)
    assert sorted(str(item.label) for item in dataset.items) == labels
    assert all(pixels(item.read()).ndim >= 2 for item in dataset.items)


def test_cifar10_arrays_become_png(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from torchvision.datasets import CIFAR10

    data = np.arange(2 * 3072).reshape(2, 3072).astype(np.uint8)
    base = tmp_path / CIFAR10.base_folder
    base.mkdir()
    (base / "test_batch").write_bytes(pickle.dumps({"data": data, "labels": [1, 0]}))
    (base / "batches.meta").write_bytes(pickle.dumps({"label_names": ["airplane", "automobile"]}))
    monkeypatch.setattr(CIFAR10, "_check_integrity", lambda _: True)
    monkeypatch.setattr(CIFAR10, "meta", {**CIFAR10.meta, "md5": None})
    dataset = load(listed("cifar10"), tmp_path)
    assert [item.label for item in dataset.items] == ["automobile", "airplane"]
    expected = data[1].reshape(3, 32, 32).transpose(1, 2, 0)
    assert np.array_equal(pixels(dataset.items[1].read()), expected)


def test_flowers102_is_read_from_matlab_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    savemat = import_module("scipy.io").savemat  # which has no types
    from torchvision.datasets import Flowers102

    base = tmp_path / "flowers-102"
    pictures(base / "jpg", "image_00001.jpg", "image_00002.jpg")
    savemat(base / "imagelabels.mat", {"labels": [1, 102]})
    savemat(base / "setid.mat", {"tstid": [1, 2]})
    monkeypatch.setattr(Flowers102, "_check_integrity", lambda _: True)
    dataset = load(listed("flowers102"), tmp_path)
    assert [item.label for item in dataset.items] == ["pink primrose", "blackberry lily"]
    assert dataset.items[0].read() == (base / "jpg/image_00001.jpg").read_bytes()


def test_a_dataset_that_torchvision_has_not_fetched_yet_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"eurosat: .*not found.*eval fetch eurosat"):
        load("eurosat", tmp_path)

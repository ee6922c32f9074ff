from __future__ import annotations

import csv
import os
from pathlib import Path
from typing import Any

import pytest

from eval.data.catalogue import DatasetError
from eval.data.datasets import load
from tests.eval.support.datasets import found, ids, listed, picture, pictures, spec


def test_labels_come_from_subfolders(tmp_path: Path) -> None:
    dataset = load("folder", pictures(tmp_path, "cat/1.png", "cat/deep/2.png", "dog/1.png"))
    assert [item.label for item in dataset.items] == ["cat", "cat", "dog"]
    assert found(dataset, 0) == {"cat/deep/2.png"}
    assert found(dataset, 2) == set()


def test_images_beside_the_class_folders_have_no_label(tmp_path: Path) -> None:
    dataset = load("folder", pictures(tmp_path, "0.png", "1.png", "cat/1.png", "dog/1.png"))
    assert [item.label for item in dataset.items] == [None, None, "cat", "dog"]
    assert found(dataset, 0) == set()


@pytest.mark.parametrize("names", [("1.png", "2.png"), ("photos/1.png", "photos/2.png")])
def test_a_heap_and_a_lone_subfolder_have_no_labels(tmp_path: Path, names: tuple[str, ...]) -> None:
    dataset = load("folder", pictures(tmp_path, *names))
    assert [item.label for item in dataset.items] == [None, None]
    assert dataset.relevant(0).size == 0


def test_labels_come_from_a_csv_with_a_byte_order_mark_and_quotes(tmp_path: Path) -> None:
    pictures(tmp_path, "a, b.png", "ü.png", "c.png", "unlisted.png")
    with (tmp_path / "labels.csv").open("w", encoding="utf-8-sig", newline="") as file:
        writer = csv.writer(file)
        writer.writerows([["path", "label"], ["a, b.png", "x"], ["ü.png", "x"], ["c.png", ""]])
    dataset = load("folder", tmp_path)
    assert {item.id: item.label for item in dataset.items} == {
        "a, b.png": "x",
        "c.png": None,
        "ü.png": "x",
    }
    assert dataset.spec.protocol == "leave-one-out"


def test_roles_in_a_csv_change_the_protocol(tmp_path: Path) -> None:
    pictures(tmp_path, "1.png", "2.png", "3.png")
    rows = ["path,label,role", "1.png,x,query", "2.png,x,gallery", "3.png,y,gallery"]
    (tmp_path / "labels.csv").write_text("\n".join(rows), "utf-8")
    dataset = load("folder", tmp_path)
    assert dataset.spec.protocol == "query-gallery"
    assert (dataset.queries, dataset.gallery) == ([0], [1, 2])
    assert found(dataset, 0) == {"2.png"}


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("path,class\n1.png,x\n", "no column"),
        ("path,label\n", "no rows"),
        ("path,label\n2.png,x\n", "no file '2.png'"),
        ("path,label\n../secret.png,x\n", "leads out"),
        ("path,label\n/etc/passwd,x\n", "leads out"),
        ("path,label\n,x\n", "no file ''"),
        ("path,label\na\0b,x\n", "labels"),
        ("path,label\n1.png,x\n1.png,y\n", "occur twice"),
        ("path,label,role\n1.png,x,query\n", "no rows of the roles"),
    ],
)
def test_a_csv_that_is_wrong_is_an_error(tmp_path: Path, text: str, what: str) -> None:
    picture(tmp_path / "secret.png")
    pictures(tmp_path / "mine", "1.png")
    (tmp_path / "mine" / "labels.csv").write_text(text, "utf-8")
    with pytest.raises(DatasetError, match=r"^Dataset folder: ") as caught:
        load("folder", tmp_path / "mine")
    assert what in str(caught.value)


def test_a_csv_file_that_is_not_utf_8_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "labels.csv").write_bytes(b"path,label\n\xff.png,x\n")
    with pytest.raises(DatasetError, match=r"labels\.csv can't be read"):
        load("folder", tmp_path)


def test_the_order_of_files_on_disk_changes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = [f"{label}/{number}.png" for label in "ab" for number in range(5)]
    pictures(tmp_path / "one", *names)
    pictures(tmp_path / "two", *reversed(names))
    walk = os.walk

    def backwards(top: Any) -> Any:
        for parent, folders, files in walk(top):
            folders.reverse()
            yield parent, folders, files[::-1]

    one = load("folder", tmp_path / "one", limit=6)
    monkeypatch.setattr(os, "walk", backwards)
    two = load("folder", tmp_path / "two", limit=6)
    assert ids(one) == ids(two)
    assert one.queries == two.queries


def test_a_class_needs_a_folder_of_its_own(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="beside the class folders"):
        load(spec(), pictures(tmp_path, "1.png", "cat/1.png"))


def test_corel_has_a_hundred_of_each_class_in_turn(tmp_path: Path) -> None:
    dataset = load(listed("corel1k"), pictures(tmp_path, "0.jpg", "99.jpg", "100.jpg", "999.jpg"))
    assert [item.label for item in dataset.items] == ["africa", "africa", "beach", "food"]


def test_names_that_no_layout_knows_are_an_error(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="No image in"):
        load(listed("corel1k"), pictures(tmp_path, "elephant.jpg"))

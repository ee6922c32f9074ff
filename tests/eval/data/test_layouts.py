from __future__ import annotations

import csv
import os
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from eval.data.catalogue import DatasetError, ExpectedCounts
from eval.data.datasets import load
from tests.eval.support.datasets import found, ids, listed, picture, pictures, pixels, spec


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


def test_cub200_is_its_second_hundred_classes(tmp_path: Path) -> None:
    base = tmp_path / "CUB_200_2011"
    names = ["100.Pelican/1.jpg", "101.Pelican/2.jpg", "101.Pelican/1.jpg", "200.Wren/1.jpg"]
    pictures(base / "images", *names)
    lines = "".join(f"{number} {name}\n" for number, name in enumerate(names, 1))
    (base / "images.txt").write_text(lines)
    (base / "image_class_labels.txt").write_text("1 100\n2 101\n3 101\n4 200\n")
    dataset = load(listed("cub200"), tmp_path)
    assert [item.label for item in dataset.items] == ["101.Pelican", "101.Pelican", "200.Wren"]
    assert found(dataset, 0) == {"CUB_200_2011/images/101.Pelican/1.jpg"}


def test_sop_has_the_products_of_its_test_list(tmp_path: Path) -> None:
    base = tmp_path / "Stanford_Online_Products"
    pictures(base, "mug_final/1_0.JPG", "mug_final/1_1.JPG", "mug_final/2_0.JPG", "train.JPG")
    rows = ["image_id class_id super_class_id path"]
    rows += ["1 11319 8 mug_final/1_0.JPG", "2 11319 8 mug_final/1_1.JPG"]
    rows += ["3 11320 8 mug_final/2_0.JPG"]
    (base / "Ebay_test.txt").write_text("\n".join(rows))
    dataset = load(listed("sop"), tmp_path)
    assert [item.label for item in dataset.items] == ["11319", "11319", "11320"]


@pytest.mark.parametrize("text", ["1 2\n1 2 3\n", None])
def test_a_list_that_is_wrong_or_missing_is_an_error(tmp_path: Path, text: str | None) -> None:
    base = tmp_path / "Stanford_Online_Products"
    base.mkdir()
    if text is not None:
        (base / "Ebay_test.txt").write_text(text)
    with pytest.raises(DatasetError, match=r"sop: .*Ebay_test\.txt"):
        load("sop", tmp_path)


def test_holidays_search_with_the_first_of_each_hundred(tmp_path: Path) -> None:
    pictures(tmp_path / "jpg", "100000.jpg", "100001.jpg", "100002.jpg", "100100.jpg", "100101.jpg")
    dataset = load(listed("holidays"), tmp_path)
    assert dataset.queries == [0, 3]
    assert dataset.gallery == [0, 1, 2, 3, 4]
    assert found(dataset, 0) == {"jpg/100001.jpg", "jpg/100002.jpg"}
    assert found(dataset, 3) == {"jpg/100101.jpg"}


def test_ukbench_has_groups_of_four(tmp_path: Path) -> None:
    names = [f"full/ukbench{number:05d}.jpg" for number in range(8)]
    pictures(tmp_path, *names, "thumbnails/ukbench00000.jpg")
    dataset = load(listed("ukbench"), tmp_path)
    assert len(dataset.items) == 8
    assert found(dataset, 5) == {names[4], names[6], names[7]}


def test_ukbench_with_a_torn_group_is_an_error(tmp_path: Path) -> None:
    pictures(tmp_path, *(f"ukbench{number:05d}.jpg" for number in range(7)))
    with pytest.raises(DatasetError, match="Group 0001 has 3 images instead of four"):
        load(listed("ukbench"), tmp_path)


def test_copydays_search_for_the_original_among_distractors(tmp_path: Path) -> None:
    pictures(tmp_path / "original", "200000.jpg", "200100.jpg")
    edits = ["crops/10/200000.jpg", "jpegqual/3/200100.jpg", "strong/200101.jpg"]
    pictures(tmp_path, *edits, "distractors/x/holiday.jpg")
    counts = ExpectedCounts(images=5, classes=2, queries=3, gallery=2)
    dataset = load(listed("copydays", counts=counts), tmp_path)
    assert [dataset.items[index].id for index in dataset.queries] == edits
    assert [dataset.items[index].id for index in dataset.gallery] == [
        *("original/200000.jpg", "original/200100.jpg", "distractors/x/holiday.jpg"),
    ]
    assert [found(dataset, query) for query in dataset.queries] == [
        *({"original/200000.jpg"}, {"original/200100.jpg"}, {"original/200100.jpg"}),
    ]


def test_a_copy_without_an_original_is_an_error(tmp_path: Path) -> None:
    pictures(tmp_path, "original/200000.jpg", "strong/200301.jpg")
    with pytest.raises(DatasetError, match=r"strong/200301\.jpg has no original"):
        load(listed("copydays"), tmp_path)


def test_corel_has_a_hundred_of_each_class_in_turn(tmp_path: Path) -> None:
    dataset = load(listed("corel1k"), pictures(tmp_path, "0.jpg", "99.jpg", "100.jpg", "999.jpg"))
    assert [item.label for item in dataset.items] == ["africa", "africa", "beach", "food"]


def test_names_that_no_layout_knows_are_an_error(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="No image in"):
        load(listed("corel1k"), pictures(tmp_path, "elephant.jpg"))


def revisited(root: Path, ground: Any = None, protocol: int = pickle.HIGHEST_PROTOCOL) -> Path:
    """Four gallery photos and one query, whose box is the right half."""
    pictures(root / "jpg", *(f"{name}.jpg" for name in ("easy_1", "hard_1", "junk_1", "other_1")))
    query = Image.new("RGB", (8, 6), (255, 0, 0))
    query.paste((0, 0, 255), (4, 0, 8, 6))
    query.save(root / "jpg" / "all_souls_000013.jpg", quality=100, subsampling=0)
    answer = {
        "bbx": [4.2, 0.0, 8.0, 5.9],
        "easy": np.array([0]),
        "hard": [1],
        "junk": np.array([2], dtype=np.int32),
    }
    data = {
        "imlist": ["easy_1", "hard_1", "junk_1", "other_1"],
        "qimlist": ["all_souls_000013"],
        "gnd": [{**answer, **(ground or {})}],
    }
    with (root / "gnd_roxford5k.pkl").open("wb") as file:
        pickle.dump(data, file, protocol=protocol)
    return root


@pytest.mark.parametrize("protocol", [0, 2, 4, 5])
def test_revisited_takes_easy_and_hard_for_right_and_junk_out(
    tmp_path: Path, protocol: int
) -> None:
    dataset = load(listed("roxford5k"), revisited(tmp_path, protocol=protocol))
    assert dataset.gallery == [0, 1, 2, 3]
    assert dataset.queries == [4]
    assert found(dataset, 4) == {"jpg/easy_1.jpg", "jpg/hard_1.jpg"}
    assert [dataset.items[index].id for index in dataset.junk(4)] == ["jpg/junk_1.jpg"]


def test_a_revisited_query_is_cropped_to_its_box(tmp_path: Path) -> None:
    dataset = load(listed("roxford5k"), revisited(tmp_path))
    crop = pixels(dataset.items[4].read())
    assert crop.shape == (6, 4, 3)
    assert crop[..., 2].min() > 200
    assert crop[..., 0].max() < 50


def test_revisited_queries_that_share_a_relevant_photo_are_of_one_landmark(tmp_path: Path) -> None:
    root = revisited(tmp_path)
    names = ["all_souls_000013", "oxford_002985", "ashmolean_000058", "oxford_003410"]
    pictures(root / "jpg", *(f"{name}.jpg" for name in names))
    box = {"bbx": [0, 0, 4, 4]}
    data = {
        "imlist": ["easy_1", "hard_1", "junk_1", "other_1"],
        "qimlist": names,
        "gnd": [
            {**box, "easy": [0], "hard": [], "junk": [2]},
            {**box, "easy": [], "hard": [1], "junk": []},
            {**box, "easy": [3], "hard": [], "junk": [2]},
            {**box, "easy": [1], "hard": [0], "junk": []},
        ],
    }
    (root / "gnd_roxford5k.pkl").write_bytes(pickle.dumps(data))
    dataset = load(listed("roxford5k"), root)
    first, other = "all_souls_000013", "ashmolean_000058"
    assert [dataset.unit(query) for query in dataset.queries] == [first, first, other, first]
    assert dataset.unit_name == "landmark"


def test_a_sample_of_revisited_keeps_right_and_junk(tmp_path: Path) -> None:
    root = revisited(tmp_path)
    with (root / "gnd_roxford5k.pkl").open("rb") as file:
        data = pickle.load(file)  # noqa: S301 - written by this test
    more = [f"other_{number}" for number in range(2, 9)]
    pictures(root / "jpg", *(f"{name}.jpg" for name in more))
    data["imlist"] = [*more, *data["imlist"]]
    data["gnd"][0].update(easy=[7], hard=[8], junk=[9])
    (root / "gnd_roxford5k.pkl").write_bytes(pickle.dumps(data))
    dataset = load(listed("roxford5k"), root, limit=9)
    (query,) = dataset.queries
    assert len(dataset.items) == 9
    assert query not in dataset.gallery
    assert found(dataset, query) == {"jpg/easy_1.jpg", "jpg/hard_1.jpg"}
    assert [dataset.items[index].id for index in dataset.junk(query)] == ["jpg/junk_1.jpg"]


@pytest.mark.parametrize(
    ("ground", "what"),
    [
        ({"bbx": [1, 2, 3]}, "box"),
        ({"bbx": [5, 0, 4, 6]}, "box"),
        ({"easy": [4]}, "that its list doesn't have"),
        ({"junk": [-1]}, "that its list doesn't have"),
    ],
)
def test_ground_truth_that_can_not_be_is_an_error(
    tmp_path: Path, ground: dict[str, Any], what: str
) -> None:
    with pytest.raises(DatasetError, match=what):
        load(listed("roxford5k"), revisited(tmp_path, ground))


class Hostile:
    """Unpickled the plain way, this makes a folder; it could do anything."""

    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.target),)


def test_a_hostile_pickle_is_refused(tmp_path: Path) -> None:
    root = revisited(tmp_path / "root", {"easy": Hostile(tmp_path / "done")})
    with pytest.raises(DatasetError, match=r"roxford5k: .*mkdir, which no list needs"):
        load(listed("roxford5k"), root)
    assert not (tmp_path / "done").exists()


@pytest.mark.parametrize("data", [b"", b"\x80\x04nonsense", pickle.dumps([1]), pickle.dumps({})])
def test_a_damaged_pickle_is_an_error(tmp_path: Path, data: bytes) -> None:
    (revisited(tmp_path) / "gnd_roxford5k.pkl").write_bytes(data)
    with pytest.raises(DatasetError, match=r"gnd_roxford5k\.pkl can't be read"):
        load(listed("roxford5k"), tmp_path)


def test_missing_photos_and_a_missing_list_are_errors(tmp_path: Path) -> None:
    root = revisited(tmp_path)
    (root / "jpg" / "hard_1.jpg").unlink()
    with pytest.raises(DatasetError, match="1 photos are missing, such as 'hard_1'"):
        load(listed("roxford5k"), root)
    (root / "gnd_roxford5k.pkl").unlink()
    with pytest.raises(DatasetError, match=r"0 files gnd_\*\.pkl"):
        load(listed("roxford5k"), root)

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from eval.data.catalogue import DatasetError, ExpectedCounts
from eval.data.datasets import load
from tests.eval.support.datasets import found, ids, labels, listed, pictures, pixels, write_matlab


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


BOOK, CUP = "INSTRE-S1/01a_canada_book", "INSTRE-S2/01_cup"


def instre(root: Path, **changes: Any) -> Path:
    """Three searched images, and a query of each of two objects."""
    gallery = [f"{BOOK}/002.jpg", f"{CUP}/002.jpg", "INSTRE-M/01/001.jpg"]
    queries = [f"{BOOK}/001.jpg", f"{CUP}/001.jpg"]
    pictures(root, *gallery, *queries)
    Image.new("RGB", (20, 10)).save(root / queries[0])
    # Names and positions as in gnd_instre.mat: images from 1, and left, top, right, bottom.
    ground = np.array(
        [[(np.array([[1, 3]]), np.array([[2.0, 1, 8, 5]])), (np.array([[2]]), [[0.0, 0, 8, 6]])]],
        dtype=[("ok", object), ("bbx", object)],
    )
    write_matlab(
        root / "gnd_instre.mat", **{"imlist": gallery, "qimlist": queries, "gnd": ground, **changes}
    )
    return root


def test_instre_queries_are_cropped_and_search_by_their_list(tmp_path: Path) -> None:
    dataset = load(listed("instre"), instre(tmp_path))
    assert (dataset.gallery, dataset.queries) == ([0, 1, 2], [3, 4])
    assert found(dataset, 3) == {f"{BOOK}/002.jpg", "INSTRE-M/01/001.jpg"}
    assert found(dataset, 4) == {f"{CUP}/002.jpg"}
    assert [dataset.unit(query) for query in dataset.queries] == [BOOK, CUP]
    assert pixels(dataset.items[3].read()).shape == (4, 6, 3)


@pytest.mark.parametrize(
    ("changes", "what"),
    [
        ({"imlist": ["INSTRE-M/01/001.jpg"]}, "names images that its list doesn't have"),
        ({"qimlist": ["a.jpg"]}, "no images and box for 1 queries"),
        ({"gnd": [1, 2]}, "no images and box for 2 queries"),
        ({"imlist": ["../a.jpg", "b.jpg", "c.jpg"]}, "leads out|no file"),
    ],
)
def test_an_instre_list_that_is_wrong_is_an_error(
    tmp_path: Path, changes: dict[str, Any], what: str
) -> None:
    with pytest.raises(DatasetError, match=f"^Dataset instre: .*({what})"):
        load(listed("instre"), instre(tmp_path, **changes))


def test_a_damaged_matlab_file_is_an_error(tmp_path: Path) -> None:
    (instre(tmp_path) / "gnd_instre.mat").write_bytes(b"MATLAB 5.0 no more")
    with pytest.raises(DatasetError, match=r"gnd_instre\.mat can't be read"):
        load(listed("instre"), tmp_path)


def disc21(root: Path, text: str, name: str = "dev_queries_groundtruth.csv") -> Path:
    pictures(root / "refs_50k_0" / "images", "R000000.jpg", "R000001.jpg", "R000002.jpg")
    pictures(root / "dev_queries_50k_0", "Q00000.jpg", "Q00001.jpg", "Q00002.jpg", "Q00003.jpg")
    (root / name).write_text(text)
    return root


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("dev_queries_groundtruth.csv", "Q00000,R000002\nQ00003,R000002\nQ00001,R000000\n"),
        (
            "dev_ground_truth.csv",
            "query_id,reference_id\nQ00000,R000002\nQ00001,R000000\nQ00002,\nQ00003,R000002\n",
        ),
    ],
)
def test_disc21_searches_with_the_queries_that_are_copies(
    tmp_path: Path, name: str, text: str
) -> None:
    dataset = load(listed("disc21"), disc21(tmp_path, text, name))
    assert [Path(each).stem for each in ids(dataset)] == [
        *("R000000", "R000001", "R000002", "Q00000", "Q00001", "Q00003"),
    ]
    assert labels(dataset) == ["R000000", None, "R000002", "R000002", "R000000", "R000002"]
    assert (dataset.queries, dataset.gallery) == ([3, 4, 5], [0, 1, 2])
    assert found(dataset, 3) == {"refs_50k_0/images/R000002.jpg"}
    assert dataset.unit_name == "group"


@pytest.mark.parametrize(
    ("text", "what"),
    [("Q00009,R000000", "1 images are missing, such as 'Q00009'"), ("Q00000", "1 fields")],
)
def test_a_disc21_list_that_is_wrong_is_an_error(tmp_path: Path, text: str, what: str) -> None:
    with pytest.raises(DatasetError, match=what):
        load(listed("disc21"), disc21(tmp_path, text))


def test_disc21_without_its_list_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"no dev_queries_groundtruth\.csv"):
        load(listed("disc21"), disc21(tmp_path, "", "other.csv"))

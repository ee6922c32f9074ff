from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from eval.data.catalogue import DatasetError
from eval.data.datasets import load
from tests.eval.support.datasets import found, ids, labels, listed, pictures, write_matlab


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


@pytest.mark.parametrize("folder", ["Img", "."])
def test_inshop_queries_search_its_gallery(tmp_path: Path, folder: str) -> None:
    dresses = "img/WOMEN/Dresses"
    rows = [
        (f"{dresses}/id_00000001/02_1_front.jpg", "id_00000001", "train"),
        (f"{dresses}/id_00000002/02_1_front.jpg", "id_00000002", "query"),
        (f"{dresses}/id_00000002/02_2_side.jpg", "id_00000002", "gallery"),
        (f"{dresses}/id_00000007/01_1_front.jpg", "id_00000007", "gallery"),
    ]
    pictures(tmp_path / folder, *(name for name, _, _ in rows))
    (tmp_path / "Eval").mkdir()
    lines = ["4", "image_name item_id evaluation_status", *("  ".join(row) for row in rows)]
    (tmp_path / "Eval/list_eval_partition.txt").write_text("\n".join(lines))
    dataset = load(listed("inshop"), tmp_path)
    assert labels(dataset) == ["id_00000002", "id_00000002", "id_00000007"]
    assert (dataset.queries, dataset.gallery) == ([0], [1, 2])
    assert {Path(name).name for name in found(dataset, 0)} == {"02_2_side.jpg"}


def cars(fields: list[str], *rows: tuple[object, ...]) -> np.ndarray:
    return np.array([list(rows)], dtype=[(field, object) for field in fields])


BOX = ["bbox_x1", "bbox_y1", "bbox_x2", "bbox_y2"]


def test_cars196_is_its_second_ninety_eight_classes(tmp_path: Path) -> None:
    names = [f"car_ims/{number:06d}.jpg" for number in (1, 2, 3, 4)]
    pictures(tmp_path, *names)
    rows = [
        (name, 1, 1, 8, 6, label, test)
        for name, label, test in zip(names, (98, 99, 99, 196), (0, 0, 1, 1), strict=True)
    ]
    annotations = cars(["relative_im_path", *BOX, "class", "test"], *rows)
    write_matlab(tmp_path / "cars_annos.mat", annotations=annotations)
    dataset = load(listed("cars196"), tmp_path)
    assert (ids(dataset), labels(dataset)) == (names[1:], ["099", "099", "196"])


@pytest.mark.parametrize("folder", [".", "devkit"])
def test_cars196_takes_both_halves_of_the_devkit(tmp_path: Path, folder: str) -> None:
    pictures(tmp_path, "cars_train/00001.jpg", "cars_train/00002.jpg", "cars_test/00001.jpg")
    train = cars(
        [*BOX, "class", "fname"], (1, 1, 8, 6, 1, "00001.jpg"), (1, 1, 8, 6, 99, "00002.jpg")
    )
    test = cars([*BOX, "class", "fname"], (1, 1, 8, 6, 99, "00001.jpg"))
    write_matlab(tmp_path / "devkit/cars_train_annos.mat", annotations=train)
    write_matlab(tmp_path / folder / "cars_test_annos_withlabels.mat", annotations=test)
    dataset = load(listed("cars196"), tmp_path)
    assert ids(dataset) == ["cars_train/00002.jpg", "cars_test/00001.jpg"]
    assert labels(dataset) == ["099", "099"]


def test_a_list_of_cars_without_classes_is_an_error(tmp_path: Path) -> None:
    write_matlab(tmp_path / "cars_annos.mat", annotations=cars(["relative_im_path"], ("1.jpg",)))
    with pytest.raises(DatasetError, match=r"cars_annos\.mat has no field \['class'\]"):
        load(listed("cars196"), tmp_path)


def test_stanford_dogs_are_those_of_the_test_list(tmp_path: Path) -> None:
    chihuahua, dhole = "n02085620-Chihuahua", "n02115913-dhole"
    names = [f"{chihuahua}/n02085620_10.jpg", f"{dhole}/n02115913_7.jpg"]
    pictures(tmp_path / "Images", *names, f"{chihuahua}/n02085620_99.jpg")
    files = np.array([[name] for name in names], dtype=object)
    write_matlab(tmp_path / "test_list.mat", file_list=files, labels=np.array([[1], [120]]))
    dataset = load(listed("stanford_dogs"), tmp_path)
    assert ids(dataset) == [f"Images/{name}" for name in names]
    assert labels(dataset) == [chihuahua, dhole]


def nabirds(root: Path, split: str) -> Path:
    base = root / "nabirds"
    pictures(base / "images", "0817/0000139e.jpg", "0817/0000d9fc.jpg", "0860/00019306.jpg")
    (base / "images.txt").write_text(
        "0000139e-21dc 0817/0000139e.jpg\n0000d9fc-4e02 0817/0000d9fc.jpg\n"
        "00019306-9d83 0860/00019306.jpg\n"
    )
    (base / "image_class_labels.txt").write_text(
        "0000139e-21dc 817\n0000d9fc-4e02 817\n00019306-9d83 860\n"
    )
    (base / "train_test_split.txt").write_text(split)
    return root


def test_nabirds_are_those_outside_the_training_half(tmp_path: Path) -> None:
    root = nabirds(tmp_path, "0000139e-21dc 0\n0000d9fc-4e02 1\n00019306-9d83 0\n")
    dataset = load(listed("nabirds"), root)
    assert ids(dataset) == ["nabirds/images/0817/0000139e.jpg", "nabirds/images/0860/00019306.jpg"]
    assert labels(dataset) == ["817", "860"]


def test_a_bird_in_no_half_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="Image 00019306-9d83 has no class or is in no half"):
        load(listed("nabirds"), nabirds(tmp_path, "0000139e-21dc 0\n0000d9fc-4e02 1\n"))


@pytest.mark.parametrize("folder", ["Inat_dataset_splits", "."])
def test_inaturalist_is_labelled_by_the_folders_of_its_list(tmp_path: Path, folder: str) -> None:
    names = [f"train_val2018/{name}" for name in ("Aves/2761/a.jpg", "Aves/2761/b.jpg")]
    names.append("train_val2018/Plantae/7477/c.jpg")
    pictures(tmp_path, *names, "train_val2018/Fungi/1/d.jpg")
    (tmp_path / folder).mkdir(exist_ok=True)
    (tmp_path / folder / "Inaturalist_test_set1.txt").write_text("\n".join(names) + "\n")
    dataset = load(listed("inaturalist"), tmp_path)
    assert (ids(dataset), labels(dataset)) == (names, ["Aves/2761", "Aves/2761", "Plantae/7477"])


def test_gpr1200_is_labelled_by_the_first_part_of_the_name(tmp_path: Path) -> None:
    pictures(tmp_path / "images", "0_a.jpg", "0_b_c.jpg", "1199_d.jpg")
    assert sorted(map(str, labels(load(listed("gpr1200"), tmp_path)))) == ["0", "0", "1199"]
    pictures(tmp_path / "images", "x_y.jpg")
    with pytest.raises(DatasetError, match=r"'x_y\.jpg' doesn't begin with the number"):
        load(listed("gpr1200"), tmp_path)

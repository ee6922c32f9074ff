from __future__ import annotations

import csv
import gzip
import hashlib
import inspect
import io
import os
import pickle
import struct
import tarfile
import zipfile
from collections.abc import Callable, Mapping
from http.server import BaseHTTPRequestHandler
from importlib import import_module
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest
import yaml
from PIL import Image

from eval.data.catalogue import (
    DatasetError,
    ExpectedCounts,
    Folder,
    Layout,
    Spec,
    Torchvision,
    read_catalogue,
)
from eval.data.datasets import Dataset, load
from eval.data.fetch import fetch
from eval.data.layouts import LAYOUTS
from tests.web import reply, serving

SHARED = Path(__file__).parents[4] / "shared" / "data"

Server = Callable[[BaseHTTPRequestHandler], None]


def entry(**changes: Any) -> dict[str, Any]:
    """A valid entry of the catalogue: a folder with labels by subfolder."""
    return {
        "id": "made-up",
        "name": "Made up",
        "kind": "category",
        "source": {"type": "folder", "layout": "subfolders", "where": "Ask Ada for it."},
        "licence": "CC0",
        "terms": "none",
        "homepage": "https://example.org/made-up",
        "protocol": "leave-one-out",
        "headline": "hit_rate@1",
        "overlaps_imagenet": "none",
        "tier": "smoke",
        "citation": "Ada, 1843.",
        **changes,
    }


def spec(layout: str = "subfolders", files: list[Any] | None = None, **changes: Any) -> Spec:
    """A spec whose files lie in a folder."""
    source = {"type": "folder", "layout": layout, "where": "Ask Ada for it.", "files": files or []}
    return Spec.model_validate(entry(**{"source": source, **changes}))


def listed(name: str, **changes: Any) -> Spec:
    """An entry of the real catalogue, but for the counts: the trees made up here are small."""
    return read_catalogue()[name].model_copy(update={"counts": ExpectedCounts(), **changes})


def write_catalogue(folder: Path, *entries: Any) -> Path:
    path = folder / "datasets.yaml"
    path.write_text(yaml.safe_dump({"datasets": list(entries)}), "utf-8")
    return path


def picture(path: Path, shade: int = 0, size: tuple[int, int] = (8, 6)) -> Path:
    """A picture of one shade, so that its bytes tell which it is."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, (shade, shade, shade)).save(path)
    return path


def pictures(root: Path, *names: str) -> Path:
    for shade, name in enumerate(names):
        picture(root / name, shade)
    return root


def found(dataset: Dataset, query: int) -> set[str]:
    return {dataset.items[index].id for index in dataset.relevant(query)}


def ids(dataset: Dataset) -> list[str]:
    return [item.id for item in dataset.items]


def index_of(dataset: Dataset, name: str) -> int:
    return ids(dataset).index(name)


def pixels(data: bytes) -> Any:
    with Image.open(io.BytesIO(data)) as image:
        return np.asarray(image)


# ------------------------------------------------------------------------------ the catalogue


def test_the_catalogue_has_what_was_asked_for() -> None:
    assert set(read_catalogue()) >= {
        *("cifar10", "caltech101", "flowers102", "oxford_pet", "food101", "dtd", "fashionmnist"),
        *("eurosat", "cub200", "sop", "roxford5k", "rparis6k", "holidays", "ukbench", "copydays"),
        *("corel1k", "digits", "clothing", "grocery", "grocery-products", "folder"),
    }


def test_every_entry_but_a_folder_of_yours_has_counts() -> None:
    for name, entry_ in read_catalogue().items():
        assert (entry_.counts.images is not None) == (name != "folder"), name
        assert (entry_.counts.queries is not None) == (name != "folder"), name


def test_every_layout_of_the_schema_is_there() -> None:
    assert set(get_args(Layout)) == set(LAYOUTS)


def test_torchvision_has_every_class_and_knows_its_splits() -> None:
    import torchvision.datasets

    for entry_ in read_catalogue().values():
        if isinstance(entry_.source, Torchvision):
            known = inspect.signature(getattr(torchvision.datasets, entry_.source.name)).parameters
            for options in entry_.source.splits:
                assert set(options) <= set(known), entry_.id


@pytest.mark.parametrize(
    ("changes", "what"),
    [
        ({"colour": "red"}, "colour: Extra inputs are not permitted"),
        ({"headline": "recall"}, "headline"),
        ({"headline": "hit_rate@0"}, "headline"),
        ({"tier": "sometimes"}, "tier"),
        ({"counts": {"images": "many"}}, "counts.images"),
        ({"counts": {"pictures": 3}}, "counts.pictures"),
        ({"folder": "../elsewhere"}, "folder"),
        ({"overlaps_imagenet": False}, "overlaps_imagenet"),
        ({"anchors": [{"metric": "map", "value": 0.5, "status": "cited"}]}, "anchors.0.setting"),
        ({"source": {"type": "torrent"}}, "source"),
        ({"source": {"type": "folder", "layout": "heap", "where": "x"}}, "source.folder.layout"),
        (
            {"source": {**entry()["source"], "files": [{"name": "a.zip", "sha256": "abc"}]}},
            "files.0.sha256",
        ),
        (
            {"source": {**entry()["source"], "files": [{"name": "../a.zip"}]}},
            "files.0.name",
        ),
        ({"protocol": "revisited"}, "both 'revisited' or neither"),
    ],
)
def test_a_wrong_field_is_an_error_that_names_dataset_and_field(
    tmp_path: Path, changes: dict[str, Any], what: str
) -> None:
    path = write_catalogue(tmp_path, entry(**changes))
    with pytest.raises(DatasetError, match=r"^Dataset made-up: ") as caught:
        read_catalogue(path)
    assert what in str(caught.value)
    assert caught.value.dataset == "made-up"


def test_a_missing_field_is_an_error(tmp_path: Path) -> None:
    without = entry()
    del without["licence"]
    with pytest.raises(DatasetError, match=r"made-up: licence: Field required"):
        read_catalogue(write_catalogue(tmp_path, without))


def test_an_entry_without_an_id_is_told_by_its_number(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="number 2"):
        read_catalogue(write_catalogue(tmp_path, entry(), ["not a mapping"]))


def test_an_id_that_comes_twice_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="made-up: it comes twice"):
        read_catalogue(write_catalogue(tmp_path, entry(), entry()))


@pytest.mark.parametrize("text", ["", "datasets: {}", "datasets: []\nmore: 1", "[", "- 1"])
def test_a_file_that_is_no_catalogue_is_an_error(tmp_path: Path, text: str) -> None:
    path = tmp_path / "datasets.yaml"
    path.write_text(text, "utf-8")
    with pytest.raises(DatasetError, match="catalogue"):
        read_catalogue(path)


def test_a_catalogue_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="catalogue"):
        read_catalogue(tmp_path / "none.yaml")


def test_an_unknown_dataset_is_an_error_that_lists_the_known() -> None:
    with pytest.raises(DatasetError, match=r"imagenet21k: .*digits"):
        load("imagenet21k")


# ------------------------------------------------------------------------------ where they lie


def test_the_variable_names_the_folder_of_folders(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pictures(tmp_path / "made-up", "a/1.png", "b/1.png")
    pictures(tmp_path / "other", "a/1.png", "b/1.png", "b/2.png")
    monkeypatch.setenv("BOGV_DATASETS", str(tmp_path))
    assert len(load(spec()).items) == 2
    assert len(load(spec(folder="other")).items) == 3


def test_a_root_that_is_named_goes_before_the_variable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BOGV_DATASETS", "/nowhere")
    assert len(load(spec(), pictures(tmp_path, "a/1.png", "b/1.png")).items) == 2


def test_without_a_root_there_is_a_clear_error() -> None:
    with pytest.raises(DatasetError, match=r"made-up: .*--root.*BOGV_DATASETS"):
        load(spec())


def test_a_folder_of_yours_is_never_guessed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BOGV_DATASETS", "/anywhere")
    with pytest.raises(DatasetError, match="--root"):
        load("folder")


def test_a_missing_folder_is_an_error_that_says_how_to_get_it(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"no folder .* Ask Ada for it"):
        load(spec(), tmp_path / "none")


def test_a_folder_without_images_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").touch()
    with pytest.raises(DatasetError, match="no images"):
        load(spec(), tmp_path)


@pytest.mark.parametrize(
    ("counts", "what"),
    [
        ({"images": 4}, "3 images instead of 4"),
        ({"classes": 1}, "2 classes instead of 1"),
        ({"queries": 2, "gallery": 9}, "3 queries instead of 2, 3 gallery instead of 9"),
    ],
)
def test_a_wrong_count_is_an_error(tmp_path: Path, counts: dict[str, int], what: str) -> None:
    pictures(tmp_path, "a/1.png", "a/2.png", "b/1.png")
    with pytest.raises(DatasetError, match=f"made-up: .* has {what}"):
        load(spec(counts=counts), tmp_path)


# ------------------------------------------------------------------------------ offline


def test_digits_are_always_there() -> None:
    dataset = load("digits")
    assert len(dataset.items) == len(dataset.queries) == len(dataset.gallery) == 1797
    first = pixels(dataset.items[0].read())
    assert (first.shape, first.min(), first.max()) == ((8, 8), 0, 239)
    assert dataset.items[0].read() == load("digits").items[0].read()


def test_a_query_is_never_relevant_to_itself() -> None:
    dataset = load("digits")
    right = dataset.relevant(5)
    assert 5 not in right
    assert {dataset.items[index].label for index in right} == {dataset.items[5].label}
    assert len(right) == sum(item.label == dataset.items[5].label for item in dataset.items) - 1
    assert dataset.junk(5).size == 0


def shared_or(name: str, make: Callable[[Path], Path], folder: Path) -> tuple[Spec, Path]:
    """The real data beside the repository, asserted whole; else a stand-in, without counts."""
    real = SHARED / (read_catalogue()[name].folder or name)
    return (read_catalogue()[name], real) if real.is_dir() else (listed(name), make(folder))


def made_up_clothing(root: Path) -> Path:
    return pictures(root, "hat/1.jpg", "hat/2.jpg", "shoes/1.jpg", "shoes/2.jpg")


def made_up_grocery(root: Path) -> Path:
    rows = ["path,label,coarse_label,role"]
    for role, count in (("gallery", 6), ("query", 4), ("iconic", 1)):
        for product in ("Kiwi", "Leek"):
            for number in range(count):
                picture(root / role / product / f"{number}.jpg", number)
                rows.append(f"{role}/{product}/{number}.jpg,{product},Fruit,{role}")
    (root / "labels.csv").write_text("\n".join(rows), "utf-8")
    return root


def test_clothing_is_labelled_by_folder(tmp_path: Path) -> None:
    dataset = load(*shared_or("clothing", made_up_clothing, tmp_path))
    assert all(item.id.split("/")[0] == item.label for item in dataset.items)
    assert dataset.items[0].read()[:2] == b"\xff\xd8"
    assert dataset.queries == dataset.gallery == list(range(len(dataset.items)))


@pytest.mark.parametrize(
    ("name", "role", "right"), [("grocery", "gallery", 6), ("grocery-products", "iconic", 1)]
)
def test_groceries_search_the_gallery_or_the_studio_pictures(
    tmp_path: Path, name: str, role: str, right: int
) -> None:
    dataset = load(*shared_or(name, made_up_grocery, tmp_path))
    assert {dataset.items[index].id.split("/")[0] for index in dataset.queries} == {"query"}
    assert {dataset.items[index].id.split("/")[0] for index in dataset.gallery} == {role}
    for query in dataset.queries:
        indices = dataset.relevant(query)
        assert len(indices) == right
        assert {dataset.items[index].label for index in indices} == {dataset.items[query].label}


# ------------------------------------------------------------------------------ a folder of yours


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
        ("path,label\n1.png,x\n1.png,y\n", "come twice"),
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


def test_a_csv_that_is_not_utf_8_is_an_error(tmp_path: Path) -> None:
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


# ------------------------------------------------------------------------------ layouts


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


def test_sop_is_the_products_of_its_test_list(tmp_path: Path) -> None:
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


def test_ukbench_comes_in_fours(tmp_path: Path) -> None:
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


# ------------------------------------------------------------------------------ revisited


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
    assert dataset.items[4].label == "all_souls"


def test_a_revisited_query_is_what_its_box_holds(tmp_path: Path) -> None:
    dataset = load(listed("roxford5k"), revisited(tmp_path))
    crop = pixels(dataset.items[4].read())
    assert crop.shape == (6, 4, 3)
    assert crop[..., 2].min() > 200
    assert crop[..., 0].max() < 50


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


# ------------------------------------------------------------------------------ torchvision


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


def test_flowers102_are_told_by_matlab_files(
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


def test_fetch_lets_torchvision_download_each_split(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import torchvision.datasets

    calls: list[Any] = []

    def dtd(root: Path, **options: Any) -> None:
        calls.append((root, options))

    monkeypatch.setattr(torchvision.datasets, "DTD", dtd)
    assert fetch("dtd", tmp_path / "dtd") == tmp_path / "dtd"
    assert calls == [
        (tmp_path / "dtd", {"split": split, "download": True}) for split in ("train", "val", "test")
    ]


def test_a_download_that_torchvision_can_not_do_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import torchvision.datasets

    def down(_: Path, **options: Any) -> None:
        raise RuntimeError("File not found or corrupted.")

    monkeypatch.setattr(torchvision.datasets, "EuroSAT", down)
    with pytest.raises(DatasetError, match=r"eurosat: .*not found or corrupted"):
        fetch("eurosat", tmp_path)


# ------------------------------------------------------------------------------ samples


def classes(root: Path, **sizes: int) -> Path:
    names = [f"{label}/{n:03d}.png" for label, size in sizes.items() for n in range(size)]
    return pictures(root, *names)


def sizes_of(dataset: Dataset) -> dict[str, int]:
    labels = [str(item.label) for item in dataset.items]
    return {label: labels.count(label) for label in sorted(set(labels))}


def test_a_sample_gives_each_class_the_same_share(tmp_path: Path) -> None:
    root = classes(tmp_path, a=30, b=30, c=5)
    assert sizes_of(load("folder", root, limit=45)) == {"a": 15, "b": 15, "c": 5}


def test_a_small_sample_leaves_classes_out_rather_than_images_alone(tmp_path: Path) -> None:
    root = classes(tmp_path, **{f"c{number}": 12 for number in range(6)})
    assert sorted(sizes_of(load("folder", root, limit=20)).values()) == [10, 10]
    assert sorted(sizes_of(load("folder", root, limit=6)).values()) == [3, 3]


def test_a_sample_depends_on_its_seed_alone(tmp_path: Path) -> None:
    root = classes(tmp_path, **{f"c{number}": 12 for number in range(6)})
    first, again = (ids(load("folder", root, limit=20, seed=1)) for _ in range(2))
    assert first == again
    assert len({tuple(ids(load("folder", root, limit=20, seed=seed))) for seed in range(5)}) > 1


def test_a_sample_of_unlabelled_images_is_drawn_singly(tmp_path: Path) -> None:
    root = pictures(tmp_path, *(f"{number:02d}.png" for number in range(20)))
    assert len(load("folder", root, limit=7).items) == 7


def test_a_sample_keeps_groups_of_four_whole(tmp_path: Path) -> None:
    pictures(tmp_path, *(f"ukbench{number:05d}.jpg" for number in range(40)))
    dataset = load(listed("ukbench"), tmp_path, limit=14)
    assert list(sizes_of(dataset).values()) == [4, 4, 4]


def test_a_sample_keeps_all_that_is_right_for_each_of_its_queries(tmp_path: Path) -> None:
    entry_, root = shared_or("grocery", made_up_grocery, tmp_path)
    whole, sample = load(entry_, root), load(entry_, root, limit=16)
    assert len(sample.items) == 16
    for query in sample.queries:
        name = sample.items[query].id
        assert found(sample, query) == found(whole, index_of(whole, name))
    assert len(sample.gallery) > len(sample.relevant(sample.queries[0]))


def test_room_that_the_gallery_leaves_goes_to_queries(tmp_path: Path) -> None:
    made_up_grocery(tmp_path)
    assert len(load(listed("grocery-products"), tmp_path, limit=9).queries) == 7


@pytest.mark.parametrize("limit", [-1, 0, 1])
def test_a_limit_that_leaves_nothing_to_find_is_an_error(tmp_path: Path, limit: int) -> None:
    with pytest.raises(DatasetError, match="limit"):
        load("folder", classes(tmp_path, a=3, b=3), limit=limit)


def test_a_limit_below_what_a_query_needs_is_an_error(tmp_path: Path) -> None:
    made_up_grocery(tmp_path)
    with pytest.raises(DatasetError, match="no query with what is right"):
        load(listed("grocery"), tmp_path, limit=6)


def test_a_limit_above_the_dataset_is_the_dataset(tmp_path: Path) -> None:
    root = classes(tmp_path, a=3, b=3)
    assert ids(load("folder", root, limit=60)) == ids(load("folder", root))


# ------------------------------------------------------------------------------ fetch


def png_bytes(shade: int) -> bytes:
    out = io.BytesIO()
    Image.new("RGB", (4, 4), (shade, shade, shade)).save(out, "PNG")
    return out.getvalue()


MEMBERS = {"a/1.png": png_bytes(1), "a/2.png": png_bytes(2), "b/1.png": png_bytes(3)}


def tar_of(members: Mapping[str, bytes | tarfile.TarInfo], mode: str = "w:gz") -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode=mode) as tar:  # type: ignore[call-overload]
        for name, content in members.items():
            if isinstance(content, bytes):
                info = tarfile.TarInfo(name)
                info.size = len(content)
                tar.addfile(info, io.BytesIO(content))
            else:
                tar.addfile(content)
    return out.getvalue()


def zip_of(members: Mapping[Any, bytes]) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as zipped:
        for name, content in members.items():
            zipped.writestr(name, content)
    return out.getvalue()


def answering(bodies: Mapping[str, bytes], seen: list[str] | None = None) -> Server:
    def answer(handler: BaseHTTPRequestHandler) -> None:
        name = handler.path.rsplit("/", 1)[1]
        if seen is not None:
            seen.append(name)
        reply(handler, bodies.get(name, b"gone"), 200 if name in bodies else 404)

    return answer


def file_of(base: str, name: str, body: bytes, **changes: Any) -> dict[str, Any]:
    return {
        "name": name,
        "url": f"{base}/{name}",
        "size": len(body),
        "sha256": hashlib.sha256(body).hexdigest(),
        "md5": hashlib.md5(body).hexdigest(),  # noqa: S324 - a checksum
        **changes,
    }


def everything(root: Path) -> list[str]:
    return sorted(path.relative_to(root).as_posix() for path in root.rglob("*"))


@pytest.mark.parametrize(
    ("name", "body"),
    [
        ("x.tar.gz", tar_of(MEMBERS)),
        ("x.tgz", tar_of(MEMBERS)),
        ("x.tar", tar_of(MEMBERS, "w")),
        ("x.zip", zip_of(MEMBERS)),
    ],
)
def test_an_archive_is_fetched_checked_and_unpacked(
    tmp_path: Path, name: str, body: bytes, capsys: pytest.CaptureFixture[str]
) -> None:
    root = tmp_path / "new" / "folder"
    with serving(answering({name: body})) as base:
        entry_ = spec(files=[file_of(base, name, body)], counts={"images": 3, "classes": 2})
        assert fetch(entry_, root) == root
    assert name in capsys.readouterr().err
    dataset = load(entry_, root)
    assert {item.id: item.read() for item in dataset.items} == MEMBERS
    assert everything(root) == ["a", "a/1.png", "a/2.png", "b", "b/1.png"]


def test_what_is_there_is_not_fetched_again(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    seen: list[str] = []
    body = tar_of(MEMBERS)
    with serving(answering({"x.tgz": body}, seen)) as base:
        entry_ = spec(files=[file_of(base, "x.tgz", body)], counts={"images": 3})
        for _ in range(2):
            fetch(entry_, tmp_path, progress=False)
        assert seen == ["x.tgz"]
        (tmp_path / "a" / "1.png").unlink()
        fetch(entry_, tmp_path, progress=False)
    assert seen == ["x.tgz", "x.tgz"]
    assert len(load(entry_, tmp_path).items) == 3
    assert capsys.readouterr().err == ""


def test_several_archives_may_share_folders_and_files_lie_beside_them(tmp_path: Path) -> None:
    bodies = {
        "1.tgz": tar_of({"jpg/a/1.png": png_bytes(1)}),
        "2.tgz": tar_of({"jpg/a/2.png": png_bytes(2), "jpg/b/1.png": png_bytes(3)}),
        "list.pkl": b"list",
    }
    with serving(answering(bodies)) as base:
        files = [file_of(base, name, body) for name, body in bodies.items()]
        files[0]["into"] = files[1]["into"] = "all"
        fetch(spec(files=files), tmp_path, progress=False)
    assert [name for name in everything(tmp_path) if "." in name] == [
        *("all/jpg/a/1.png", "all/jpg/a/2.png", "all/jpg/b/1.png", "list.pkl"),
    ]


@pytest.mark.parametrize(
    ("wrong", "what"),
    [({"sha256": "0" * 64}, "SHA-256"), ({"md5": "0" * 32}, "MD5"), ({"size": 7}, "size")],
)
def test_a_file_with_a_bad_checksum_is_refused_and_leaves_nothing(
    tmp_path: Path, wrong: dict[str, Any], what: str
) -> None:
    body = tar_of(MEMBERS)
    with serving(answering({"x.tgz": body})) as base:
        entry_ = spec(files=[file_of(base, "x.tgz", body, **wrong)])
        with pytest.raises(DatasetError, match=rf"made-up: x\.tgz is not .* its {what} is"):
            fetch(entry_, tmp_path, progress=False)
    assert everything(tmp_path) == []


def test_a_download_that_breaks_off_leaves_nothing(tmp_path: Path) -> None:
    def broken(handler: BaseHTTPRequestHandler) -> None:
        body = tar_of(MEMBERS)
        reply(handler, body[:-10], 200, **{"Content-Length": str(len(body))})

    with serving(broken) as base:
        entry_ = spec(files=[{"name": "x.tgz", "url": f"{base}/x.tgz"}])
        with pytest.raises(DatasetError, match=r"can't be downloaded: .* Ask Ada for it"):
            fetch(entry_, tmp_path, progress=False)
    assert everything(tmp_path) == []


def test_a_server_that_has_nothing_is_an_error(tmp_path: Path) -> None:
    with serving(answering({})) as base:
        entry_ = spec(files=[{"name": "x.tgz", "url": f"{base}/x.tgz"}])
        with pytest.raises(DatasetError, match="404"):
            fetch(entry_, tmp_path, progress=False)
    assert everything(tmp_path) == []


def test_an_archive_is_not_unpacked_on_the_way(tmp_path: Path) -> None:
    """Servers are known to call a .tar.gz a gzip-encoded .tar; its checksum is still the file's."""
    body = tar_of(MEMBERS)
    assert gzip.decompress(body)

    def encoded(handler: BaseHTTPRequestHandler) -> None:
        reply(handler, body, 200, **{"Content-Encoding": "gzip"})

    with serving(encoded) as base:
        fetch(spec(files=[file_of(base, "x.tgz", body)]), tmp_path, progress=False)
    assert (tmp_path / "b" / "1.png").exists()


def link(name: str, kind: bytes, target: str) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, target
    return info


def zipped_link() -> zipfile.ZipInfo:
    info = zipfile.ZipInfo("link")
    info.external_attr = 0o120777 << 16
    return info


@pytest.mark.parametrize(
    ("name", "body"),
    [
        ("x.tar", tar_of({"ok.png": b"", "../out.png": b"out"}, "w")),
        ("x.tar", tar_of({"a/../../out.png": b"out"}, "w")),
        ("x.tar", tar_of({"/tmp/bogv-out.png": b"out"}, "w")),  # noqa: S108 - refused
        ("x.tar", tar_of({"l": link("l", tarfile.SYMTYPE, ".."), "l/out.png": b"out"}, "w")),
        ("x.tar", tar_of({"l": link("l", tarfile.LNKTYPE, "/etc/passwd")}, "w")),
        ("x.tar", tar_of({"l": link("l", tarfile.FIFOTYPE, "")}, "w")),
        ("x.zip", zip_of({"ok.png": b"", "../out.png": b"out"})),
        ("x.zip", zip_of({"..\\out.png": b"out"})),
        ("x.zip", zip_of({"C:/out.png": b"out"})),
        ("x.zip", zip_of({zipped_link(): b".."})),
    ],
)
def test_a_hostile_archive_is_refused_and_nothing_of_it_stays(
    tmp_path: Path, name: str, body: bytes
) -> None:
    root = tmp_path / "root"
    with serving(answering({name: body})) as base:
        entry_ = spec(files=[{"name": name, "url": f"{base}/{name}"}])
        with pytest.raises(DatasetError, match=rf"{name} is refused: .*(leads out|is a link)"):
            fetch(entry_, root, progress=False)
    assert everything(tmp_path) == ["root", f"root/{name}"]


@pytest.mark.parametrize(
    ("name", "body"),
    [
        ("x.tgz", tar_of(MEMBERS)[:-40]),
        ("x.tar", b"no tar"),
        ("x.zip", b"no zip"),
        ("x.zip", zip_of(MEMBERS)[:-30]),
    ],
)
def test_a_damaged_archive_is_an_error(tmp_path: Path, name: str, body: bytes) -> None:
    (tmp_path / name).write_bytes(body)
    with pytest.raises(DatasetError, match=f"made-up: {name} is damaged"):
        fetch(spec(files=[{"name": name}]), tmp_path, progress=False)
    assert everything(tmp_path) == [name]


def test_an_archive_put_there_by_hand_is_checked_unpacked_and_kept(tmp_path: Path) -> None:
    body = tar_of(MEMBERS)
    file = {**file_of("http://nowhere", "x.tgz", body), "url": None}
    (tmp_path / "x.tgz").write_bytes(body)
    fetch(spec(files=[file]), tmp_path)
    assert len(load(spec(), tmp_path).items) == 3
    assert (tmp_path / "x.tgz").exists()
    with pytest.raises(DatasetError, match="SHA-256"):
        fetch(spec(files=[{**file, "sha256": "0" * 64}]), tmp_path)


@pytest.mark.parametrize("files", [[], [{"name": "x.zip"}]])
def test_what_can_not_be_downloaded_says_where_to_get_it(tmp_path: Path, files: list[Any]) -> None:
    with pytest.raises(DatasetError) as caught:
        fetch(spec(files=files), tmp_path)
    for part in ("made-up", "Ask Ada", "https://example.org/made-up", "CC0", str(tmp_path)):
        assert part in str(caught.value)


def test_a_file_in_the_place_of_a_folder_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "a").touch()
    (tmp_path / "x.tgz").write_bytes(tar_of(MEMBERS))
    with pytest.raises(DatasetError, match="can't be fetched"):
        fetch(spec(files=[{"name": "x.tgz"}]), tmp_path)


def test_digits_need_not_be_fetched() -> None:
    assert fetch("digits") is None


def test_every_listed_dataset_without_an_address_says_how_to_get_it(tmp_path: Path) -> None:
    for entry_ in read_catalogue().values():
        if isinstance(entry_.source, Folder) and not any(f.url for f in entry_.source.files):
            with pytest.raises(DatasetError, match=f"Dataset {entry_.id}: .*licence: "):
                fetch(entry_, tmp_path)

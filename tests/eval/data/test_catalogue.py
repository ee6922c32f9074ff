from __future__ import annotations

import inspect
from pathlib import Path
from typing import Any, get_args

import pytest
import yaml

from eval.data.catalogue import DatasetError, Layout, Torchvision, read_catalogue
from eval.data.datasets import load
from eval.data.layouts import LAYOUTS
from tests.eval.support.datasets import entry, pictures, spec


def write_catalogue(folder: Path, *entries: Any) -> Path:
    path = folder / "datasets.yaml"
    path.write_text(yaml.safe_dump({"datasets": list(entries)}), "utf-8")
    return path


def test_the_catalogue_has_the_required_datasets() -> None:
    assert set(read_catalogue()) >= {
        *("cifar10", "caltech101", "flowers102", "oxford_pet", "food101", "dtd", "fashionmnist"),
        *("eurosat", "cub200", "sop", "roxford5k", "rparis6k", "holidays", "ukbench", "copydays"),
        *("corel1k", "digits", "clothing", "grocery", "grocery-products", "folder"),
    }


def test_every_entry_but_those_of_your_own_images_has_counts() -> None:
    for name, entry_ in read_catalogue().items():
        own = name in {"folder", "judged"}
        assert (entry_.counts.images is None) == own, name
        assert (entry_.counts.queries is None) == own, name


def test_every_layout_of_the_schema_is_there() -> None:
    assert set(get_args(Layout)) == {*LAYOUTS, "judged"}


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


def test_the_error_for_an_entry_without_an_id_has_its_number(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="number 2"):
        read_catalogue(write_catalogue(tmp_path, entry(), ["not a mapping"]))


def test_a_duplicate_id_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="made-up: it occurs twice"):
        read_catalogue(write_catalogue(tmp_path, entry(), entry()))


@pytest.mark.parametrize("text", ["", "datasets: {}", "datasets: []\nmore: 1", "[", "- 1"])
def test_an_invalid_catalogue_is_an_error(tmp_path: Path, text: str) -> None:
    path = tmp_path / "datasets.yaml"
    path.write_text(text, "utf-8")
    with pytest.raises(DatasetError, match="catalogue"):
        read_catalogue(path)


def test_a_missing_catalogue_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="catalogue"):
        read_catalogue(tmp_path / "none.yaml")


def test_an_unknown_dataset_is_an_error_that_lists_the_known() -> None:
    with pytest.raises(DatasetError, match=r"imagenet21k: .*digits"):
        load("imagenet21k")


def test_the_variable_names_the_folder_of_folders(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pictures(tmp_path / "made-up", "a/1.png", "b/1.png")
    pictures(tmp_path / "other", "a/1.png", "b/1.png", "b/2.png")
    monkeypatch.setenv("BOGV_DATASETS", str(tmp_path))
    assert len(load(spec()).items) == 2
    assert len(load(spec(folder="other")).items) == 3


def test_a_given_root_overrides_the_variable(
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


def test_each_figure_to_compare_with_was_published_elsewhere() -> None:
    anchors = [anchor for spec in read_catalogue().values() for anchor in spec.anchors]
    assert anchors
    assert not [anchor for anchor in anchors if "this project" in anchor.source]

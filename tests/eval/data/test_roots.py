from __future__ import annotations

from pathlib import Path

import pytest

from eval.data.catalogue import DatasetError, ScikitLearn, read_catalogue
from eval.data.datasets import load
from tests.eval.support.datasets import ids, listed, pictures, write_matlab, write_revisited


def corel(root: Path) -> Path:
    return pictures(root, "0.jpg", "1.jpg", "100.jpg")


@pytest.mark.parametrize("given", ["sets/corel", "sets", "sets/corel/notes"])
def test_the_folder_above_or_below_is_found_and_named(
    tmp_path: Path, given: str, capsys: pytest.CaptureFixture[str]
) -> None:
    root = corel(tmp_path / "sets" / "corel")
    (root / "notes").mkdir()
    dataset = load(listed("corel1k"), tmp_path / given)
    assert dataset.root == root
    assert ids(dataset) == ["0.jpg", "1.jpg", "100.jpg"]
    line = f"corel1k is not in {tmp_path / given} itself: using {root}.\n"
    assert capsys.readouterr().err == ("" if given == "sets/corel" else line)


def test_a_folder_inside_the_dataset_leads_to_it(tmp_path: Path) -> None:
    breed = "n02085620-Chihuahua"
    pictures(tmp_path / "dogs" / "Images" / breed, "1.jpg")
    write_matlab(tmp_path / "dogs" / "test_list.mat", file_list=[f"{breed}/1.jpg"])
    for given in (tmp_path, tmp_path / "dogs", tmp_path / "dogs" / "Images"):
        assert load(listed("stanford_dogs"), given).root == tmp_path / "dogs"


def test_two_datasets_below_one_folder_are_told_apart(tmp_path: Path) -> None:
    write_revisited(tmp_path / "oxford")
    corel(tmp_path / "corel")
    assert load(listed("roxford5k-hard"), tmp_path).root == tmp_path / "oxford"


def test_two_folders_that_could_be_meant_are_an_error_that_names_both(tmp_path: Path) -> None:
    corel(tmp_path / "one")
    corel(tmp_path / "two")
    with pytest.raises(DatasetError, match=r"^Dataset corel1k: .*one', '.*two': name one of them"):
        load(listed("corel1k"), tmp_path)


def test_where_nothing_is_found_the_given_folder_is_what_the_error_is_about(tmp_path: Path) -> None:
    (tmp_path / "empty" / "deeper").mkdir(parents=True)
    with pytest.raises(DatasetError, match=r"cub200: The list image_class_labels\.txt"):
        load(listed("cub200"), tmp_path / "empty")
    with pytest.raises(DatasetError, match="cub200: There is no folder"):
        load(listed("cub200"), tmp_path / "none")


def test_all_but_subfolders_of_any_name_have_a_marker() -> None:
    without = {
        name
        for name, spec in read_catalogue().items()
        if not isinstance(spec.source, ScikitLearn) and not spec.source.markers
    }
    assert without == {"folder"}

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from eval.data.catalogue import (
    DatasetError,
    Spec,
    read_catalogue,
)
from eval.data.datasets import Dataset, dataset_digest, load
from tests.eval.support.datasets import classes, found, ids, listed, picture, pictures, spec
from tests.eval.support.retrieval import first_is_junk

SHARED = Path(__file__).parents[4] / "shared" / "data"


def index_of(dataset: Dataset, name: str) -> int:
    return ids(dataset).index(name)


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


def units(dataset: Dataset) -> list[str]:
    return [dataset.unit(query) for query in dataset.queries]


def test_the_queries_of_a_category_come_in_classes(tmp_path: Path) -> None:
    dataset = load("folder", classes(tmp_path, a=2, b=1))
    assert (dataset.unit_name, units(dataset)) == ("class", ["a", "a", "b"])


def test_ukbench_comes_in_groups_of_four(tmp_path: Path) -> None:
    pictures(tmp_path, *(f"ukbench{number:05d}.jpg" for number in range(8)))
    dataset = load(listed("ukbench"), tmp_path)
    assert (dataset.unit_name, units(dataset)) == ("group", ["0000"] * 4 + ["0001"] * 4)


def test_an_original_and_its_edits_are_a_group(tmp_path: Path) -> None:
    names = ("original/200000.jpg", "original/200100.jpg", "strong/200001.jpg", "strong/200002.jpg")
    dataset = load(listed("copydays"), pictures(tmp_path, *names, "strong/200101.jpg"))
    assert (dataset.unit_name, units(dataset)) == ("group", ["2000", "2000", "2001"])


def test_queries_of_which_no_two_are_after_the_same_are_units_themselves(tmp_path: Path) -> None:
    names = ("100000.jpg", "100001.jpg", "100100.jpg", "100101.jpg")
    dataset = load(listed("holidays"), pictures(tmp_path / "holidays", *names))
    assert (dataset.unit_name, units(dataset)) == ("query", ["1000", "1001"])
    heap = load("folder", pictures(tmp_path / "heap", "1.png", "2.png"))
    assert (heap.unit_name, units(heap)) == ("query", ["1.png", "2.png"])


def sizes_of(dataset: Dataset) -> dict[str, int]:
    labels = [str(item.label) for item in dataset.items]
    return {label: labels.count(label) for label in sorted(set(labels))}


def test_a_sample_has_whole_classes(tmp_path: Path) -> None:
    root = classes(tmp_path, **{f"c{number}": 12 for number in range(6)})
    sample = load("folder", root, limit=40)
    assert list(sizes_of(sample).values()) == [12, 12, 12]
    assert sample.sample == "3 of 6 classes, each as a whole"
    assert load("folder", root).sample is None


def test_where_no_two_classes_fit_each_gives_the_same_share(tmp_path: Path) -> None:
    sample = load("folder", classes(tmp_path, a=40, b=40, c=40), limit=45)
    assert sizes_of(sample) == {"a": 15, "b": 15, "c": 15}
    assert sample.sample is not None
    assert "3 of 3 classes, of each at most 15 images" in sample.sample


def test_a_share_omits_classes_rather_than_leave_single_images(tmp_path: Path) -> None:
    root = classes(tmp_path, **{f"c{number}": 12 for number in range(6)})
    assert sorted(sizes_of(load("folder", root, limit=20)).values()) == [10, 10]
    assert sorted(sizes_of(load("folder", root, limit=6)).values()) == [3, 3]


def test_a_sample_depends_only_on_its_seed(tmp_path: Path) -> None:
    root = classes(tmp_path, **{f"c{number}": 12 for number in range(6)})
    first, again = (ids(load("folder", root, limit=20, seed=1)) for _ in range(2))
    assert first == again
    assert len({tuple(ids(load("folder", root, limit=20, seed=seed))) for seed in range(5)}) > 1


def test_a_sample_of_unlabelled_images_is_drawn_singly(tmp_path: Path) -> None:
    root = pictures(tmp_path, *(f"{number:02d}.png" for number in range(20)))
    assert len(load("folder", root, limit=7).items) == 7


def test_a_sample_keeps_complete_groups_of_four(tmp_path: Path) -> None:
    pictures(tmp_path, *(f"ukbench{number:05d}.jpg" for number in range(40)))
    sample = load(listed("ukbench"), tmp_path, limit=14)
    assert list(sizes_of(sample).values()) == [4, 4, 4]
    assert sample.sample == "3 of 10 groups, each as a whole"
    assert list(sizes_of(load(listed("ukbench"), tmp_path, limit=7)).values()) == [4]


def test_a_sample_keeps_the_whole_gallery_if_it_fits(tmp_path: Path) -> None:
    made_up_grocery(tmp_path)
    sample = load(listed("grocery"), tmp_path, limit=17)
    assert (len(sample.gallery), units(sample)) == (12, [units(sample)[0]] * 4)
    assert sample.sample == "the queries of 1 of 2 classes, the whole gallery"


def test_a_sample_keeps_all_relevant_images_of_its_queries(tmp_path: Path) -> None:
    entry_, root = shared_or("grocery", made_up_grocery, tmp_path)
    whole, sample = load(entry_, root), load(entry_, root, limit=11)
    assert len(sample.items) == 11
    assert len(set(units(sample))) == 1
    for query in sample.queries:
        name = sample.items[query].id
        assert found(sample, query) == found(whole, index_of(whole, name))
    assert len(sample.gallery) > len(sample.relevant(sample.queries[0]))
    assert sample.sample is not None
    assert sample.sample.endswith(f"7 of the gallery's {len(whole.gallery)}")


def test_single_queries_are_drawn_where_no_whole_unit_fits(tmp_path: Path) -> None:
    made_up_grocery(tmp_path)
    sample = load(listed("grocery"), tmp_path, limit=8)
    assert (len(sample.queries), len(sample.items)) == (1, 8)
    assert sample.sample == "1 of 8 queries, 7 of the gallery's 12"


@pytest.mark.parametrize("limit", [-1, 0, 1])
def test_a_limit_that_leaves_nothing_to_find_is_an_error(tmp_path: Path, limit: int) -> None:
    with pytest.raises(DatasetError, match="limit"):
        load("folder", classes(tmp_path, a=3, b=3), limit=limit)


def test_a_limit_too_small_for_a_query_is_an_error(tmp_path: Path) -> None:
    made_up_grocery(tmp_path)
    with pytest.raises(DatasetError, match="no query with all that is relevant"):
        load(listed("grocery"), tmp_path, limit=6)


def test_a_limit_above_the_dataset_is_the_dataset(tmp_path: Path) -> None:
    root = classes(tmp_path, a=3, b=3)
    assert ids(load("folder", root, limit=60)) == ids(load("folder", root))


def test_the_digest_knows_the_questions_and_not_the_order(folder: Path) -> None:
    dataset = load("folder", folder)
    digests = [item.id for item in dataset.items]
    same = dataset_digest(dataset, digests)
    other = replace(dataset, items=dataset.items[::-1])
    assert dataset_digest(other, digests[::-1]) == same
    assert dataset_digest(dataset, ["changed", *digests[1:]]) != same
    assert dataset_digest(replace(dataset, gallery=dataset.gallery[1:]), digests) != same
    assert dataset_digest(replace(dataset, truth=first_is_junk(dataset)), digests) != same

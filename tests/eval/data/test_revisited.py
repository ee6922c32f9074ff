from __future__ import annotations

import os
import pickle
from pathlib import Path
from typing import Any

import pytest

from eval.data.catalogue import DatasetError
from eval.data.datasets import load
from tests.eval.support.datasets import found, listed, pictures, pixels, write_revisited


@pytest.mark.parametrize("protocol", [0, 2, 4, 5])
def test_revisited_takes_easy_and_hard_for_right_and_junk_out(
    tmp_path: Path, protocol: int
) -> None:
    dataset = load(listed("roxford5k"), write_revisited(tmp_path, protocol=protocol))
    assert dataset.gallery == [0, 1, 2, 3]
    assert dataset.queries == [4]
    assert found(dataset, 4) == {"jpg/easy_1.jpg", "jpg/hard_1.jpg"}
    assert [dataset.items[index].id for index in dataset.junk(4)] == ["jpg/junk_1.jpg"]


@pytest.mark.parametrize(
    ("name", "right", "junk"),
    [
        ("roxford5k-easy", {"jpg/easy_1.jpg"}, {"jpg/hard_1.jpg", "jpg/junk_1.jpg"}),
        ("roxford5k-hard", {"jpg/hard_1.jpg"}, {"jpg/easy_1.jpg", "jpg/junk_1.jpg"}),
    ],
)
def test_in_easy_and_hard_the_other_kind_is_junk(
    tmp_path: Path, name: str, right: set[str], junk: set[str]
) -> None:
    dataset = load(listed(name), write_revisited(tmp_path))
    assert found(dataset, 4) == right
    assert {dataset.items[index].id for index in dataset.junk(4)} == junk


def test_a_revisited_query_is_cropped_to_its_box(tmp_path: Path) -> None:
    dataset = load(listed("roxford5k"), write_revisited(tmp_path))
    crop = pixels(dataset.items[4].read())
    assert crop.shape == (6, 4, 3)
    assert crop[..., 2].min() > 200
    assert crop[..., 0].max() < 50


def test_revisited_queries_that_share_a_relevant_photo_are_of_one_landmark(tmp_path: Path) -> None:
    root = write_revisited(tmp_path)
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
    first, other = "all_souls_000013", "ashmolean_000058"
    for name in ("roxford5k", "roxford5k-hard", "roxford5k-easy"):
        dataset = load(listed(name), root)
        assert [dataset.unit(query) for query in dataset.queries] == [first, first, other, first]
        assert dataset.unit_name == "landmark"


def test_a_sample_of_revisited_keeps_right_and_junk(tmp_path: Path) -> None:
    root = write_revisited(tmp_path)
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
        load(listed("roxford5k"), write_revisited(tmp_path, ground))


class Hostile:
    """Unpickled the plain way, this makes a folder; it could do anything."""

    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.target),)


def test_a_hostile_pickle_is_refused(tmp_path: Path) -> None:
    root = write_revisited(tmp_path / "root", {"easy": Hostile(tmp_path / "done")})
    with pytest.raises(DatasetError, match=r"roxford5k: .*mkdir, which no list needs"):
        load(listed("roxford5k"), root)
    assert not (tmp_path / "done").exists()


@pytest.mark.parametrize("data", [b"", b"\x80\x04nonsense", pickle.dumps([1]), pickle.dumps({})])
def test_a_damaged_pickle_is_an_error(tmp_path: Path, data: bytes) -> None:
    (write_revisited(tmp_path) / "gnd_roxford5k.pkl").write_bytes(data)
    with pytest.raises(DatasetError, match=r"gnd_roxford5k\.pkl can't be read"):
        load(listed("roxford5k"), tmp_path)


def test_missing_photos_and_a_missing_list_are_errors(tmp_path: Path) -> None:
    root = write_revisited(tmp_path)
    (root / "jpg" / "hard_1.jpg").unlink()
    with pytest.raises(DatasetError, match="1 photos are missing, such as 'hard_1'"):
        load(listed("roxford5k"), root)
    (root / "gnd_roxford5k.pkl").unlink()
    with pytest.raises(DatasetError, match=r"0 files gnd_\*\.pkl"):
        load(listed("roxford5k"), root)

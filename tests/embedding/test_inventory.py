from __future__ import annotations

import json
from pathlib import Path

import pytest

from bogv.embedding import state_dict
from bogv.embedding.inventory import take_inventory
from bogv.embedding.weight_files import HUB_NAME, URL, name_of
from tests.embedding.support.origins import (
    SMALL,
    as_safetensors,
    as_torch,
    serving_weights,
    small_numbers,
    torchvision_name,
)

PTH, HUB = as_torch(small_numbers()), as_safetensors(small_numbers())
NAME = torchvision_name(PTH)
NOWHERE = f"http://127.0.0.1:9/{NAME}"


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Empty caches, no hub, and a small network."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hf"))
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setattr(state_dict, "SHAPES", SMALL)
    folder = tmp_path / "hub" / "checkpoints"
    folder.mkdir(parents=True)
    return folder


@pytest.fixture
def models(tmp_path: Path) -> Path:
    return tmp_path / "data" / "models"


def test_what_is_missing_is_downloaded_and_verified(cache: Path, models: Path) -> None:
    with serving_weights(PTH, None) as (base, _):
        found = take_inventory("auto", models, True, f"{base}/models/{NAME}")
    assert found.used is not None
    assert (found.used.path, found.used.verified) == (cache / NAME, True)
    assert found.problems == []
    assert found.lines == [
        str(cache / NAME),
        f"    fingerprint {found.used.fingerprint}: verified, its SHA-256 begins with {NAME[9:17]}",
        f"Used: {cache / NAME}",
    ]


def test_what_is_here_is_not_downloaded(cache: Path, models: Path) -> None:
    (cache / HUB_NAME).write_bytes(HUB)
    with serving_weights(PTH, HUB) as (base, origins):
        found = take_inventory("auto", models, True, f"{base}/models/{NAME}")
    assert origins.requests == []
    assert found.used is not None
    assert not found.used.verified
    assert "checksum is not known" in found.used.detail


def test_the_hubs_file_is_verified_by_torchvisions_numbers(cache: Path, models: Path) -> None:
    (cache / NAME).write_bytes(PTH)
    (cache / HUB_NAME).write_bytes(HUB)
    first, second = take_inventory("auto", models, False, NOWHERE).files
    assert first.fingerprint == second.fingerprint
    assert second.verified
    assert second.detail == f"verified, the same numbers as {NAME}"


def test_another_files_numbers_are_told(cache: Path, models: Path) -> None:
    (cache / NAME).write_bytes(PTH)
    (cache / HUB_NAME).write_bytes(as_safetensors(small_numbers(1)))
    first, second = take_inventory("auto", models, False, NOWHERE).files
    assert first.fingerprint != second.fingerprint
    assert not second.verified
    assert second.detail.startswith(f"NOT the numbers of {NAME}")


def test_without_a_network_it_says_what_to_copy_where(cache: Path, models: Path) -> None:
    (cache / NAME).write_bytes(b"cut short")
    found = take_inventory("auto", models, True, NOWHERE)
    assert found.used is None
    text = "\n".join(found.lines)
    assert text.count("damaged") == 1
    assert text.count("can't be downloaded from") == 2
    for part in (
        URL, "SHA-256 0676ba61...", "http://127.0.0.1:9/timm/resnet50.tv_in1k/resolve/main/",
        name_of(URL), HUB_NAME, str(cache), str(models), "BOGV_WEIGHTS",
    ):  # fmt: skip
        assert part in text


@pytest.mark.parametrize("folder", [0, 1])
@pytest.mark.parametrize("name", [NAME, HUB_NAME])
def test_a_file_copied_as_it_says_is_found(models: Path, folder: int, name: str) -> None:
    target = Path(take_inventory("auto", models, False, NOWHERE).values["folders"][folder])
    target.mkdir(parents=True, exist_ok=True)
    (target / name).write_bytes(PTH if name == NAME else HUB)
    found = take_inventory("auto", models, False, NOWHERE)
    assert found.used is not None
    assert found.used.path == target / name


@pytest.mark.parametrize(("body", "usable"), [(PTH, True), (b"no weights", False)])
def test_a_file_by_bogv_weights_is_the_only_one(
    tmp_path: Path, models: Path, cache: Path, body: bytes, usable: bool
) -> None:
    (cache / NAME).write_bytes(PTH)
    (tmp_path / "mine.pth").write_bytes(body)
    found = take_inventory(str(tmp_path / "mine.pth"), models, True, NOWHERE)
    assert [file.path for file in found.files] == [tmp_path / "mine.pth"]
    assert (found.used is not None) == usable


def test_the_values_for_scripts_are_json(cache: Path, models: Path) -> None:
    (cache / NAME).write_bytes(PTH)
    found = take_inventory("imagenet", models, False, NOWHERE)
    values = json.loads(json.dumps(found.values))
    assert found.used is not None
    assert values["used"] == str(cache / NAME)
    assert values["fingerprint"] == found.used.fingerprint == values["files"][0]["fingerprint"]
    assert values["files"][0]["verified"] is True
    assert [each["name"] for each in values["downloads"]] == [name_of(URL), HUB_NAME]
    assert values["downloads"][0]["sha256"] == "0676ba61..."

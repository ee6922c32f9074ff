from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from bogv.embedding import state_dict
from bogv.embedding.weight_files import (
    HUB_NAME,
    URL,
    expected_digest,
    fetch_hub,
    fetch_torchvision,
    hub_url,
    local_files,
    name_of,
    torch_folder,
)
from bogv.errors import WeightsUnavailable
from tests.embedding.support.origins import (
    HUB_PATH,
    SMALL,
    as_safetensors,
    as_torch,
    serving_weights,
    small_numbers,
    torchvision_name,
)

PTH, HUB = as_torch(small_numbers()), as_safetensors(small_numbers())
NAME = torchvision_name(PTH)


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Empty caches, and a small network."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hf"))
    for name in ("HF_ENDPOINT", "HF_HOME", "HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(state_dict, "SHAPES", SMALL)
    return tmp_path / "hub" / "checkpoints"


def test_the_url_is_torchvisions() -> None:
    from torchvision.models import ResNet50_Weights

    assert ResNet50_Weights.IMAGENET1K_V1.url == URL
    assert expected_digest(Path(name_of(URL)), URL) == "0676ba61"


def test_the_cache_is_torch_hubs(cache: Path) -> None:
    import torch

    assert torch_folder() == cache == Path(torch.hub.get_dir()) / "checkpoints"


def test_the_hubs_address_is_that_of_huggingface_hub(monkeypatch: pytest.MonkeyPatch) -> None:
    from huggingface_hub import hf_hub_url

    assert hub_url() == hf_hub_url("timm/resnet50.tv_in1k", "model.safetensors")
    monkeypatch.setenv("HF_ENDPOINT", "https://mirror.example/")
    assert hub_url() == f"https://mirror.example{HUB_PATH}"
    monkeypatch.setenv("HF_ENDPOINT", "")  # as compose passes a variable that is not set
    assert hub_url() == f"https://huggingface.co{HUB_PATH}"


@pytest.mark.parametrize("variable", ["HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE", "HF_HOME"])
def test_the_cache_of_huggingface_hub_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    monkeypatch.delenv("HF_HUB_CACHE")
    monkeypatch.setenv(variable, str(tmp_path))
    hub = tmp_path / "hub" if variable == "HF_HOME" else tmp_path
    file = hub / "models--timm--resnet50.tv_in1k" / "snapshots" / "c0ffee" / "model.safetensors"
    file.parent.mkdir(parents=True)
    file.write_bytes(HUB)
    assert local_files(URL, None) == [file]


def test_torchvisions_file_comes_first_in_whichever_folder(cache: Path, tmp_path: Path) -> None:
    models = tmp_path / "models"
    for folder in (models, cache):
        folder.mkdir(parents=True)
        for name in (NAME, HUB_NAME):
            (folder / name).write_bytes(b"x")
    found = local_files(f"http://127.0.0.1:9/{NAME}", models)
    assert found == [models / NAME, cache / NAME, models / HUB_NAME, cache / HUB_NAME]


def test_the_hubs_redirect_to_another_address_is_followed(
    cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with serving_weights(None, HUB) as (base, origins):
        monkeypatch.setenv("HF_ENDPOINT", base)
        assert fetch_hub() == cache / HUB_NAME
    assert (cache / HUB_NAME).read_bytes() == HUB
    assert origins.requests == [HUB_PATH, "/cdn/blob?signature=1"]


def test_interrupted_downloads_are_resumed(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with serving_weights(PTH, HUB) as (base, origins):
        monkeypatch.setenv("HF_ENDPOINT", base)
        origins.chunk = len(HUB) // 2 + 1
        fetch_torchvision(f"{base}/models/{NAME}")
        fetch_hub()
    assert (cache / NAME).read_bytes() == PTH
    assert (cache / HUB_NAME).read_bytes() == HUB
    # A signed address may be valid for minutes only: the rest is asked for at the hub's own again.
    rest = f"bytes={origins.chunk}-"
    assert origins.requests[-4:] == [
        HUB_PATH, "/cdn/blob?signature=1",
        f"{HUB_PATH} {rest}", f"/cdn/blob?signature=1 {rest}",
    ]  # fmt: skip
    assert f"/models/{NAME} {rest}" in origins.requests


@pytest.mark.parametrize("body", [PTH[:-1], PTH + b"x", b"<html>"])
def test_a_download_with_another_checksum_is_refused(cache: Path, body: bytes) -> None:
    with serving_weights(PTH, None) as (base, origins):
        url = f"{base}/models/{NAME}"
        origins.files[f"/models/{NAME}"] = body
        with pytest.raises(WeightsUnavailable, match=f"'{url}' are damaged"):
            fetch_torchvision(url)
    assert list(cache.iterdir()) == []


NAN = {**small_numbers(), "bn1.bias": np.full(700, np.nan, np.float32)}


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (HUB[:-1], r"its tensors have \d+ bytes, not \d+"),
        (b"\xff" * 7 + b"\x7f" + HUB[8:], "its header can't have 9223372036854775807 bytes"),
        (b"<html>sign in</html>", "its header can't have"),
        (as_safetensors(NAN), "bn1.bias has numbers that are not finite"),
        (PTH, "its header can't have"),
    ],
)
def test_what_the_hub_sends_is_verified_before_it_is_kept(
    cache: Path, monkeypatch: pytest.MonkeyPatch, body: bytes, message: str
) -> None:
    with serving_weights(None, body) as (base, _):
        monkeypatch.setenv("HF_ENDPOINT", base)
        with pytest.raises(WeightsUnavailable, match=f"{HUB_PATH}' is not a state dict.*{message}"):
            fetch_hub()
    assert list(cache.iterdir()) == []


def test_a_server_that_sends_too_much_is_refused(cache: Path) -> None:
    with (
        serving_weights(PTH, None) as (base, _),
        pytest.raises(WeightsUnavailable, match="sends more than 100 bytes"),
    ):
        fetch_torchvision(f"{base}/models/{NAME}", limit=100)
    assert list(cache.iterdir()) == []


@pytest.mark.parametrize("variable", ["HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE"])
def test_the_hub_is_not_asked_if_it_must_not_be(
    monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    with serving_weights(None, HUB) as (base, origins):
        monkeypatch.setenv("HF_ENDPOINT", base)
        monkeypatch.setenv(variable, "true")
        with pytest.raises(WeightsUnavailable, match="HF_HUB_OFFLINE"):
            fetch_hub()
    assert origins.requests == []


@pytest.mark.parametrize("endpoint", ["mirror.example", "ftp://mirror.example", "http://[x"])
def test_a_mirror_that_is_no_address_is_a_clear_error(
    monkeypatch: pytest.MonkeyPatch, endpoint: str
) -> None:
    monkeypatch.setenv("HF_ENDPOINT", endpoint)
    with pytest.raises(WeightsUnavailable, match="can't be downloaded from"):
        fetch_hub()


def test_a_cache_that_can_not_be_written_is_a_clear_error(cache: Path) -> None:
    cache.parent.mkdir()
    cache.write_text("a file in place of the folder")
    with (
        serving_weights(PTH, None) as (base, _),
        pytest.raises(WeightsUnavailable, match="can't be downloaded from"),
    ):
        fetch_torchvision(f"{base}/models/{NAME}")

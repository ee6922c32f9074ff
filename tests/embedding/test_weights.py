from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from bogv.embedding import state_dict
from bogv.embedding.fingerprints import fingerprint_of
from bogv.embedding.weight_files import HUB_NAME, START, Patience
from bogv.embedding.weights import IMAGENET, UNTRAINED, int8_path, resolve
from bogv.errors import GalleryMismatch, WeightsUnavailable
from tests.embedding.support.origins import (
    SMALL,
    as_safetensors,
    as_torch,
    serving_weights,
    small_numbers,
    torchvision_name,
)
from tests.support.web import hanging_names, reply, serving

PTH, HUB = as_torch(small_numbers()), as_safetensors(small_numbers())
NAME = torchvision_name(PTH)
OLD = fingerprint_of(hashlib.sha256(PTH).hexdigest())
"""By which bogv knew the file before fingerprints were those of the numbers."""
NOWHERE = "http://127.0.0.1:9"


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Empty caches, no hub, and a small network."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hf"))
    monkeypatch.setenv("HF_ENDPOINT", NOWHERE)
    monkeypatch.setattr(state_dict, "SHAPES", SMALL)
    return tmp_path / "hub" / "checkpoints"


def put(folder: Path, name: str, body: bytes) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_bytes(body)
    return folder / name


def test_torchvisions_file_is_fetched_once_and_the_hub_not_asked(
    cache: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with serving_weights(PTH, HUB) as (base, origins):
        monkeypatch.setenv("HF_ENDPOINT", base)
        first = resolve("imagenet", url=f"{base}/models/{NAME}")
        second = resolve("auto", url=f"{base}/models/{NAME}")
    assert origins.requests == [f"/models/{NAME}"]
    assert first == second
    assert (first.name, first.path, first.is_trained) == (IMAGENET, cache / NAME, True)
    assert (cache / NAME).read_bytes() == PTH
    assert "Weights: 100%" in capsys.readouterr().err


def test_the_hub_gives_the_same_fingerprint_where_torchvision_is_out_of_reach(
    cache: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    with serving_weights(None, HUB) as (base, origins):
        monkeypatch.setenv("HF_ENDPOINT", f"{base}/")
        weights = resolve("auto", url=f"{base}/models/{NAME}")
    assert weights.path == cache / HUB_NAME
    assert origins.requests[0] == f"/models/{NAME}"
    again = resolve("imagenet", url=f"{NOWHERE}/{NAME}")  # from the cache
    theirs = resolve(str(put(tmp_path / "other", NAME, PTH)))
    assert weights.fingerprint == again.fingerprint == theirs.fingerprint
    assert weights.name == again.name == IMAGENET


def test_a_damaged_file_in_the_cache_is_downloaded_again(
    cache: Path, caplog: pytest.LogCaptureFixture
) -> None:
    put(cache, NAME, b"cut short")
    with serving_weights(PTH, None) as (base, _):
        assert resolve("imagenet", url=f"{base}/models/{NAME}").path == cache / NAME
    assert (cache / NAME).read_bytes() == PTH
    assert "damaged" in caplog.text


def test_without_a_network_a_damaged_file_is_refused(cache: Path) -> None:
    put(cache, NAME, b"cut short")
    with pytest.raises(WeightsUnavailable, match=r"damaged.*python -m bogv weights"):
        resolve("imagenet", url=f"{NOWHERE}/{NAME}")


@pytest.mark.parametrize("choice", ["auto", "imagenet"])
def test_a_gallery_of_an_older_bogv_keeps_its_fingerprint(cache: Path, choice: str) -> None:
    put(cache, NAME, PTH)
    new = resolve(choice, url=f"{NOWHERE}/{NAME}")
    old = resolve(choice, OLD, url=f"{NOWHERE}/{NAME}")
    assert new.fingerprint != OLD
    assert (old.fingerprint, old.path) == (OLD, new.path)
    assert resolve(choice, new.fingerprint, url=f"{NOWHERE}/{NAME}") == new


def test_a_gallery_of_an_older_bogv_takes_the_hubs_file_once_both_were_seen(
    cache: Path, tmp_path: Path
) -> None:
    models, url = tmp_path / "models", f"{NOWHERE}/{NAME}"
    put(cache, NAME, PTH)
    resolve("auto", OLD, url=url, models=models)
    (cache / NAME).unlink()
    put(cache, HUB_NAME, HUB)
    assert resolve("auto", OLD, url=url, models=models).path == cache / HUB_NAME
    with pytest.raises(GalleryMismatch, match=r"older bogv needs resnet50-0676ba61\.pth itself"):
        resolve("auto", OLD, url=url)  # nothing says that the numbers are the same


def test_torchvisions_file_is_downloaded_for_a_gallery_that_the_hubs_does_not_fit(
    cache: Path,
) -> None:
    put(cache, HUB_NAME, HUB)
    with serving_weights(PTH, None) as (base, _):
        assert resolve("auto", OLD, url=f"{base}/models/{NAME}").path == cache / NAME


def test_an_int8_model_of_an_older_bogv_is_found(cache: Path, tmp_path: Path) -> None:
    models, url = tmp_path / "models", f"{NOWHERE}/{NAME}"
    put(cache, NAME, PTH)
    xml = put(models, f"resnet50-{OLD}-int8.xml", b"<net/>")
    put(models, f"resnet50-{OLD}-int8.bin", b"numbers")
    small = resolve("auto", url=url, precision="int8", models=models)
    assert small.int8 == xml == int8_path(resolve("auto", url=url, models=models), models)
    assert small.fingerprint == fingerprint_of(f"int8-{hashlib.sha256(b'numbers').hexdigest()}")
    assert resolve("auto", small.fingerprint, url=url, models=models) == small


def test_galleries_of_untrained_weights_keep_their_fingerprint() -> None:
    assert resolve("untrained").fingerprint == "738e95f31b35"


def test_a_start_without_a_network_ends_soon_and_tells_what_it_tries(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("HF_ENDPOINT", "http://hub.example")
    url, soon = f"http://torch.example/{NAME}", Patience(connect=0.05, stall=0.05)
    with caplog.at_level("INFO"), hanging_names():
        assert resolve("auto", url=url, patience=soon).name == UNTRAINED
    assert f"Downloading the weights from {url} (0.05 s to connect)" in caplog.text
    assert "Downloading the weights from http://hub.example/timm/resnet50.tv_in1k" in caplog.text
    assert caplog.text.count("no connection within 0.05 s") == 2


def test_two_addresses_that_do_not_answer_take_ten_seconds_at_most() -> None:
    assert 2 * START.connect <= 10


def test_without_weights_auto_uses_untrained_ones_and_logs_a_warning(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with serving(lambda h: reply(h, b"", 404)) as base:
        weights = resolve("auto", url=f"{base}/{NAME}")
    assert (weights.name, weights.path, weights.is_trained) == (UNTRAINED, None, False)
    assert "untrained" in caplog.text


@pytest.mark.parametrize(("choice", "allow_untrained"), [("imagenet", True), ("auto", False)])
def test_there_is_no_fallback_if_trained_weights_are_required(
    choice: str, allow_untrained: bool
) -> None:
    with serving(lambda h: reply(h, b"", 404)) as base, pytest.raises(WeightsUnavailable):
        resolve(choice, allow_untrained=allow_untrained, url=f"{base}/{NAME}")


def test_an_untrained_gallery_stays_untrained_without_a_download() -> None:
    untrained = resolve("untrained")
    assert (
        resolve("auto", gallery_fingerprint=untrained.fingerprint, url="http://127.0.0.1:9/x")
        == untrained
    )


def test_a_server_uses_untrained_weights_only_if_they_are_chosen() -> None:
    untrained = resolve("untrained")
    with serving(lambda h: reply(h, b"", 404)) as base, pytest.raises(WeightsUnavailable):
        resolve("auto", untrained.fingerprint, allow_untrained=False, url=f"{base}/{NAME}")
    assert resolve("untrained", untrained.fingerprint, allow_untrained=False) == untrained


def test_a_trained_gallery_is_not_searched_with_untrained_weights() -> None:
    with serving(lambda h: reply(h, b"", 404)) as base, pytest.raises(GalleryMismatch):
        resolve("auto", gallery_fingerprint="0123456789ab", url=f"{base}/{NAME}")


def test_weights_other_than_the_gallerys_are_rejected(tmp_path: Path) -> None:
    (tmp_path / "mine.pth").write_bytes(PTH)
    with pytest.raises(GalleryMismatch, match="BOGV_DATA_DIR"):
        resolve(str(tmp_path / "mine.pth"), gallery_fingerprint=resolve("untrained").fingerprint)


def test_a_missing_file_is_a_clear_error(tmp_path: Path) -> None:
    with pytest.raises(WeightsUnavailable, match="can't be read"):
        resolve(str(tmp_path / "no.pth"))


def test_other_numbers_have_another_fingerprint(tmp_path: Path) -> None:
    bodies = [as_torch(small_numbers(seed)) for seed in (1, 2)]
    paths = [put(tmp_path, f"{at}.pth", body) for at, body in enumerate(bodies)]
    prints = {resolve(str(path)).fingerprint for path in paths}
    assert len(prints | {resolve("untrained").fingerprint}) == 3

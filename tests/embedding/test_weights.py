from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import pytest

from bogv.embedding.weights import IMAGENET, UNTRAINED, URL, fetch, resolve
from bogv.errors import GalleryMismatch, WeightsUnavailable
from tests.support.web import reply, serving

BODY = b"weights " * 10_000
NAME = f"resnet50-{hashlib.sha256(BODY).hexdigest()[:8]}.pth"


@pytest.fixture(autouse=True)
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty download cache."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    return tmp_path / "hub" / "checkpoints"


def test_the_url_is_torchvisions() -> None:
    from torchvision.models import ResNet50_Weights

    assert ResNet50_Weights.IMAGENET1K_V1.url == URL


def test_the_cache_is_torch_hubs(hub: Path) -> None:
    import torch

    from bogv.embedding.weights import hub_folder

    assert hub_folder() == hub == Path(torch.hub.get_dir()) / "checkpoints"


def test_weights_are_fetched_once(hub: Path, capsys: pytest.CaptureFixture[str]) -> None:
    requests: list[str] = []

    def answer(handler: Any) -> None:
        requests.append(handler.path)
        reply(handler, BODY)

    with serving(answer) as base:
        first = resolve("imagenet", url=f"{base}/{NAME}")
        second = resolve("auto", url=f"{base}/{NAME}")
    assert requests == [f"/{NAME}"]
    assert first == second
    assert (first.name, first.path, first.is_trained) == (IMAGENET, hub / NAME, True)
    assert (hub / NAME).read_bytes() == BODY
    assert "Weights: 100%" in capsys.readouterr().err


@pytest.mark.parametrize("body", [BODY[:-1], BODY + b"x", b"<html>"])
def test_a_download_with_another_checksum_is_refused(hub: Path, body: bytes) -> None:
    with (
        serving(lambda h: reply(h, body)) as base,
        pytest.raises(WeightsUnavailable, match="damaged"),
    ):
        fetch(f"{base}/{NAME}")
    assert list(hub.iterdir()) == []


def test_an_interrupted_download_leaves_no_file(hub: Path) -> None:
    def answer(handler: Any) -> None:
        handler.send_response(200)
        handler.send_header("Content-Length", str(len(BODY)))
        handler.end_headers()
        handler.wfile.write(BODY[:1000])

    with serving(answer) as base, pytest.raises(WeightsUnavailable, match="can't be downloaded"):
        fetch(f"{base}/{NAME}")
    assert list(hub.iterdir()) == []


def test_a_damaged_file_in_the_cache_is_refused(hub: Path) -> None:
    hub.mkdir(parents=True)
    (hub / NAME).write_bytes(b"cut short")
    with pytest.raises(WeightsUnavailable, match="damaged"):
        resolve("imagenet", url=f"http://127.0.0.1:9/{NAME}")


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
    (tmp_path / "mine.pth").write_bytes(b"1")
    with pytest.raises(GalleryMismatch, match="BOGV_DATA_DIR"):
        resolve(str(tmp_path / "mine.pth"), gallery_fingerprint=resolve("untrained").fingerprint)


def test_a_missing_file_is_a_clear_error(tmp_path: Path) -> None:
    with pytest.raises(WeightsUnavailable, match="can't be read"):
        resolve(str(tmp_path / "no.pth"))


def test_each_file_has_a_fingerprint_of_its_own(tmp_path: Path) -> None:
    prints = {resolve("untrained").fingerprint}
    for content in (b"1", b"2"):
        (tmp_path / "w.pth").write_bytes(content)
        prints.add(resolve(str(tmp_path / "w.pth")).fingerprint)
    assert len(prints) == 3

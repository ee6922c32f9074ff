from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from bogv.config import Settings
from bogv.embedding.embedder import load_embedder
from bogv.embedding.engines import openvino_model
from bogv.embedding.quantize import quantize
from bogv.embedding.weights import int8_path, resolve
from bogv.errors import EngineFailed, GalleryMismatch, InvalidValue, WeightsUnavailable
from bogv.imaging.decoder import Decoder
from tests.support import models
from tests.support.running import ROOT

pytest.importorskip("openvino")
DECODER = Decoder(20 << 20, 64_000_000)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory, photos: list[Path]) -> Path:
    """A data folder with the int8 model of the untrained weights, made by the command."""
    pytest.importorskip("nncf")
    folder = tmp_path_factory.mktemp("int8")
    images = folder / "images"
    images.mkdir()
    for path in photos[:: len(photos) // 20]:
        shutil.copy(path, images)
    (images / "bad.jpg").write_bytes(b"no image")
    models.lend(folder)
    command = [sys.executable, "-m", "bogv", "quantize", str(images)]
    environment = {"BOGV_DATA_DIR": str(folder), "BOGV_WEIGHTS": "untrained"}
    done = subprocess.run(
        command,
        capture_output=True,
        text=True,
        check=False,
        cwd=ROOT,
        env={**os.environ, **environment},
    )
    assert done.returncode == 0, done.stderr
    models.keep(folder)
    (folder / "said.txt").write_text(done.stdout + done.stderr)
    return folder


def test_the_command_prints_the_model_and_its_accuracy(data: Path) -> None:
    said = (data / "said.txt").read_text()
    assert re.search(r"skipped: .*bad\.jpg", said)
    assert resolve("untrained", precision="int8", models=data / "models").fingerprint in said
    found = re.search(r"mean ([\d.]+), minimum ([\d.]+)", said)
    assert found
    assert 1 >= float(found[1]) >= float(found[2]) > 0.95


def test_int8_is_close_to_full_precision_and_has_its_own_fingerprint(
    data: Path, photos: list[Path]
) -> None:
    full = load_embedder(resolve("untrained"), "openvino", data / "cache")
    weights = resolve("untrained", precision="int8", models=data / "models")
    small = load_embedder(weights, "auto", data / "cache", "int8")
    assert small.engine == "openvino cpu int8"
    assert small.weights.fingerprint != full.weights.fingerprint
    pixels = np.stack([DECODER.decode(path.read_bytes()).pixels for path in photos[:4]])
    cosines = (full.embed(pixels) * small.embed(pixels)).sum(axis=1)
    assert 0.95 < cosines.min() < 1 - 1e-6  # near, and not the same network


def test_the_feature_map_is_there_in_int8(data: Path, photos: list[Path]) -> None:
    weights = resolve("untrained", precision="int8", models=data / "models")
    small = load_embedder(weights, "auto", data / "cache", "int8")
    pixels = DECODER.decode(photos[0].read_bytes()).pixels[np.newaxis]
    mean = small.feature_maps(pixels)[0].mean(axis=(0, 1))
    assert small.embed(pixels)[0] @ mean / np.linalg.norm(mean) > 0.9999


@pytest.mark.parametrize("choice", ["auto", "untrained"])
def test_auto_keeps_the_precision_of_the_gallery(data: Path, choice: str) -> None:
    models = data / "models"
    plain = resolve("untrained", models=models)
    assert plain.int8 is None
    small = resolve("untrained", precision="int8", models=models)
    assert resolve(choice, small.fingerprint, models=models) == small
    assert resolve(choice, plain.fingerprint, models=models) == plain


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_a_gallery_in_int8_is_not_searched_with_another_precision(
    data: Path, precision: str
) -> None:
    small = resolve("untrained", precision="int8", models=data / "models")
    chosen = Settings(precision=precision)
    with pytest.raises(GalleryMismatch, match=f"BOGV_PRECISION={precision}"):
        resolve("untrained", small.fingerprint, precision=chosen.precision, models=data / "models")


def test_an_existing_int8_model_is_not_overwritten(data: Path, photos: list[Path]) -> None:
    before = int8_path(resolve("untrained"), data / "models").read_bytes()
    pixels = [DECODER.decode(photos[0].read_bytes()).pixels] * 10
    with pytest.raises(InvalidValue, match="already"):
        quantize(resolve("untrained"), pixels, data / "cache", data / "models")
    assert int8_path(resolve("untrained"), data / "models").read_bytes() == before


def test_a_damaged_model_is_a_clear_error(data: Path, tmp_path: Path) -> None:
    shutil.copytree(data / "models", tmp_path / "models")
    path = int8_path(resolve("untrained"), tmp_path / "models")
    path.write_text("<net")
    weights = resolve("untrained", precision="int8", models=tmp_path / "models")
    with pytest.raises(WeightsUnavailable, match="restore it from a backup, or start"):
        load_embedder(weights, "auto", tmp_path)


def test_int8_does_not_run_on_torch(data: Path) -> None:
    weights = resolve("untrained", precision="int8", models=data / "models")
    with pytest.raises(EngineFailed, match="BOGV_ENGINE=openvino"):
        load_embedder(weights, "torch", data / "cache")


def test_int8_without_a_model_names_the_command(tmp_path: Path) -> None:
    with pytest.raises(WeightsUnavailable, match="bogv quantize"):
        resolve("untrained", precision="int8", models=tmp_path)


def test_too_few_images_and_a_missing_nncf_are_clear_errors(
    tmp_path: Path, photos: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    pixels = [DECODER.decode(path.read_bytes()).pixels for path in photos[:10]]
    with pytest.raises(InvalidValue, match="too few"):
        quantize(resolve("untrained"), pixels[:9], tmp_path, tmp_path)
    monkeypatch.setitem(sys.modules, "nncf", None)
    with pytest.raises(ImportError, match="pip install nncf"):
        quantize(resolve("untrained"), pixels, tmp_path, tmp_path)


def test_bf16_is_rejected_on_a_cpu_without_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from openvino import Core

    monkeypatch.setattr(Core, "get_property", lambda *_: ["FP32", "INT8"])
    with pytest.raises(EngineFailed, match="doesn't support bf16"):
        load_embedder(resolve("untrained"), "openvino", tmp_path, "bf16")


def test_fp32_is_used_if_it_is_chosen(data: Path) -> None:
    openvino_model(resolve("untrained"), data / "cache")
    embedder = load_embedder(resolve("untrained"), "openvino", data / "cache", "fp32")
    assert embedder.engine == "openvino cpu f32"

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from eval.commands.backbones import OtherNetwork
from tests.eval.support.retrieval import Eval

DEFAULTS = {"weights": "auto", "engine": "auto", "precision": "auto"}
RUN = ("run", "--dataset", "folder", "--no-losses", "--root")


def result(out: Path, start: str) -> tuple[Path, dict[str, object]]:
    [folder] = out.glob(f"{start}*")
    return folder, json.loads((folder / "run.json").read_text())


def test_bogvs_own_network_is_no_other_one() -> None:
    assert OtherNetwork.of("bogv", None, None, DEFAULTS) is None


def test_another_network_is_measured_like_bogvs_own(
    run_eval: Eval, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out, name = tmp_path / "out", "torchvision:mobilenet_v3_small"
    options = ("--backbone", name, "--weights", "untrained", "--out", out, "--embeddings")
    assert run_eval(*RUN, folder, *options) == 0
    assert f"Settings: {name}, its own pre-processing" in capsys.readouterr().out
    first, run = result(out, "folder-untrained-torchvision-mobilenet_v3_small-exact-16-")
    assert run["settings"]["backbone"] == name  # type: ignore[index]
    assert run["network"]["dimension"] == "1024"  # type: ignore[index]
    report = (first / "report.md").read_text()
    assert "## What made the embeddings" in report
    assert "classifier.3 (Linear, 1,024 to 1,000)" in report

    # Its embeddings, as a file, give the same figures.
    assert run_eval(*RUN, folder, "--vectors", first / "embeddings.parquet", "--out", out) == 0
    err = capsys.readouterr().err
    assert "UNTRAINED weights" in err
    second, again = result(out, "folder-untrained-vectors-exact-16-")
    assert again["metrics"] == run["metrics"]
    assert again["dataset"] == run["dataset"]
    assert run_eval("compare", first, second) == 0


def test_vectors_of_images_that_are_not_there_are_scored_without_pictures(
    run_eval: Eval, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = tmp_path / "listed"
    root.mkdir()
    ids = [f"{number}.jpg" for number in range(8)]
    rows = [f"{name},class {number % 2}" for number, name in enumerate(ids)]
    for name in ids:
        (root / name).touch()
    (root / "labels.csv").write_text("\n".join(["path,label", *rows]))
    vectors = np.random.default_rng(0).normal(size=(8, 6))
    np.savez(tmp_path / "v.npz", ids=np.array(ids), vectors=vectors)
    options = ("--vectors", tmp_path / "v.npz", "--post", "pca:3", "--rerank", "aqe:n=2")
    assert run_eval(*RUN, root, *options, "--out", tmp_path / "out") == 0
    out, err = capsys.readouterr()
    assert "IMAGES: 8 of 8 are not there" in err
    assert out.startswith("Weights:  unknown, fingerprint ")
    folder, run = result(tmp_path / "out", "folder-unknown-vectors-pca3-aqe-")
    assert run["weights"]["trained"] is None  # type: ignore[index]
    report = (folder / "report.md").read_text()
    assert "sizes of the images are not known" in report
    assert "under another id, by bytes." in report
    assert "what network made them, and how trained, is not known" in report


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--backbone", "torchvision:resnet18", "--precision", "int8"), "run on torch in fp32"),
        (("--backbone", "torchvision:resnet18", "--engine", "openvino"), "run on torch in fp32"),
        (("--backbone", "torchvision:resnet18", "--pooling", "gem"), "--pooling can't be used"),
        (("--backbone", "torchvision:resnet18", "--size", "448"), "--size can't be used"),
        (("--backbone", "keras:resnet18"), "--backbone: String should match pattern"),
        (("--backbone", "vectors"), "name the file by --vectors"),
        (("--vectors", "v.npz", "--backbone", "timm:x"), "exclude each other"),
        (("--vectors", "v.npz", "--weights", "untrained"), "no network is run"),
        (("--vectors", "v.npz", "--tta", "flip"), "not embedded again"),
        (("--vectors-ids", "ids.txt"), "needs --vectors"),
        (("--vectors", "v.csv"), "are read from .npy, .npz and .parquet"),
        (("--backbone", "torchvision:nix", "--weights", "untrained"), "no such classification"),
    ],
)
def test_options_that_make_no_sense_together_are_one_clear_error(
    run_eval: Eval,
    folder: Path,
    tmp_path: Path,
    options: tuple[str, ...],
    message: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert run_eval(*RUN, folder, *options, "--out", tmp_path / "out") == 2
    err = " ".join(capsys.readouterr().err.replace("│", " ").split())
    assert message in err
    assert not (tmp_path / "out").exists()

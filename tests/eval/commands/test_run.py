from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import typer
from pyarrow.parquet import read_schema

from bogv.embedding.embedder import Embedder
from bogv.embedding.weights import UNTRAINED, Weights
from eval.__main__ import app
from eval.commands import run as run_command
from eval.retrieval.measure import leak_note
from tests.eval.support.retrieval import Eval, measured
from tests.support import models
from tests.support.fakes import FakeEngine, png
from tests.support.running import ROOT


def test_a_folder_is_measured_and_written(
    run_eval: Eval, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ("run", "--dataset", "folder", "--root", folder, "--k", "1,3", "--out", tmp_path)
    assert run_eval(*arguments) == 0
    out, err = capsys.readouterr()
    assert "Embedding: 100%" in err
    assert "Searching: 100%" in err
    assert out.startswith("Weights:  custom, fingerprint fake0000\n")
    written = Path(out.splitlines()[-1])
    assert written.name.startswith("folder-custom-exact-16-")
    assert {path.name for path in written.iterdir()} == {
        "confusion.parquet",
        "figures",
        "run.json",
        "per_query.parquet",
        "precision_recall.parquet",
        "report.html",
        "report.md",
        "summary.csv",
        "SHA256SUMS",
    }
    run = json.loads((written / "run.json").read_text())
    assert run["schema_version"] == 3
    mean = run["metrics"]["hit_rate@1"]
    assert (mean["value"], mean["ci95"][1], mean["method"]) == (1.0, 1.0, "Wilson")
    assert run["metrics"]["recall@3_per_class"]["value"] == 1.0
    assert run["metrics"]["precision@3"]["value"] == pytest.approx(1)
    assert (run["n"], run["k"], run["depth"], run["backend"]) == (16, [1, 3], None, "exact")
    assert run["counts"] == {
        "images": 16,
        "classes": 4,
        "queries": 16,
        "gallery": 16,
        "queries_without_relevant": 0,
        "queries_with_duplicate": 0,
        "queries_with_same_pixels": 0,
        "gallery_with_duplicate": 0,
    }
    assert run["command"].startswith("python -m eval run --dataset folder --root")
    assert run["packages"]["bogv"]
    assert run["machine"]["cores"] >= 1
    parts = {"load", "embed", "embed_per_new_image", "search_and_score", "losses"}
    assert set(run["seconds"]) == parts
    assert run["settings"] == {
        "backbone": "bogv",
        "pooling": "gap",
        "size": 224,
        "scales": [1.0],
        "crop": "center",
        "tta": "none",
        "post": "none",
        "fit_on": "gallery",
        "rerank": "none",
    }
    assert [step["name"] for step in run["losses"]["steps"]] == ["exact", "milvus", "rest"]
    assert "## Loss account" in (written / "report.md").read_text()
    assert "\nLoss account\n" in out


def test_rankings_and_embeddings_are_written_where_they_are_asked_for(
    run_eval: Eval, folder: Path, tmp_path: Path
) -> None:
    arguments = ("--root", folder, "--out", tmp_path / "results", "--no-losses")
    exports = ("--trec", "--depth", "4", "--embeddings")
    assert run_eval("run", "--dataset", "folder", *arguments, *exports) == 0
    [written] = (tmp_path / "results").iterdir()
    lines = (written / "run.trec").read_text().splitlines()
    assert len(lines) == 16 * 4
    assert lines[0].startswith("class%200/q20.jpg Q0 class%200/q")
    assert lines[0].endswith(f" {written.name}")
    assert (written / "qrels.trec").read_text().count(" 1\n") == 16 * 3
    embeddings = pd.read_parquet(written / "embeddings.parquet")
    assert embeddings["role"].tolist() == ["both"] * 16
    made_by = json.loads(read_schema(written / "embeddings.parquet").metadata[b"bogv"])
    assert (made_by["fingerprint"], made_by["dimension"]) == ("fake0000", 2048)
    assert made_by["settings"]["crop"] == "center"
    # Those of an earlier run don't stay beside a newer run.json.
    assert run_eval("run", "--dataset", "folder", *arguments) == 0
    exported = {"run.trec", "qrels.trec", "embeddings.parquet"}
    assert exported.isdisjoint(path.name for path in written.iterdir())


def test_untrained_weights_are_called_that_on_the_console(
    run_eval: Eval,
    folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    untrained = Embedder(Weights(UNTRAINED, None, "feed"), FakeEngine())
    monkeypatch.setattr(run_command, "load_embedder", lambda *_, **__: untrained)
    arguments = ("--root", folder, "--out", tmp_path, "--no-losses")
    assert run_eval("run", "--dataset", "folder", *arguments) == 0
    out, err = capsys.readouterr()
    assert err.startswith("UNTRAINED weights: the network finds only near-duplicates")
    assert out.startswith("Weights:  UNTRAINED, fingerprint feed")


VARIANT = ("--crop", "pad", "--size", "448", "--tta", "flip", "--post", "whiten:3")


@pytest.mark.parametrize("more", [(), ("--backend", "milvus"), VARIANT])
def test_a_run_repeated_gives_the_same_but_for_seconds(
    run_eval: Eval, folder: Path, tmp_path: Path, more: tuple[str, ...]
) -> None:
    texts = []
    for _ in range(2):
        arguments = ("--limit", "12", "--seed", "3", "--out", tmp_path / "results", *more)
        assert run_eval("run", "--dataset", "folder", "--root", folder, *arguments) == 0
        [written] = (tmp_path / "results").iterdir()
        run = json.loads((written / "run.json").read_text())
        del run["seconds"]
        assert run["losses"]["steps"]
        texts.append((json.dumps(run), pd.read_parquet(written / "per_query.parquet").to_json()))
    assert texts[0] == texts[1]


def test_printed_json_equals_run_json(
    run_eval: Eval, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ("--root", folder, "--out", tmp_path / "results", "--json", "--no-losses")
    assert run_eval("run", "--dataset", "folder", *arguments) == 0
    [written] = (tmp_path / "results").iterdir()
    assert json.loads(capsys.readouterr().out) == json.loads((written / "run.json").read_text())


def test_the_same_bytes_under_two_ids_are_reported(
    run_eval: Eval, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    copied = (folder / "class 0" / "q95.jpg").read_bytes()
    (folder / "class 1" / "copy.jpg").write_bytes(copied)
    outcome = measured(tmp_path, "folder", root=folder)
    assert [(pair.query, pair.gallery) for pair in outcome.duplicates] == [
        ("class 0/q95.jpg", "class 1/copy.jpg"),
        ("class 1/copy.jpg", "class 0/q95.jpg"),
    ]
    assert outcome.run.counts.queries_with_duplicate == 2
    arguments = ("--root", folder, "--out", tmp_path, "--no-losses")
    assert run_eval("run", "--dataset", "folder", *arguments) == 0
    assert "DUPLICATES: 2 of the queries" in capsys.readouterr().err
    assert leak_note([]) is None


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ["--dataset", "nonesuch"],
            "Dataset nonesuch: there is no dataset of that name; there are",
        ),
        (["--dataset", "clothing"], "Dataset clothing: name its folder with --root"),
        (["--dataset", "folder", "--root", "/nowhere"], "There is no folder '/nowhere'."),
        (["--dataset", "digits", "--weights", "/no/file.pth"], "weights '/no/file.pth' can't be"),
        (["--dataset", "digits", "--backend", "milvus", "--k", "1000"], "Use --backend exact"),
        (["--dataset", "digits", "--limit", "20", "--post", "pca:20"], "ask for 19 at most"),
        (
            ["--dataset", "digits", "--limit", "20", "--post", "pca:2", "--fit-on", "digits:x"],
            "it is inside a package and has no folder 'x'",
        ),
        (["--dataset", "digits", "--backend", "milvus", "--rerank", "dba"], "use --backend exact"),
    ],
)
def test_an_error_is_one_line_and_status_2(
    run_eval: Eval, arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_eval("run", *arguments) == 2
    out, err = capsys.readouterr()
    assert out == ""
    last = err.splitlines()[-1]
    assert last.startswith("eval: ")
    assert message in last


@pytest.mark.parametrize("k", ["", "0,1", "one", "1.5"])
def test_a_k_below_one_is_rejected(run_eval: Eval, k: str) -> None:
    assert run_eval("run", "--dataset", "digits", "--k", k) == 2


def test_pca_is_fitted_on_another_folder(
    run_eval: Eval, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = tmp_path / "other"
    (other / "class").mkdir(parents=True)
    for seed in range(10, 16):
        (other / "class" / f"{seed}.png").write_bytes(png(seed))
    (other / "class" / "copy.jpg").write_bytes((folder / "class 0" / "q95.jpg").read_bytes())
    arguments = ("--root", folder, "--out", tmp_path, "--post", "pca:3", "--no-losses")
    written = []
    for source in ("gallery", f"folder:{other}"):
        assert run_eval("run", "--dataset", "folder", *arguments, "--fit-on", source) == 0
        out, _ = capsys.readouterr()
        written.append(Path(out.splitlines()[-1]))
    itself, apart = (json.loads((path / "run.json").read_text()) for path in written)
    assert itself["fitted_on"] is None
    assert "fitted on the gallery itself" in (written[0] / "report.md").read_text()
    found = apart["fitted_on"]
    assert (found["dataset"], found["images"], found["left_out"]) == ("folder", 6, 1)
    assert apart["settings"]["fit_on"] == "folder"
    assert found["digest"] != apart["dataset"]["digest"]
    assert written[1].name.startswith("folder-custom-pca3-on-folder-exact-16-")
    assert "PCA was fitted on 6 images of folder, digest" in (written[1] / "report.md").read_text()


def test_a_reranked_run_has_its_cost_and_a_folder_of_its_own(
    run_eval: Eval, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ("--root", folder, "--out", tmp_path, "--rerank", "diffusion:k=3")
    assert run_eval("run", "--dataset", "folder", *arguments) == 0
    out, _ = capsys.readouterr()
    written = Path(out.splitlines()[-1])
    text = "diffusion:k=3,kq=10,alpha=0.99,gamma=3,top=1000,iterations=20"
    assert written.name.startswith("folder-custom-diffusion-k3-kq10-alpha0.99-gamma3-top1000-")
    run = json.loads((written / "run.json").read_text())
    assert run["settings"]["rerank"] == text
    assert run["rerank_bytes_per_vector"] == 36
    assert {"rerank_gallery", "rerank_per_query"} <= set(run["seconds"])
    assert set(run["losses"]["left_out"]) == {"rerank", "rest"}
    note = f"Re-ranking ({text}) took {1000 * run['seconds']['rerank_per_query']:.2f} ms a query"
    assert note in out
    assert note in (written / "report.md").read_text()
    assert run_eval("compare", written, written) == 0
    assert f"re-ranking {text}" in capsys.readouterr().out


@pytest.mark.parametrize(
    "setting",
    [
        *("--post=pca", "--post=512", "--post=pca:0", "--size=300", "--crop=middle", "--tta=x"),
        *("--fit-on=digits", "--fit-on=a/b"),
        *("--rerank=qe", "--rerank=aqe:n=x", "--rerank=aqe:k=1"),
        *("--scales=0", "--scales=1,1", "--scales=x", "--scales=", "--scales=0.5", "--scales=1,3"),
    ],
)
def test_an_unknown_setting_is_rejected(run_eval: Eval, setting: str) -> None:
    assert run_eval("run", "--dataset", "digits", setting) == 2


def test_a_damaged_image_is_named_and_status_2(
    run_eval: Eval, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "class 2" / "bad.jpg").write_bytes(b"no image")
    assert run_eval("run", "--dataset", "folder", "--root", folder, "--out", tmp_path) == 2
    assert "the image 'class 2/bad.jpg' can't be used" in capsys.readouterr().err


def test_it_runs_as_a_module_with_real_untrained_weights(tmp_path: Path) -> None:
    """The one test with the network itself; offline, as `untrained` needs no download."""
    arguments = ["run", "--dataset", "digits", "--limit", "12", "--weights", "untrained"]
    models.lend(tmp_path / "data")
    done = subprocess.run(
        [sys.executable, "-m", "eval", *arguments, "--json", "--out", str(tmp_path)],
        capture_output=True,
        text=True,
        check=False,
        cwd=ROOT,
        env={"PATH": "/usr/bin:/bin", "BOGV_DATA_DIR": str(tmp_path / "data")},
    )
    assert done.returncode == 0, done.stderr
    run = json.loads(done.stdout)
    assert run["weights"]["name"] == "untrained"
    assert "UNTRAINED" in done.stderr
    assert run["command"] == f"python -m eval {' '.join(arguments)} --json --out {tmp_path}"
    assert list((tmp_path / "data" / "cache" / "eval").glob("*.sqlite"))


def test_the_table_of_options_has_each_with_its_default() -> None:
    page = (ROOT / "eval" / "README.md").read_text("utf-8")
    table = page.partition("| option | default | |\n")[2].partition("\n\n")[0]
    rows: dict[str, str] = {}
    for names, default in re.findall(r"^\| (`--.+?) \| *(.*?) *\|", table, re.MULTILINE):
        options = re.findall(r"--[a-z-]+", names)
        # A row of several options has one default for all (`on`), or one for each.
        values = default.split(", ") if "," in default and len(options) > 1 else [default]
        rows |= dict(zip(options, values * (len(options) // len(values)), strict=True))
    commands: Any = typer.main.get_command(app)
    known = {
        name: option
        for option in commands.commands["run"].params
        for name in (*option.opts, *option.secondary_opts)
        if name not in {"--json", "--help"}
    }
    assert set(rows) == set(known)
    words = {"True": "on", "False": "off", "None": ""}
    elsewhere = {"--root", "--cache", "--limit"}  # defaults that the code computes
    for name in set(rows) - elsewhere:
        default = str(known[name].default)
        assert rows[name].strip("`") == words.get(default, default), name

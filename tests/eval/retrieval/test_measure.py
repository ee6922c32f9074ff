from __future__ import annotations

import csv
import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from bogv.embedder import Embedder
from bogv.imaging.decoder import Decoder
from bogv.weights import UNTRAINED, Weights
from eval import __main__ as command_line
from eval.commands import run as run_command
from eval.commands import selftest as selftest_command
from eval.data.catalogue import DatasetError, Spec, catalogue_entry
from eval.data.datasets import Dataset, dataset_digest, load
from eval.data.items import Truth
from eval.embedding.settings import OWN_SETTINGS, EmbeddingSettings
from eval.errors import WorkbenchError
from eval.report.results import PER_QUERY, write
from eval.retrieval import measure as running
from eval.retrieval.ablation import AblationSample
from eval.retrieval.measure import RetrievalOptions, RetrievalOutcome, leak_note, measure
from eval.retrieval.report import run_report
from eval.retrieval.result import read, table
from eval.selftest import Canary
from tests.fakes import FakeEngine, encoded, fake_embedder, picture, png
from tests.running import ROOT

Eval = Callable[..., int]

DECODER = Decoder(1_000_000, 1_000_000)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Four classes of four: each one picture in four qualities, easily told apart."""
    root = tmp_path / "mine"
    for label in range(4):
        (root / f"class {label}").mkdir(parents=True)
        for quality in (95, 70, 45, 20):
            data = encoded(picture(label), "JPEG", quality=quality)
            (root / f"class {label}" / f"q{quality}.jpg").write_bytes(data)
    return root


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The command line with a data folder of its own and the fake embedder."""
    monkeypatch.setenv("BOGV_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.setattr(run_command, "load_embedder", lambda *_, **__: fake_embedder())


@pytest.fixture
def run_eval(settings: None) -> Eval:
    def status(*arguments: str | Path) -> int:
        with pytest.raises(SystemExit) as stopped:
            command_line.main([str(argument) for argument in arguments])
        code = stopped.value.code
        return code if isinstance(code, int) else 1

    return status


def measured(tmp_path: Path, dataset: Spec | str, **more: Any) -> RetrievalOutcome:
    options = RetrievalOptions(dataset=dataset, progress=False, **more)
    return measure(options, fake_embedder(), DECODER, tmp_path / "cache")


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
        "figures",
        "run.json",
        "per_query.parquet",
        "report.html",
        "report.md",
        "summary.csv",
    }
    run = json.loads((written / "run.json").read_text())
    assert run["schema_version"] == 2
    assert run["metrics"]["hit_rate@1"] == {"value": 1.0, "ci95": [1.0, 1.0]}
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
    }
    assert run["command"].startswith("python -m eval run --dataset folder --root")
    assert run["packages"]["bogv"]
    assert run["machine"]["cores"] >= 1
    parts = {"load", "embed", "embed_per_new_image", "search_and_score", "losses"}
    assert set(run["seconds"]) == parts
    assert run["settings"] == {
        "pooling": "gap",
        "size": 224,
        "crop": "center",
        "tta": "none",
        "post": "none",
    }
    assert [step["name"] for step in run["losses"]["steps"]] == ["exact", "milvus", "rest"]
    assert "## Loss account" in (written / "report.md").read_text()
    assert "\nLoss account\n" in out


def test_each_query_has_its_row(folder: Path, tmp_path: Path) -> None:
    outcome = measured(tmp_path, "folder", root=folder)
    run, queries = read(
        write(
            tmp_path / "results",
            outcome.run,
            {PER_QUERY: table(outcome.query_results)},
            run_report(outcome, DECODER),
        )
    )
    assert run == outcome.run
    assert queries["query"].is_monotonic_increasing
    first = queries.iloc[0]
    assert (first["query"], first["label"]) == ("class 0/q20.jpg", "class 0")
    assert first["first_relevant"] == 1
    assert first["first_relevant_id"] == first["top_ids"][0]
    assert first["top_ids"][0].startswith("class 0/")
    assert len(first["top_ids"]) == len(first["top_scores"]) == 10
    assert "class 0/q20.jpg" not in first["top_ids"]
    assert list(first["top_scores"]) == sorted(first["top_scores"], reverse=True)
    assert set(run.metrics) >= {name for name in queries.columns if name.startswith("hit_rate")}
    assert queries["map"].mean() == pytest.approx(run.metrics["map"].value)


def test_summary_says_on_every_line_what_it_is_of(folder: Path, tmp_path: Path) -> None:
    embedder = Embedder(Weights(UNTRAINED, None, "feed"), FakeEngine())
    options = RetrievalOptions("folder", folder, progress=False)
    outcome = measure(options, embedder, DECODER, tmp_path / "cache")
    written = write(
        tmp_path,
        outcome.run,
        {PER_QUERY: table(outcome.query_results)},
        run_report(outcome, DECODER),
    )
    rows = list(csv.DictReader((written / "summary.csv").read_text().splitlines()))
    assert {(row["weights"], row["dataset"], row["queries"]) for row in rows} == {
        ("UNTRAINED", "folder", "16")
    }
    assert [row["metric"] for row in rows] == list(outcome.run.metrics)
    assert next(iter(json.loads((written / "run.json").read_text()))) == "weights"
    assert "UNTRAINED" in (written / "run.json").read_text()[:200]


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
    assert err.startswith("UNTRAINED weights: the network has learnt nothing.")
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


@pytest.mark.parametrize(
    "chosen", [OWN_SETTINGS, EmbeddingSettings(crop="pad", tta="flip", post="whiten:3")]
)
def test_the_order_of_the_files_changes_nothing(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, chosen: EmbeddingSettings
) -> None:
    found = []
    plain = load("folder", folder)
    for order in (range(16), np.random.default_rng(5).permutation(16).tolist()):
        items = [plain.items[index] for index in order]
        monkeypatch.setattr(
            running, "load", lambda *_, items=items, **__: replace(plain, items=items)
        )
        outcome = measured(
            tmp_path / str(order),
            "folder",
            root=folder,
            settings=chosen,
            ablation=AblationSample(queries=6),
        )
        run = outcome.run.model_dump()
        del run["seconds"]
        found.append((run, outcome.query_results))
    assert found[0] == found[1]


def test_a_variant_is_named_in_its_folder_and_its_summary(folder: Path, tmp_path: Path) -> None:
    settings = EmbeddingSettings(crop="squash", post="pca:3")
    outcome = measured(tmp_path, "folder", root=folder, settings=settings)
    report = run_report(outcome, DECODER)
    written = write(tmp_path, outcome.run, {PER_QUERY: table(outcome.query_results)}, report)
    assert written.name.startswith("folder-custom-squash-pca3-exact-16-")
    assert read(written)[0].settings == settings
    [row, *_] = csv.DictReader((written / "summary.csv").read_text().splitlines())
    assert row["settings"] == "squash-pca3"
    assert any("post pca:3" in line for line in report.lead)
    assert any("fitted on the gallery itself" in line for line in report.lead)
    assert outcome.run.losses is None


def test_an_account_takes_milvus_own_answers_where_the_run_has_them(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("eval.retrieval.ablation.rank_in_milvus", None)
    run = measured(tmp_path, "folder", root=folder, backend="milvus", ablation=AblationSample()).run
    assert run.losses is not None
    [_, milvus, _] = run.losses.steps
    assert milvus.metrics["map"].value == pytest.approx(run.metrics["map"].value)


def test_other_settings_go_into_folders_of_their_own(folder: Path, tmp_path: Path) -> None:
    runs = [
        measured(tmp_path, "folder", root=folder, **more).run
        for more in (
            *({}, {"ks": (1, 2)}, {"seed": 1}, {"limit": 12}, {"limit": 12, "seed": 1}),
            *(
                {"settings": EmbeddingSettings(crop="pad")},
                {"settings": EmbeddingSettings(tta="flip")},
            ),
        )
    ]
    assert len({run.folder for run in runs}) == 7


def test_json_is_what_was_written(
    run_eval: Eval, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ("--root", folder, "--out", tmp_path / "results", "--json", "--no-losses")
    assert run_eval("run", "--dataset", "folder", *arguments) == 0
    [written] = (tmp_path / "results").iterdir()
    assert json.loads(capsys.readouterr().out) == json.loads((written / "run.json").read_text())


def test_exact_search_and_milvus_agree_on_a_small_gallery(folder: Path, tmp_path: Path) -> None:
    exact = measured(tmp_path, "folder", root=folder).run
    milvus = measured(tmp_path, "folder", root=folder, backend="milvus").run
    assert milvus.metrics == exact.metrics
    assert (exact.depth, milvus.depth) == (None, 16)
    assert exact.folder != milvus.folder


def test_digits_are_measured_without_any_files(tmp_path: Path) -> None:
    run = measured(tmp_path, "digits", limit=200).run
    assert (run.n, run.counts.classes, run.dataset.limit) == (200, 10, 200)
    assert 0.5 < run.headline.value < 1
    low, high = run.headline.ci95
    assert low < run.headline.value < high


def test_the_headlines_own_k_is_always_counted(folder: Path, tmp_path: Path) -> None:
    run = measured(tmp_path, "folder", root=folder, ks=(4,)).run
    assert run.k == [1, 4]
    assert run.headline == run.metrics["hit_rate@1"]


def test_a_query_with_nothing_to_find_is_counted_and_left_out(folder: Path, tmp_path: Path) -> None:
    (folder / "alone").mkdir()
    (folder / "alone" / "only.png").write_bytes(png(99))
    outcome = measured(tmp_path, "folder", root=folder)
    assert (outcome.run.n, outcome.run.counts.queries) == (16, 17)
    assert outcome.run.counts.queries_without_relevant == 1
    assert "alone/only.png" not in {query_result.query for query_result in outcome.query_results}
    assert any("alone/only.png" in query_result.top_ids for query_result in outcome.query_results)


def test_an_unlabelled_folder_is_refused_before_anything_is_embedded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = tmp_path / "flat"
    root.mkdir()
    for seed in range(3):
        (root / f"{seed}.png").write_bytes(png(seed))
    monkeypatch.setattr(running, "embed", None)
    with pytest.raises(DatasetError, match="no query has a relevant image to find"):
        measured(tmp_path, "folder", root=root)


def test_the_same_bytes_under_two_ids_are_told(
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


def test_groups_of_four_have_their_score(folder: Path, tmp_path: Path) -> None:
    ukbench = catalogue_entry("ukbench")
    spec = catalogue_entry("folder").model_copy(
        update={"protocol": ukbench.protocol, "headline": ukbench.headline}
    )
    run = measured(tmp_path, spec, root=folder).run
    assert ukbench.headline == "ns"
    assert run.headline.value == 4.0
    assert "ns" not in measured(tmp_path, "folder", root=folder).run.metrics


def test_junk_is_taken_out_of_what_is_scored_and_of_what_is_shown(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = load("folder", folder)
    truth = first_is_junk(plain)
    monkeypatch.setattr(running, "load", lambda *_, **__: replace(plain, truth=truth))
    [query_result, *_] = measured(tmp_path, "folder", root=folder).query_results
    assert query_result.query == "class 0/q20.jpg"
    assert "class 0/q45.jpg" not in query_result.top_ids
    assert query_result.first_relevant_id == query_result.top_ids[0]
    assert set(query_result.top_ids[:2]) == {"class 0/q70.jpg", "class 0/q95.jpg"}
    assert query_result.scores["map"] == 1.0


def first_is_junk(dataset: Dataset) -> dict[int, Truth]:
    """Of what bears a query's label, the first is junk."""
    truth: dict[int, Truth] = {}
    for query in dataset.queries:
        others = dataset.relevant(query).tolist()
        truth[query] = Truth(tuple(others[1:]), (others[0],))
    return truth


def test_the_digest_knows_the_questions_and_not_the_order(folder: Path) -> None:
    dataset = load("folder", folder)
    digests = [item.id for item in dataset.items]
    same = dataset_digest(dataset, digests)
    other = replace(dataset, items=dataset.items[::-1])
    assert dataset_digest(other, digests[::-1]) == same
    assert dataset_digest(dataset, ["changed", *digests[1:]]) != same
    assert dataset_digest(replace(dataset, gallery=dataset.gallery[1:]), digests) != same
    assert dataset_digest(replace(dataset, truth=first_is_junk(dataset)), digests) != same


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--dataset", "nonesuch"], "Dataset nonesuch: there is none of that name; there are"),
        (["--dataset", "clothing"], "Dataset clothing: name its folder with --root"),
        (["--dataset", "folder", "--root", "/nowhere"], "There is no folder '/nowhere'."),
        (["--dataset", "digits", "--weights", "/no/file.pth"], "weights '/no/file.pth' can't be"),
        (["--dataset", "digits", "--backend", "milvus", "--k", "1000"], "Use --backend exact"),
        (["--dataset", "digits", "--limit", "20", "--post", "pca:20"], "ask for 19 at most"),
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
def test_a_k_that_counts_no_places_is_refused(run_eval: Eval, k: str) -> None:
    assert run_eval("run", "--dataset", "digits", "--k", k) == 2


@pytest.mark.parametrize(
    "setting",
    ["--post=pca", "--post=512", "--post=pca:0", "--size=300", "--crop=middle", "--tta=x"],
)
def test_a_setting_that_there_is_not_is_refused(run_eval: Eval, setting: str) -> None:
    assert run_eval("run", "--dataset", "digits", setting) == 2


def test_a_damaged_image_is_named_and_status_2(
    run_eval: Eval, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "class 2" / "bad.jpg").write_bytes(b"no image")
    assert run_eval("run", "--dataset", "folder", "--root", folder, "--out", tmp_path) == 2
    assert "the image 'class 2/bad.jpg' can't be used" in capsys.readouterr().err


def test_queries_without_labels_that_find_nothing_are_written_all_the_same(
    folder: Path, tmp_path: Path
) -> None:
    outcome = measured(tmp_path, "folder", root=folder)
    lost = [
        replace(query_result, label=None, first_relevant=None, first_relevant_id=None)
        for query_result in outcome.query_results
    ]
    _, queries = read(
        write(
            tmp_path / "results",
            outcome.run,
            {PER_QUERY: table(lost)},
            run_report(outcome, DECODER),
        )
    )
    assert len(queries) == 16
    assert queries[["label", "first_relevant", "first_relevant_id"]].isna().all().all()


def test_results_that_cannot_be_written_are_an_error(folder: Path, tmp_path: Path) -> None:
    outcome = measured(tmp_path, "folder", root=folder)
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(WorkbenchError, match="The results can't be written"):
        write(
            tmp_path / "file",
            outcome.run,
            {PER_QUERY: table(outcome.query_results)},
            run_report(outcome, DECODER),
        )


def test_list_says_what_there_is_and_what_is_here(
    run_eval: Eval, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    (tmp_path / "clothing").mkdir()
    monkeypatch.setenv("BOGV_DATASETS", str(tmp_path))
    assert run_eval("list", "--json") == 0
    here = {each["id"]: each["here"] for each in json.loads(capsys.readouterr().out)}
    assert (here["digits"], here["clothing"], here["cifar10"]) == (True, True, False)
    assert run_eval("list") == 0
    lines = capsys.readouterr().out.splitlines()
    assert next(line for line in lines if line.startswith("digits")).endswith("yes")


def test_fetch_says_what_needs_nothing_and_what_cannot_be_had(run_eval: Eval, capsys: Any) -> None:
    assert run_eval("fetch", "digits") == 0
    assert capsys.readouterr().out == "digits needs no files.\n"
    assert run_eval("fetch", "nonesuch") == 2


def test_selftest_ends_with_1_when_a_canary_is_dead(
    run_eval: Eval, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    canaries = [Canary("sings", alive=True, detail="fine")]
    monkeypatch.setattr(selftest_command, "run_canaries", lambda: canaries)
    assert run_eval("selftest") == 0
    canaries.append(Canary("silent", alive=False, detail="no song"))
    assert run_eval("selftest", "--json") == 1
    assert capsys.readouterr().out.startswith("ok    sings: fine\n")


def test_every_command_has_its_help(run_eval: Eval, capsys: Any) -> None:
    for command in ("list", "fetch", "run", "compare", "selftest"):
        assert run_eval(command, "--help") == 0
        assert f"eval {command}" in capsys.readouterr().out


def test_it_runs_as_a_module_with_real_untrained_weights(tmp_path: Path) -> None:
    """The one test with the network itself; offline, as `untrained` needs no download."""
    arguments = ["run", "--dataset", "digits", "--limit", "12", "--weights", "untrained"]
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

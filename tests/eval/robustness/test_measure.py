"""`robustness`: what is asked, what counts as found, and what is written."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from bogv.embedder import Embedder
from bogv.imaging.decoder import Decoder
from bogv.records import Pixels, Vectors
from bogv.weights import DIMENSION, UNTRAINED, Weights
from eval import __main__ as command_line
from eval.commands import robustness as command
from eval.data.catalogue import DatasetError
from eval.data.datasets import load
from eval.errors import WorkbenchError
from eval.retrieval.measure import check_answerable
from eval.retrieval.search import rank
from eval.robustness.edited_queries import make_edited_queries
from eval.robustness.edits import CONTROL, EDITS, EditVariant, apply_edit, edit_variants
from eval.robustness.measure import RobustnessOptions, RobustnessOutcome, means, measure
from eval.robustness.report import robustness_report, worst
from eval.robustness.result import EditedQueryResult, notes, table
from tests.fakes import FakeEngine, encoded, fake_embedder, picture, png

DECODER = Decoder(1_000_000, 1_000_000)

Eval = Callable[..., int]


class ConstantEngine:
    """A broken network: everything looks alike to it."""

    name = "constant"
    batch = 64

    def features(self, pixels: Pixels) -> Vectors:
        return np.ones((len(pixels), DIMENSION), np.float32)

    bulk = features


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Twelve pictures without labels."""
    root = tmp_path / "mine"
    root.mkdir()
    for seed in range(12):
        (root / f"{seed:02d}.png").write_bytes(png(seed))
    return root


@pytest.fixture
def run_eval(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Eval:
    """The command line with a data folder of its own and the fake embedder; gives the status."""
    monkeypatch.setenv("BOGV_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.setattr(command, "load_embedder", lambda *_: fake_embedder())

    def status(*arguments: str | Path) -> int:
        with pytest.raises(SystemExit) as stopped:
            command_line.main([str(argument) for argument in arguments])
        code = stopped.value.code
        return code if isinstance(code, int) else 1

    return status


def measured(
    root: Path, embedder: Embedder | None = None, decoder: Decoder = DECODER, **more: Any
) -> RobustnessOutcome:
    options = RobustnessOptions(**{"dataset": "folder", "root": root, "progress": False, **more})
    return measure(options, embedder or fake_embedder(), decoder, root.parent / "cache")


def values(outcome: RobustnessOutcome) -> dict[str, float]:
    return {name: mean.value for name, mean in outcome.result.metrics.items()}


def test_mild_edits_find_their_original_and_half_a_turn_does_not(folder: Path) -> None:
    found = values(measured(folder, edits=["jpeg", "blur", "rotate"], sample=6))
    assert found["hit_rate@1/none"] == 1
    assert found["hit_rate@1/jpeg:75"] == found["hit_rate@1/blur:0.5"] == 1
    assert found["hit_rate@1/rotate:180"] < 0.5
    assert found["hit_rate@1/rotate:180"] <= found["hit_rate@5/rotate:180"]


def test_the_overall_figure_is_the_mean_over_edited_images_without_the_control(
    folder: Path,
) -> None:
    outcome = measured(folder, edits=["rotate", "mirror"], sample=5)
    queries = table(outcome.query_results)
    made = queries[queries["edit"] != "none"]
    assert len(made) == outcome.result.n == 5 * 7
    found = values(outcome)
    for name in ("hit_rate@1", "hit_rate@5", "hit_rate@10", "mrr"):
        assert found[name] == pytest.approx(made[name].mean())
        assert found[f"{name}/rotate"] == pytest.approx(made[name][made["edit"] == "rotate"].mean())
    flipped = queries[(queries["edit"] == "mirror") & (queries["strength"] == "vertical")]
    assert found["mrr/mirror:vertical"] == pytest.approx((1 / flipped["rank"]).mean())
    low, high = outcome.result.metrics["mrr"].ci95
    assert low < found["mrr"] < high


def test_the_bootstrap_draws_originals_and_not_their_edits() -> None:
    """Two originals, one found by all of its edits, one by none: nothing is sure."""
    made = [EditVariant("crop", strength) for strength in EDITS["crop"].recipes]
    query_results = [
        EditedQueryResult(
            0, image, variant, None, None, None, [], [], {"hit_rate@1": float(image == "a")}
        )
        for image in "ab"
        for variant in (CONTROL, *made)
    ]
    mean = means(query_results, seed=0)["hit_rate@1"]
    assert (mean.value, mean.ci95) == (0.5, (0.0, 1.0))


def test_a_sample_is_edited_and_everything_is_searched(folder: Path) -> None:
    outcome = measured(folder, sample=4, edits=["mirror"], ks=[3])
    result = outcome.result
    assert (result.sample, result.gallery, result.n, result.k) == (4, 12, 8, [1, 3])
    assert len({query_result.image for query_result in outcome.query_results}) == 4
    assert max(len(query_result.top_ids) for query_result in outcome.query_results) == 10
    assert measured(folder, sample=99, edits=["mirror"]).result.sample == 12
    others = measured(folder, sample=4, edits=["mirror"], seed=1)
    assert {a.image for a in others.query_results} != {a.image for a in outcome.query_results}


def test_the_order_of_the_files_changes_no_question(folder: Path) -> None:
    dataset = load("folder", folder)
    backwards = replace(dataset, items=dataset.items[::-1])
    edited, again = (
        make_edited_queries(each, edit_variants(["crop"]), 5, 3, DECODER)
        for each in (dataset, backwards)
    )
    assert [item.id for item in again.dataset.items] == [item.id for item in edited.dataset.items]
    query = edited.dataset.queries[2]
    assert again.dataset.items[query].read() == edited.dataset.items[query].read()
    question = edited.questions[query]
    original = edited.dataset.items[question.original]
    image = DECODER.upright(original.read())[0]
    assert edited.dataset.items[query].read() == apply_edit(image, question.variant, 3, original.id)


def test_the_control_is_the_originals_own_bytes(folder: Path) -> None:
    edited = make_edited_queries(load("folder", folder), edit_variants(["crop"]), 5, 0, DECODER)
    controls = [query for query, each in edited.questions.items() if each.variant == CONTROL]
    items = edited.dataset.items
    assert len(controls) == 5
    for query in controls:
        assert items[query].read() == items[edited.questions[query].original].read()


def test_copies_with_the_same_bytes_or_pixels_count_as_the_original(folder: Path) -> None:
    (folder / "00 same bytes.png").write_bytes(png(3))
    (folder / "00 same pixels.bmp").write_bytes(encoded(picture(3), "BMP"))
    outcome = measured(folder, edits=["jpeg"])
    assert outcome.result.sample_with_copies == 3
    of_three = [
        query_result for query_result in outcome.query_results if query_result.image == "03.png"
    ]
    assert {query_result.rank for query_result in of_three} == {1}
    assert {query_result.found_id for query_result in of_three} == {
        "00 same bytes.png"
    }  # the first of equals
    assert values(outcome)["hit_rate@1/none"] == 1
    [note] = notes(outcome.result)
    assert note.startswith("DUPLICATES: 3 of the 14 edited images")


def test_a_jpeg_of_the_original_is_another_image(folder: Path) -> None:
    (folder / "03 again.jpg").write_bytes(encoded(picture(3), "JPEG", quality=95))
    outcome = measured(folder, edits=["jpeg"])
    assert outcome.result.sample_with_copies == 0
    assert notes(outcome.result) == []


def test_a_network_to_which_all_looks_alike_fails_the_control(folder: Path) -> None:
    broken = Embedder(Weights("custom", None, "feed"), ConstantEngine())
    outcome = measured(folder, broken, edits=["mirror"])
    assert outcome.result.sample_with_copies == 0
    assert values(outcome)["hit_rate@1/none"] == pytest.approx(1 / 12)
    [note] = notes(outcome.result)
    assert note.startswith("THE CONTROL FAILED: unedited images find themselves first in 8.3%")
    assert note in robustness_report(outcome, DECODER).lead


def test_milvus_finds_the_same_and_says_how_deep(folder: Path) -> None:
    exact, milvus = (
        measured(folder, sample=3, edits=["mirror"], backend=backend)
        for backend in ("exact", "milvus")
    )
    assert values(milvus) == values(exact)
    assert (exact.result.depth, milvus.result.depth) == (None, 12)
    assert exact.result.folder != milvus.result.folder


def test_an_original_beyond_the_ranking_has_no_rank(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def shallow(*arguments: Any) -> Any:
        for each in rank(*arguments):
            yield replace(each, found=each.found[:1], scores=each.scores[:1])

    monkeypatch.setattr("eval.robustness.measure.rank", shallow)
    outcome = measured(folder, edits=["rotate"], sample=4)
    lost = [query_result for query_result in outcome.query_results if query_result.rank is None]
    assert lost
    assert {query_result.scores["mrr"] for query_result in lost} == {0}
    queries = table(outcome.query_results)
    assert queries["rank"].isna().sum() == len(lost)
    assert worst(outcome.query_results) == [lost[0]]
    shown = robustness_report(outcome, DECODER)
    assert "not found" in str(shown)


def test_a_second_run_embeds_nothing_and_gives_the_same_but_for_times(folder: Path) -> None:
    first, second = (measured(folder, edits=["crop", "text"], sample=3) for _ in range(2))
    assert first.new == 12 + 3 * 7  # the control is in the gallery
    assert second.new == 0
    assert second.result.model_dump(exclude={"seconds"}) == first.result.model_dump(
        exclude={"seconds"}
    )
    assert second.query_results == first.query_results


def test_the_folder_of_a_dataset_with_roles_is_searched_in_its_gallery_alone(folder: Path) -> None:
    rows = [f"{n:02d}.png,{n},{'query' if n < 4 else 'gallery'}" for n in range(12)]
    (folder / "labels.csv").write_text("\n".join(["path,label,role", *rows]))
    outcome = measured(folder, edits=["mirror"])
    assert outcome.result.gallery == outcome.result.sample == 8
    assert min(query_result.image for query_result in outcome.query_results) == "04.png"


def test_the_worst_are_failures_one_of_each_edit_the_worst_first() -> None:
    def query_result(edit: str, rank: int | None) -> EditedQueryResult:
        return EditedQueryResult(0, "a", EditVariant(edit, "1"), rank, "a", 0.5, ["b"], [0.9], {})

    lost, far, near = query_result("text", None), query_result("crop", 9), query_result("blur", 2)
    others = [query_result("crop", 7), query_result("logo", 1), query_result("none", 4)]
    others[2] = replace(others[2], variant=CONTROL)
    assert worst([near, *others, far, lost]) == [lost, far, near]


def test_the_report_leads_with_the_weights_and_shows_every_edit(folder: Path) -> None:
    untrained = Embedder(Weights(UNTRAINED, None, "feed"), FakeEngine())
    outcome = measured(folder, untrained, sample=2)
    report = robustness_report(outcome, DECODER)
    assert report.lead[0] == "Weights: UNTRAINED, fingerprint feed."
    assert report.lead[1].startswith("UNTRAINED weights")
    heat, weakest, looks, failures, figures, _ = report.sections
    assert str(heat.blocks[0]).startswith("Figure(name='robustness', png=b'\\x89PNG")
    tables: Any = [weakest.blocks[0], figures.blocks[0]]
    for each in tables:
        shares = [float(row[1]) for row in each.rows]
        assert shares == sorted(shares)
    assert {row[0] for row in tables[0].rows} == set(EDITS)
    assert len(tables[1].rows) == len(edit_variants()) + 1
    strips: Any = looks.blocks[1:]
    assert sum(len(strip.tiles) for strip in strips) == len(edit_variants())
    gallery: Any = failures.blocks[1:]
    for strip in gallery:
        assert [tile.mark for tile in strip.tiles].count("right") == 1
        assert strip.tiles[0].mark == "query"
        assert strip.tiles[1].mark == "wrong"
        for tile in strip.tiles:
            assert tile.image.startswith(b"\xff\xd8")
            assert len(tile.image) < 30_000


def test_the_command_writes_a_result_and_prints_it(
    run_eval: Eval, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ("--dataset", "folder", "--root", folder, "--sample", "4", "--edits", "crop, jpeg")
    assert run_eval("robustness", *arguments, "--k", "1,3", "--out", tmp_path / "results") == 0
    out, err = capsys.readouterr()
    assert "Searching: 100%" in err
    assert out.startswith("Weights:  custom, fingerprint fake0000\n")
    assert "jpeg         1.00   75 1.00   50 1.00   25 1.00   10 1.00" in out
    written = Path(out.splitlines()[-1])
    run = json.loads((written / "run.json").read_text())
    assert next(iter(run)) == "weights"
    assert (run["kind"], run["n"], run["sample"], run["gallery"]) == ("robustness", 32, 4, 12)
    assert run["edits"]["jpeg"] == ["75", "50", "25", "10"]
    assert run["metrics"]["hit_rate@1/jpeg:75"] == {"value": 1.0, "ci95": [1.0, 1.0]}
    assert list(run["metrics"])[:3] == ["hit_rate@1", "hit_rate@3", "mrr"]
    assert run["command"].startswith("python -m eval robustness --dataset folder --root")
    queries = pd.read_parquet(written / "per_query.parquet")
    assert len(queries) == 4 * 9
    first = queries.iloc[1]
    assert (first["edit"], first["strength"], first["top_id"]) == ("crop", "90", first["image"])
    assert (written / "report.html").stat().st_size > 50_000
    assert (written / "figures" / "robustness.png").is_file()
    lines = (written / "summary.csv").read_text().splitlines()
    assert lines[1].startswith("custom,folder,exact,32,hit_rate@1,")
    assert len(lines) == 1 + len(run["metrics"])


def test_json_puts_nothing_else_on_stdout(
    run_eval: Eval, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ("--dataset", "folder", "--root", folder, "--sample", "2", "--edits", "mirror")
    assert run_eval("robustness", *arguments, "--json", "--out", tmp_path / "results") == 0
    assert json.loads(capsys.readouterr().out)["kind"] == "robustness"


def last_line(run_eval: Eval, capsys: pytest.CaptureFixture[str], *arguments: str | Path) -> str:
    assert run_eval("robustness", "--dataset", "folder", *arguments) == 2
    out, err = capsys.readouterr()
    assert out == ""
    return err.splitlines()[-1]


def test_an_unknown_edit_is_one_line_and_status_2(
    run_eval: Eval, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    line = last_line(run_eval, capsys, "--root", folder, "--edits", "crop,zoom")
    assert line.startswith("eval: There is no edit 'zoom'; there are crop, resize, ")


def test_a_single_image_is_no_gallery(
    run_eval: Eval, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "one").mkdir()
    (tmp_path / "one" / "a.png").write_bytes(png(1))
    line = last_line(run_eval, capsys, "--root", tmp_path / "one")
    assert line == "eval: Dataset folder: 1 image is no gallery to search; there have to be two."


def test_an_image_that_cannot_be_read_is_named(
    run_eval: Eval, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "bad.jpg").write_bytes(b"no image")
    line = last_line(run_eval, capsys, "--root", folder)
    assert "the image 'bad.jpg' can't be used" in line


def test_an_edited_image_that_cannot_be_read_names_its_original(folder: Path) -> None:
    small = max(path.stat().st_size for path in folder.iterdir())
    with pytest.raises(DatasetError, match=r"the image '\d\d.png \(noise:10\)' can't be used"):
        measured(folder, decoder=Decoder(small, 1_000_000), edits=["noise"])


@pytest.mark.parametrize("more", [{"sample": 0}, {"ks": [0]}, {"ks": []}])
def test_what_counts_nothing_is_refused(folder: Path, more: dict[str, Any]) -> None:
    with pytest.raises(WorkbenchError, match="at least 1"):
        measured(folder, **more)


def test_run_points_to_robustness_where_there_are_no_labels(folder: Path) -> None:
    with pytest.raises(DatasetError, match="`python -m eval robustness` needs no labels"):
        check_answerable(load("folder", folder))


def test_a_picture_is_edited_as_bogv_sees_it(tmp_path: Path) -> None:
    """Upright, and white where it is transparent."""
    folder = tmp_path / "odd"
    folder.mkdir()
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by a quarter
    (folder / "turned.jpg").write_bytes(encoded(picture(1), "JPEG", exif=exif))
    clear = Image.new("RGBA", (64, 64))
    (folder / "clear.png").write_bytes(encoded(clear))
    edited = make_edited_queries(load("folder", folder), edit_variants(["resize"]), 2, 0, DECODER)
    shown = {
        edited.dataset.items[query].id: DECODER.upright(edited.dataset.items[query].read())[0]
        for query in edited.dataset.queries
    }
    assert shown["turned.jpg (resize:50)"].size == (120, 160)
    assert shown["clear.png (resize:50)"].getpixel((5, 5)) == (255, 255, 255)


def test_the_command_has_its_help(run_eval: Eval, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_eval("robustness", "--help") == 0
    assert "--edits" in capsys.readouterr().out

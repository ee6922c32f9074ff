"""The report of a run: its figures are those of run.json, and it shows what went wrong."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from bogv.embedding.embedder import Embedder
from bogv.embedding.weights import UNTRAINED, Weights
from eval.data.catalogue import Anchor
from eval.report.document import Figure, Table, html, markdown, write
from eval.report.results import interval_text
from eval.retrieval.report import EXPLAINED, explain, run_report
from tests.eval.support.retrieval import DECODER
from tests.eval.support.retrieval_report import blocks, measured
from tests.support.fakes import FakeEngine, encoded, picture


def test_the_first_lines_have_the_weights_the_dataset_and_the_headline(
    class_folders: Path, tmp_path: Path
) -> None:
    untrained = Embedder(Weights(UNTRAINED, None, "feed"), FakeEngine())
    outcome = measured(class_folders, tmp_path, untrained, limit=12)
    run = outcome.run
    report = run_report(outcome, DECODER)
    assert report.lead[0] == "Weights: UNTRAINED, fingerprint feed."
    assert report.lead[1].startswith("UNTRAINED weights: the network finds only near-duplicates")
    mean = run.headline
    assert f"hit_rate@1 is {mean.value:.4f}, 95% interval {interval_text(mean)}" in report.lead[2]
    assert f"over {run.n} queries" in report.lead[2]
    # Three of the eleven others have the query's label.
    assert "Chance, the whole gallery in a random order, is 0.2727." in report.lead[2]
    sample = (
        f"in {class_folders}, a SAMPLE of 12 images: 3 of 4 classes, each as a whole. Protocol"
        " leave-one-out"
    )
    assert sample in report.lead[3]
    trained = run_report(measured(class_folders, tmp_path), DECODER)
    assert trained.lead[0] == "Weights: custom, fingerprint fake0000."
    assert "UNTRAINED" not in html(trained)


def test_published_figures_stand_beside_the_runs_own(class_folders: Path, tmp_path: Path) -> None:
    outcome = measured(class_folders, tmp_path)
    anchors = [
        Anchor(metric="hit_rate@1", value=0.455, setting="V1", source="a|b", status="cited"),
        Anchor(metric="recall@77", value=0.5, setting="other", source="c", status="reproduced"),
    ]
    run = outcome.run.model_copy(update={"anchors": anchors})
    report = run_report(replace(outcome, run=run), DECODER)
    assert report.lead[-1] == "To compare, cited: hit_rate@1 0.455 (V1; a|b)."
    [found] = [each for each in blocks(report, Table) if "published" in each.columns]
    assert found.rows == [
        ["hit_rate@1", "0.4550", f"{run.headline.value:.4f}", "cited", "V1", "a|b"],
        ["recall@77", "0.5000", "–", "reproduced", "other", "c"],
    ]


def test_every_metric_of_the_run_is_in_the_table_with_a_word_on_it(
    class_folders: Path, tmp_path: Path
) -> None:
    outcome = measured(class_folders, tmp_path)
    metrics = blocks(run_report(outcome, DECODER), Table)[0]
    names = [row[0].removesuffix(" ◀") for row in metrics.rows]
    assert names == [name for name in outcome.run.metrics if not name.endswith("_per_class")]
    for row, name in zip(metrics.rows, names, strict=True):
        assert row[1] == f"{outcome.run.metrics[name].value:.4f}"
        assert row[3] == f"{outcome.run.metrics[f'{name}_per_class'].value:.4f}"
        assert row[-2] == f"{outcome.run.chance[name]:.4f}"
        assert row[-1] == explain(name) != ""
        assert (" ◀" in row[0]) == (name == "hit_rate@1")
    assert explain("ns") == EXPLAINED["ns"]


def test_the_dataset_has_a_card(class_folders: Path, tmp_path: Path) -> None:
    outcome = measured(class_folders, tmp_path)
    report = run_report(outcome, DECODER)
    [card] = [each for each in blocks(report, Table) if "folder" in each.columns]
    rows = dict(card.rows)
    spec, counts = outcome.dataset.spec, outcome.run.counts
    assert rows["name"] == spec.name
    assert rows["source"] == str(class_folders)
    assert (rows["licence"], rows["terms"], rows["citation"]) == ("yours", "yours", "none")
    assert rows["protocol"].startswith("leave-one-out: each image searches all others")
    assert rows["images"] == f"{counts.images}" == "16"
    assert rows["digest"] == outcome.run.dataset.digest
    [sizes] = [each for each in blocks(report, Table) if each.columns[0] == "size of the images"]
    on_disk = sorted(path.stat().st_size for path in class_folders.rglob("*.jpg"))
    [_, smallest, *_, largest] = sizes.rows[1]
    assert (smallest, largest) == (f"{on_disk[0]:,}", f"{on_disk[-1]:,}")


def test_duplicates_and_overlap_with_imagenet_are_reported(
    class_folders: Path, tmp_path: Path
) -> None:
    same = (class_folders / "class 0" / "q95.jpg").read_bytes()
    (class_folders / "class 1" / "copy.jpg").write_bytes(same)
    outcome = measured(class_folders, tmp_path)
    report = run_report(outcome, DECODER)
    assert "DUPLICATES: 2 of the queries" in markdown(report)
    for overlap, word in (("images", "CAUTION: "), ("classes", "CAUTION: "), ("none", "nothing")):
        part = outcome.run.dataset.model_copy(update={"overlaps_imagenet": overlap})
        run = outcome.run.model_copy(update={"dataset": part})
        text = markdown(run_report(replace(outcome, run=run), DECODER))
        [line] = [line for line in text.splitlines() if "ImageNet-1k" in line]
        assert word in line


def test_the_same_picture_in_two_formats_and_names_that_differ_by_case_are_reported(
    class_folders: Path, tmp_path: Path
) -> None:
    (class_folders / "CLASS 0").mkdir()
    for seed, kind in ((7, "PNG"), (7, "WEBP"), (8, "PNG")):
        data = encoded(picture(seed), kind, lossless=True)
        (class_folders / "CLASS 0" / f"{seed}.{kind.lower()}").write_bytes(data)
    text = markdown(run_report(measured(class_folders, tmp_path), DECODER))
    assert "2 of the queries are in the gallery under another id, as another file" in text
    assert "CLASS 0/7.png = CLASS 0/7.webp" in text
    assert "CLASSES: some names differ by upper and lower case" in text
    assert "| by pixels only | 2 |" in text
    assert "| gallery images that are in it more than once | 2 |" in text


def test_a_milvus_report_states_the_depth_of_its_rankings(
    class_folders: Path, tmp_path: Path
) -> None:
    outcome = measured(class_folders, tmp_path, backend="milvus")
    text = markdown(run_report(outcome, DECODER))
    assert "Search: milvus, the top 16 ranks; engine fake." in text
    assert "A ranking ends at rank 16" in text
    assert "Only the top 16 ranks are counted." in text


def test_groups_without_labels_have_no_class_plot(class_folders: Path, tmp_path: Path) -> None:
    outcome = measured(class_folders, tmp_path)
    query_results = [replace(query_result, label=None) for query_result in outcome.query_results]
    metrics = {k: v for k, v in outcome.run.metrics.items() if not k.endswith("_per_class")}
    run = outcome.run.model_copy(update={"metrics": metrics})
    report = run_report(replace(outcome, run=run, query_results=query_results), DECODER)
    figures = [figure.name for figure in blocks(report, Figure)]
    assert figures == ["recall-at-k", "precision-recall", "similarities"]
    assert blocks(report, Table)[0].columns == [
        "metric",
        "mean",
        "interval",
        "chance",
        "what it is",
    ]


def test_the_same_run_has_the_same_report_byte_by_byte(class_folders: Path, tmp_path: Path) -> None:
    contents = []
    for name in ("first", "second"):
        (tmp_path / name).mkdir()
        write(tmp_path / name, run_report(measured(class_folders, tmp_path), DECODER))
        files = sorted(path for path in (tmp_path / name).rglob("*") if path.is_file())
        contents.append({path.name: path.read_bytes() for path in files})
    assert contents[0] == contents[1]
    assert {"report.md", "report.html", "classes.png", "worst-8-0.jpg"} <= set(contents[0])


def test_names_of_files_break_neither_plots_nor_report(class_folders: Path, tmp_path: Path) -> None:
    (class_folders / "class 0").rename(
        class_folders / "$a$ <b>|`c`\n*鞋* with a very long name, longer than a bar"
    )
    report = run_report(measured(class_folders, tmp_path), DECODER)
    write(tmp_path, report)
    page = (tmp_path / "report.html").read_text("utf-8")
    assert "<b>|" not in page
    assert "$a$ &lt;b&gt;|`c` *鞋*" in page
    for line in markdown(report).splitlines():
        assert "<b>|" not in line

"""The report of a run: its figures are those of run.json, and it shows what went wrong."""

from __future__ import annotations

import io
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from bogv.embedder import Embedder
from bogv.imaging.decoder import Decoder
from bogv.weights import UNTRAINED, Weights
from eval.data.catalogue import Anchor
from eval.report.document import Figure, Report, Strip, Table, html, markdown, write
from eval.retrieval.curves import compute_curves
from eval.retrieval.failures import failure_strips, small, worst
from eval.retrieval.measure import RetrievalOptions, RetrievalOutcome, measure
from eval.retrieval.plots import classes
from eval.retrieval.report import EXPLAINED, explain, run_report
from eval.retrieval.result import table
from eval.retrieval.similarities import Similarities, coarse, quantile
from tests.fakes import FakeEngine, encoded, fake_embedder, picture

DECODER = Decoder(1_000_000, 1_000_000)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Four classes of four; one image of each class is a copy, but for quality, of the next's."""
    root = tmp_path / "mine"
    for label in range(4):
        (root / f"class {label}").mkdir(parents=True)
        for quality in (95, 70, 45, 20):
            seed = (label + 1) % 4 if quality == 45 else label
            data = encoded(picture(seed), "JPEG", quality=quality)
            (root / f"class {label}" / f"q{quality}.jpg").write_bytes(data)
    return root


def measured(
    folder: Path, tmp_path: Path, embedder: Embedder | None = None, **more: Any
) -> RetrievalOutcome:
    options = RetrievalOptions("folder", folder, progress=False, **more)
    return measure(options, embedder or fake_embedder(), DECODER, tmp_path / "cache")


def blocks(report: Report, kind: type[Any]) -> list[Any]:
    return [
        each for section in report.sections for each in section.blocks if isinstance(each, kind)
    ]


def test_the_first_lines_say_which_weights_on_what_and_how_good(
    folder: Path, tmp_path: Path
) -> None:
    untrained = Embedder(Weights(UNTRAINED, None, "feed"), FakeEngine())
    outcome = measured(folder, tmp_path, untrained, limit=12)
    run = outcome.run
    report = run_report(outcome, DECODER)
    assert report.lead[0] == "Weights: UNTRAINED, fingerprint feed."
    assert report.lead[1].startswith("UNTRAINED weights: the network has learnt nothing.")
    mean = run.headline
    assert f"hit_rate@1 is {mean.value:.4f}, 95% interval [{mean.ci95[0]:.4f}" in report.lead[2]
    assert f"over {run.n} queries" in report.lead[2]
    assert "a sample of 12 images. Protocol leave-one-out" in report.lead[3]
    trained = run_report(measured(folder, tmp_path), DECODER)
    assert trained.lead[0] == "Weights: custom, fingerprint fake0000."
    assert "UNTRAINED" not in html(trained)


def test_published_figures_stand_beside_the_runs_own(folder: Path, tmp_path: Path) -> None:
    outcome = measured(folder, tmp_path)
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
    folder: Path, tmp_path: Path
) -> None:
    outcome = measured(folder, tmp_path)
    metrics = blocks(run_report(outcome, DECODER), Table)[0]
    names = [row[0].removesuffix(" ◀") for row in metrics.rows]
    assert names == [name for name in outcome.run.metrics if not name.endswith("_per_class")]
    for row, name in zip(metrics.rows, names, strict=True):
        assert row[1] == f"{outcome.run.metrics[name].value:.4f}"
        assert row[3] == f"{outcome.run.metrics[f'{name}_per_class'].value:.4f}"
        assert row[-1] == explain(name) != ""
        assert (" ◀" in row[0]) == (name == "hit_rate@1")
    assert explain("ns") == EXPLAINED["ns"]


def test_the_curves_are_the_metrics_of_the_run_interval_and_all(
    folder: Path, tmp_path: Path
) -> None:
    outcome = measured(folder, tmp_path, ks=(1, 3, 13))
    run = outcome.run
    found = compute_curves(table(outcome.query_results), run.k, 15, run.seed)
    assert found.ks == [*range(1, 11), 12, 13, 15]
    for k in run.k:
        at = found.ks.index(k)
        for curve, name in ((found.hit_rate, "hit_rate"), (found.recall, "recall")):
            metric = run.metrics[f"{name}@{k}"]
            assert curve[at] == pytest.approx([metric.value, *metric.ci95])
    assert found.hit_rate[-1, 0] == found.recall[-1, 0] == 1
    assert found.best[:3] == pytest.approx([1 / 3, 2 / 3, 1])
    assert 0 < found.hit_rate[0, 0] < 1


def test_a_query_that_never_finds_anything_pulls_the_curves_down() -> None:
    queries = pd.DataFrame(
        {
            "first_relevant": pd.array([1, None, 2], "Int64"),
            "relevant": [2, 1, 4],
            "relevant_places": [[1, 3], [], [2, 99]],
        }
    )
    found = compute_curves(queries, [], 1000, 0)
    assert found.ks[-1] == 100
    assert found.hit_rate[[0, 1, -1], 0] == pytest.approx([1 / 3, 2 / 3, 2 / 3])
    assert found.recall[[0, 1, 2, -1], 0] == pytest.approx([1 / 6, 1 / 4, 5 / 12, 1 / 2])


def test_pairs_are_counted_as_all_of_them_would_be(folder: Path, tmp_path: Path) -> None:
    outcome = measured(folder, tmp_path)
    found = outcome.similarities
    # 16 images search the 15 others, of which 3 are relevant.
    assert (found.relevant.sum(), found.irrelevant.sum()) == (48, 192)
    rng = np.random.default_rng(0)
    scores, rel = rng.uniform(-0.2, 0.9, 4001), rng.random(4001) < 0.3
    scores[rel] += 0.1
    tally = Similarities()
    for part in np.array_split(np.arange(4001), 7):
        tally.add(scores[part], rel[part])
    assert quantile(tally.relevant, 0.5) == pytest.approx(
        np.quantile(scores[rel], 0.5, method="inverted_cdf"), abs=1e-5
    )
    from sklearn.metrics import roc_auc_score

    assert tally.auc == pytest.approx(roc_auc_score(rel, scores), abs=1e-4)
    edges = tally.edges()
    assert 60 <= edges.size <= 63
    assert np.diff(edges) == pytest.approx(np.full(edges.size - 1, edges[1] - edges[0]))
    counts, _ = np.histogram(scores[~rel], edges)
    assert coarse(tally.irrelevant, edges) == pytest.approx(100 * counts / (~rel).sum(), abs=0.1)
    assert coarse(tally.relevant, edges).sum() == pytest.approx(100, abs=0.2)


def test_cosines_a_rounding_step_beyond_1_are_counted_too() -> None:
    tally = Similarities()
    tally.add(np.array([1 + 1e-9, -1 - 1e-9]), np.array([True, False]))
    assert (quantile(tally.relevant, 0.5), quantile(tally.irrelevant, 0.5)) == (1, -1)
    edges = tally.edges()
    assert edges[0] < -1
    assert edges[-1] > 1
    assert coarse(tally.relevant, edges).sum() == coarse(tally.irrelevant, edges).sum() == 100


def test_pairs_that_are_all_alike_have_a_histogram_too() -> None:
    tally = Similarities()
    tally.add(np.full(5, 0.25), np.array([True, False, False, False, False]))
    assert tally.auc == 0.5
    assert quantile(tally.relevant, 0.5) == pytest.approx(0.25)
    assert coarse(tally.irrelevant, tally.edges()).tolist().count(100) == 1


def test_many_classes_show_the_best_and_the_worst() -> None:
    labels = [f"c{number:02}" for number in range(30)]
    rows = pd.DataFrame({"label": labels * 2, "map": [number / 29 for number in range(30)] * 2})
    found = classes(rows, "map", 0)
    assert found is not None
    assert [each.name for each in found.best] == labels[:17:-1]
    assert [each.name for each in found.worst] == labels[11::-1]
    assert found.between == pytest.approx([number / 29 for number in range(17, 11, -1)])
    assert found.best[0].queries == 2
    few = classes(rows[rows["label"] < "c05"], "map", 0)
    assert few is not None
    assert ([each.name for each in few.best], few.worst) == (labels[4::-1], [])
    assert classes(rows[rows["label"] == "c00"], "map", 0) is None
    assert classes(rows.assign(label=None), "map", 0) is None


def test_more_classes_than_bars_are_drawn_and_told_of(tmp_path: Path) -> None:
    root = tmp_path / "many"
    for label in range(26):
        (root / f"{label:02}").mkdir(parents=True)
        for quality in (90, 40):
            data = encoded(picture(label, (48, 48)), "JPEG", quality=quality)
            (root / f"{label:02}" / f"{quality}.jpg").write_bytes(data)
    report = run_report(measured(root, tmp_path), DECODER)
    assert "The 12 best and the 12 worst of 26 classes" in markdown(report)
    assert "classes" in [figure.name for figure in blocks(report, Figure)]


def test_the_worst_are_those_that_found_last_or_never() -> None:
    queries = pd.DataFrame(
        {
            "query": ["d", "b", "a", "c", "e", "perfect"],
            "first_relevant": pd.array([7, None, 1, 7, None, 1], "Int64"),
            "map": [0.1, 0.0, 0.9, 0.05, 0.0, 1.0],
        }
    )
    assert worst(queries)["query"].tolist() == ["b", "e", "c", "d", "a"]
    assert worst(queries, rows=2)["query"].tolist() == ["b", "e"]


def test_a_failure_is_shown_as_query_what_came_first_and_the_first_right_one(
    folder: Path, tmp_path: Path
) -> None:
    outcome = measured(folder, tmp_path)
    strips = failure_strips(table(outcome.query_results), outcome.dataset, DECODER)
    assert len(strips) == 8
    first = strips[0]
    query, *found = first.tiles
    # The picture of the next class: it finds that class' images first.
    assert query.mark == "query"
    own = re.fullmatch(r"class (\d) · (class \1/q45\.jpg)", query.caption)
    assert own is not None
    following = (int(own[1]) + 1) % 4
    assert [tile.mark for tile in found] == ["wrong", "wrong", "wrong", "right"]
    assert re.fullmatch(
        rf"class {following} · place 1 · cosine [01]\.\d{{4}} · class {following}/q\d\d\.jpg",
        found[0].caption,
    )
    query_result = next(each for each in outcome.query_results if each.query == own[2])
    place = query_result.first_relevant
    assert found[3].caption.startswith(f"class {own[1]} · place {place} · cosine ")
    assert found[3].caption.endswith(f" · {query_result.first_relevant_id}")
    assert f"stands at place {place};" in first.caption
    for tile in first.tiles:
        with Image.open(io.BytesIO(tile.image)) as image:
            assert (image.format, image.mode, max(image.size)) == ("JPEG", "RGB", 160)


def test_where_nothing_failed_the_gallery_says_so(folder: Path, tmp_path: Path) -> None:
    for path in folder.rglob("q45.jpg"):
        path.unlink()
    report = run_report(measured(folder, tmp_path), DECODER)
    assert not blocks(report, Strip)
    assert "there is no failure to show" in markdown(report)


def test_tiles_are_upright_and_tiny_images_are_enlarged() -> None:
    sideways = Image.new("RGB", (300, 100), "red")
    sideways.paste("blue", (0, 0, 150, 100))
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by 90 degrees clockwise: blue comes to the top
    with Image.open(io.BytesIO(small(encoded(sideways, "JPEG", exif=exif), DECODER))) as tile:
        assert tile.size == (53, 160)
        red, _, blue = tile.convert("RGB").getpixel((26, 20))  # type: ignore[misc]
    assert blue > 200
    assert red < 50
    with Image.open(io.BytesIO(small(encoded(Image.new("L", (8, 6))), DECODER))) as tile:
        assert (tile.size, tile.mode) == ((160, 120), "RGB")


def test_duplicates_and_overlap_with_imagenet_are_told(folder: Path, tmp_path: Path) -> None:
    same = (folder / "class 0" / "q95.jpg").read_bytes()
    (folder / "class 1" / "copy.jpg").write_bytes(same)
    outcome = measured(folder, tmp_path)
    report = run_report(outcome, DECODER)
    assert "DUPLICATES: 2 of the queries" in markdown(report)
    for overlap, word in (("images", "CAUTION: "), ("classes", "CAUTION: "), ("none", "nothing")):
        part = outcome.run.dataset.model_copy(update={"overlaps_imagenet": overlap})
        run = outcome.run.model_copy(update={"dataset": part})
        text = markdown(run_report(replace(outcome, run=run), DECODER))
        [line] = [line for line in text.splitlines() if "ImageNet-1k" in line]
        assert word in line


def test_a_milvus_report_says_how_deep_it_looked(folder: Path, tmp_path: Path) -> None:
    outcome = measured(folder, tmp_path, backend="milvus")
    text = markdown(run_report(outcome, DECODER))
    assert "Search: milvus, the first 16 places; engine fake." in text
    assert "A ranking ends after 16 places" in text
    assert "Only the first 16 places of each ranking are counted." in text


def test_groups_without_labels_have_no_class_plot(folder: Path, tmp_path: Path) -> None:
    outcome = measured(folder, tmp_path)
    query_results = [replace(query_result, label=None) for query_result in outcome.query_results]
    metrics = {k: v for k, v in outcome.run.metrics.items() if not k.endswith("_per_class")}
    run = outcome.run.model_copy(update={"metrics": metrics})
    report = run_report(replace(outcome, run=run, query_results=query_results), DECODER)
    assert [figure.name for figure in blocks(report, Figure)] == ["recall-at-k", "similarities"]
    assert blocks(report, Table)[0].columns == ["metric", "mean", "interval", "what it is"]


def test_the_same_run_has_the_same_report_byte_by_byte(folder: Path, tmp_path: Path) -> None:
    contents = []
    for name in ("first", "second"):
        (tmp_path / name).mkdir()
        write(tmp_path / name, run_report(measured(folder, tmp_path), DECODER))
        files = sorted(path for path in (tmp_path / name).rglob("*") if path.is_file())
        contents.append({path.name: path.read_bytes() for path in files})
    assert contents[0] == contents[1]
    assert {"report.md", "report.html", "classes.png", "worst-8-0.jpg"} <= set(contents[0])


def test_names_of_files_break_neither_plots_nor_report(folder: Path, tmp_path: Path) -> None:
    (folder / "class 0").rename(
        folder / "$a$ <b>|`c`\n*鞋* with a very long name, longer than a bar"
    )
    report = run_report(measured(folder, tmp_path), DECODER)
    write(tmp_path, report)
    page = (tmp_path / "report.html").read_text("utf-8")
    assert "<b>|" not in page
    assert "$a$ &lt;b&gt;|`c` *鞋*" in page
    for line in markdown(report).splitlines():
        assert "<b>|" not in line

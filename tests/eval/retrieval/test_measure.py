from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from bogv.imaging.decoder import Decoder
from eval.data.catalogue import DatasetError, catalogue_entry
from eval.data.datasets import load
from eval.embedding.settings import OWN_SETTINGS, EmbeddingSettings
from eval.report import machine
from eval.report.machine import EMBEDDING_PACKAGES
from eval.report.results import PER_QUERY, write
from eval.retrieval import measure as running
from eval.retrieval.ablation import AblationSample
from eval.retrieval.measure import RetrievalOptions, RetrievalOutcome, measure, notes
from eval.retrieval.report import run_report
from eval.retrieval.result import query_table, read_run
from tests.eval.support.datasets import classes, listed, spec, write_revisited
from tests.eval.support.decoding import with_filter
from tests.eval.support.retrieval import DECODER, first_is_junk, measured
from tests.support.fakes import encoded, fake_embedder, picture, png


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


def test_an_account_takes_milvus_own_answers_where_the_run_has_them(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("eval.retrieval.ablation.rank_in_milvus", None)
    run = measured(tmp_path, "folder", root=folder, backend="milvus", ablation=AblationSample()).run
    assert run.losses is not None
    [_, milvus, _] = run.losses.steps
    assert milvus.metrics["map"].value == pytest.approx(run.metrics["map"].value)


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
    assert run.headline.ci95
    low, high = run.headline.ci95
    assert low < run.headline.value < high


def test_only_the_revisited_protocol_has_its_own_precision(tmp_path: Path) -> None:
    root = write_revisited(tmp_path / "mine")
    run = measured(tmp_path, listed("roxford5k", anchors=[]), root=root).run
    # Two are relevant, three are ranked without the junk.
    assert run.metrics["mp@10"].value >= 2 / 3 > run.metrics["precision@10"].value
    assert "mp@10" not in measured(tmp_path, "digits", limit=20).run.metrics


def test_no_published_figure_stands_beside_a_sample(tmp_path: Path) -> None:
    anchor = {
        "metric": "hit_rate@1",
        "value": 0.5,
        "setting": "V1",
        "source": "a",
        "status": "cited",
    }
    root, published = classes(tmp_path / "mine", a=4, b=4, c=4), spec(anchors=[anchor])
    whole = measured(tmp_path, published, root=root, limit=12).run
    sample = measured(tmp_path, published, root=root, limit=8).run
    assert (len(whole.anchors), whole.dataset.sample) == (1, None)
    assert (sample.anchors, sample.dataset.sample) == ([], "2 of 3 classes, each as a whole")


def test_the_headlines_own_k_is_always_counted(folder: Path, tmp_path: Path) -> None:
    run = measured(tmp_path, "folder", root=folder, ks=(4,)).run
    assert run.k == [1, 4]
    assert run.headline == run.metrics["hit_rate@1"]


def test_a_query_without_a_relevant_image_is_counted_and_excluded(
    folder: Path, tmp_path: Path
) -> None:
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


def test_a_change_of_the_decoder_gives_another_result_in_another_folder(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def run() -> RetrievalOutcome:
        decoder = Decoder(1_000_000, 1_000_000)
        options = RetrievalOptions("folder", folder, progress=False)
        outcome = measure(options, fake_embedder(), decoder, tmp_path / "cache")
        decoder.close()
        return outcome

    before, again = run(), run()
    with_filter(monkeypatch, Image.Resampling.NEAREST)
    after = run()
    assert (before.new, again.new, after.new) == (16, 0, 16)
    assert before.run.folder == again.run.folder != after.run.folder
    assert before.run.canonical == again.run.canonical != after.run.canonical
    assert before.query_results == again.query_results != after.query_results


def test_other_versions_of_libraries_and_of_bogv_go_into_folders_of_their_own(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = measured(tmp_path, "folder", root=folder)
    folders = {first.run.folder}
    changes: list[dict[str, Any]] = [
        *({"revision": "0123abc"}, {"revision": "0123abc-dirty-4567"}, {"revision": None}),
        *({"packages": {**first.run.packages, name: "9"}} for name in EMBEDDING_PACKAGES),
    ]
    folders |= {first.run.model_copy(update=change).folder for change in changes}
    assert len(folders) == 7
    monkeypatch.setattr(machine, "version", lambda name: f"another {name}")
    assert measured(tmp_path, "folder", root=folder).new == first.new == 16


def test_the_chance_level_is_that_of_the_queries_own_classes_and_gallery(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = measured(tmp_path, "folder", root=folder).run
    assert set(run.chance) == {name for name in run.metrics if not name.endswith("_per_class")}
    assert run.chance["precision@5"] == pytest.approx(3 / 15)
    assert run.dataset.root == str(folder)
    plain = load("folder", folder)
    truth = first_is_junk(plain)
    monkeypatch.setattr(running, "load", lambda *_, **__: replace(plain, truth=truth))
    assert measured(tmp_path, "folder", root=folder).run.chance["hit_rate@1"] == pytest.approx(
        2 / 14
    )
    apart = replace(plain, queries=[0, 4], gallery=[*range(1, 4), *range(5, 16)])
    monkeypatch.setattr(running, "load", lambda *_, **__: apart)
    assert measured(tmp_path, "folder", root=folder).run.chance["hit_rate@1"] == pytest.approx(
        3 / 14
    )


def test_copies_within_a_gallery_that_no_query_has_are_counted_and_reported(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, kind in (("a.png", "PNG"), ("b.webp", "WEBP")):
        (folder / "class 1" / name).write_bytes(encoded(picture(50), kind, lossless=True))
    plain = load("folder", folder)
    names = [item.id for item in plain.items]
    queries = [names.index("class 1/q95.jpg")]
    gallery = [index for index in range(len(names)) if index not in queries]
    monkeypatch.setattr(
        running, "load", lambda *_, **__: replace(plain, queries=queries, gallery=gallery)
    )
    outcome = measured(tmp_path, "folder", root=folder)
    assert outcome.gallery_copies == [["class 1/a.png", "class 1/b.webp"]]
    assert outcome.run.counts.gallery_with_duplicate == 2
    assert outcome.run.counts.queries_with_same_pixels == 0
    [note] = notes(outcome)
    assert note.startswith("DUPLICATES: 2 images of the gallery are in it more than once")


def test_groups_of_four_have_their_score(folder: Path, tmp_path: Path) -> None:
    ukbench = catalogue_entry("ukbench")
    spec = catalogue_entry("folder").model_copy(
        update={"protocol": ukbench.protocol, "headline": ukbench.headline}
    )
    run = measured(tmp_path, spec, root=folder).run
    assert ukbench.headline == "ns"
    assert run.headline.value == 4.0
    assert "ns" not in measured(tmp_path, "folder", root=folder).run.metrics


def test_junk_is_removed_from_scores_and_top_hits(
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


def test_queries_without_labels_that_find_nothing_are_written_all_the_same(
    folder: Path, tmp_path: Path
) -> None:
    outcome = measured(tmp_path, "folder", root=folder)
    lost = [
        replace(query_result, label=None, first_relevant=None, first_relevant_id=None)
        for query_result in outcome.query_results
    ]
    _, queries = read_run(
        write(
            tmp_path / "results",
            outcome.run,
            {PER_QUERY: query_table(lost)},
            run_report(outcome, DECODER),
        )
    )
    assert len(queries) == 16
    assert queries[["label", "first_relevant", "first_relevant_id"]].isna().all().all()

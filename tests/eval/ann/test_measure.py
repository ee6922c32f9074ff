from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from bogv.records import Record, Vectors
from bogv.store import OWN_INDEX, Index, MilvusStore
from eval import __main__ as command_line
from eval.ann import measure as measuring
from eval.ann.measure import AnnOptions, VectorSource, measure
from eval.ann.report import ann_report, pareto
from eval.ann.result import POINTS, Ann, points_table
from eval.ann.sweep import LITE, SERVER, Sweep, sweeps
from eval.errors import WorkbenchError
from eval.harness.processes import run_in_process
from eval.harness.synthetic import Clustered
from eval.metrics import ann_recall_ties
from eval.report.document import html, markdown
from eval.report.results import write
from eval.vectors import nearest_neighbours
from tests.fakes import lite_search

SMALL = Clustered(seed=1, dimension=24, clusters=6, rank=8)
COUNT, QUERIES, K = 240, 12, 5
FLAT = Sweep("FLAT")
CELLS = Sweep("IVF_FLAT", {"nlist": 6}, [{"nprobe": 1}, {"nprobe": 6}])


def here(work: Any, *arguments: Any, **_: str) -> Any:
    """`run_in_process` without a process: its start takes seconds."""
    return work(*arguments)


@pytest.fixture
def in_one_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(measuring, "run_in_process", here)


def source(**more: Any) -> VectorSource:
    whole = VectorSource(
        "synthetic", SMALL.gallery(COUNT), COUNT, SMALL.queries(QUERIES), {"rank": 8}
    )
    return replace(whole, **more)


def options(*more: Sweep) -> AnnOptions:
    own = Sweep(OWN_INDEX.type, OWN_INDEX.build, [OWN_INDEX.search])
    return AnnOptions([own, *more], k=K, warm_up=2, progress=False)


@pytest.fixture(scope="module")
def found() -> Ann:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(measuring, "run_in_process", here)
        return measure(source(), options(FLAT, CELLS))


# The oracle


def test_exact_neighbours_are_the_same_in_batches_of_any_size() -> None:
    gallery, queries = next(SMALL.gallery(COUNT, COUNT)), SMALL.queries(QUERIES)
    whole = nearest_neighbours([gallery], queries, K)
    parts = nearest_neighbours([gallery[:1], gallery[1:130], gallery[130:]], queries, K)
    assert np.array_equal(whole.rows, parts.rows)
    by_hand = np.argsort(-(queries.astype(float) @ gallery.astype(float).T), axis=1)[:, :K]
    assert np.array_equal(whole.rows, by_hand)


def test_of_equal_scores_the_earlier_row_is_nearer() -> None:
    gallery = np.array([[0, 1], [1, 0], [2, 0], [1, 0]], np.float32)
    exact = nearest_neighbours([gallery[:2], gallery[2:]], np.array([[1, 0]], np.float32), 3)
    assert exact.rows.tolist() == [[1, 2, 3]]
    assert exact.scores.tolist() == [[1, 1, 1]]


def test_a_tie_with_the_last_place_counts_as_found() -> None:
    exact = [0.9, 0.8, 0.7]
    assert ann_recall_ties([0.9, 0.8, 0.7], exact) == 1
    assert ann_recall_ties([0.7, 0.7, 0.9], exact) == 1
    assert ann_recall_ties([0.9, 0.69], exact) == pytest.approx(1 / 3)
    assert ann_recall_ties([0.9, 0.7 - 1e-7], exact) == pytest.approx(2 / 3)
    with pytest.raises(ValueError, match="2 were found"):
        ann_recall_ties([1, 1], [1])


# The indexes


def test_flat_finds_all_and_few_cells_find_less(found: Ann) -> None:
    by_label = {point.label: point.metrics[f"ann_recall@{K}"].value for point in found.points}
    assert by_label["FLAT"] == 1
    assert by_label["IVF_FLAT nlist 6, nprobe 6"] == 1
    assert by_label["IVF_FLAT nlist 6, nprobe 1"] < 1


def test_bogvs_own_index_is_the_one_that_metrics_speak_of(found: Ann) -> None:
    assert [point.own for point in found.points] == [True, False, False, False]
    assert found.own.label == "HNSW M 16, efConstruction 200, ef 256"
    assert found.metrics == found.own.metrics
    assert set(found.metrics) == {"ann_recall@5", "ann_recall_ties@5"}
    assert found.weights is None
    assert found.n == QUERIES


def test_a_run_repeated_is_the_same_but_for_its_costs(found: Ann, in_one_process: None) -> None:
    def lasting(ann: Ann) -> dict[str, Any]:
        told = ann.model_dump(mode="json", exclude={"seconds"})
        for point in told["points"]:
            del point["cost"]
        return told

    again = measure(source(), options(FLAT, CELLS))
    assert lasting(again) == lasting(found)
    assert again.folder == found.folder
    other = measure(source(queries=SMALL.queries(QUERIES)[::-1].copy()), options())
    assert other.folder != again.folder


def test_equal_vectors_are_a_tie_and_no_loss(in_one_process: None) -> None:
    base = next(SMALL.gallery(40, 40))
    gallery = np.concatenate([base, base, base])
    same = measure(source(gallery=[gallery], count=120), options(FLAT))
    for point in same.points:
        assert point.metrics[f"ann_recall_ties@{K}"].value == 1


def test_the_parameters_of_an_index_reach_milvus(tmp_path: Path) -> None:
    for number, index in enumerate([OWN_INDEX, Index("IVF_FLAT", {"nlist": 7})]):
        store = MilvusStore.lite(tmp_path / str(number), "x", index)
        store.open("f", 8)
        told = store._client.describe_index("x", "embedding")
        assert (told["index_type"], told["params"]) == (index.type, index.build)
        store.close()


def test_an_index_is_replaced_and_finds_what_the_old_one_found(tmp_path: Path) -> None:
    vectors: Vectors = next(SMALL.gallery(100, 100))
    store = MilvusStore.lite(tmp_path, "x", Index("FLAT"))
    store.open("f", 24)
    store.put([Record(i + 1, "", "", "", 1, 1, 1, i) for i in range(100)], vectors)
    before = [hit.record.id for hit in store.search(vectors[3], 4)]
    store.close()
    store = MilvusStore.lite(tmp_path, "x")
    store.open("f", 24)
    store.rebuild_index()
    assert store._client.describe_index("x", "embedding")["index_type"] == "HNSW"
    assert [hit.record.id for hit in store.search(vectors[3], 4)] == before
    assert store.count() == 100
    store.drop()
    assert store.begun_with() is None
    store.drop()  # there is nothing left, and that is no error
    store._client.close()


def test_bogvs_service_still_makes_its_own_index(tmp_path: Path) -> None:
    service = lite_search(tmp_path)
    told = service._store._client.describe_index("images", "embedding")
    service.close()
    assert told["params"] == {"M": 16, "efConstruction": 200}


def test_a_k_beyond_the_gallery_is_refused() -> None:
    with pytest.raises(WorkbenchError, match="k = 5; it must be from 1 to 3"):
        measure(source(count=3), options())


# What is swept


def test_bogvs_own_index_is_in_every_sweep_and_comes_first() -> None:
    for lite in (True, False):
        for only in ([], ["IVF_SQ8"], ["HNSW"]):
            chosen = sweeps(20_000, 10, lite=lite, only=only)
            assert (chosen[0].index, chosen[0].build) == (OWN_INDEX.type, OWN_INDEX.build)
            assert OWN_INDEX.search in chosen[0].searches
            assert len({sweep.label for sweep in chosen}) == len(chosen)
    assert {sweep.index for sweep in sweeps(20_000, 10, lite=True)} == set(LITE)
    assert {sweep.index for sweep in sweeps(20_000, 10, lite=False)} == set(SERVER)


def test_no_search_asks_for_fewer_candidates_than_hits() -> None:
    for sweep in sweeps(20_000, 100, lite=True):
        assert all(search.get("ef", 100) >= 100 for search in sweep.searches)
        assert len({json.dumps(dict(search)) for search in sweep.searches}) == len(sweep.searches)


def test_few_vectors_have_few_cells() -> None:
    cells = [s.build["nlist"] for s in sweeps(1000, 10, lite=True, only=["IVF_FLAT"])[1:]]
    assert cells == [25]


def test_an_index_that_would_be_brute_force_in_silence_is_refused() -> None:
    with pytest.raises(WorkbenchError, match=r"SCANN: no such index works on Milvus Lite"):
        sweeps(1000, 10, lite=True, only=["SCANN"])


# Processes


def test_work_is_done_in_another_process_with_its_own_environment() -> None:
    assert run_in_process(_said, "BOGV_TEST", BOGV_TEST="yes") == "yes"
    assert _said("BOGV_TEST") is None


def test_a_process_that_dies_is_an_error_in_one_line() -> None:
    with pytest.raises(WorkbenchError, match=r"process of the measurement died \(_die\)"):
        run_in_process(_die)


def _said(name: str) -> str | None:
    import os

    return os.environ.get(name)


def _die() -> None:
    import os

    os._exit(9)


# What is left behind


def test_the_frontier_is_what_no_other_point_beats() -> None:
    points = [(0.9, 100.0), (0.8, 50.0), (1.0, 20.0), (0.9, 90.0), (0.5, 300.0), (1.0, 20.0)]
    assert pareto(points) == [4, 0, 2]


def test_a_result_is_written_with_its_points_and_its_report(found: Ann, tmp_path: Path) -> None:
    table = points_table(found)
    folder = write(tmp_path, found, {POINTS: table}, ann_report(found))
    assert json.loads((folder / "run.json").read_text())["kind"] == "ann"
    rows = pd.read_parquet(folder / POINTS)
    assert rows["label"].tolist() == [point.label for point in found.points]
    assert rows["search_nprobe"].tolist()[2:] == [1, 6]
    assert {path.name for path in (folder / "figures").iterdir()} >= {
        "frontier.png",
        "build-time.png",
    }
    assert "ann_recall@5" in (folder / "summary.csv").read_text()


def test_the_report_says_first_that_the_vectors_are_made_up(found: Ann) -> None:
    lines = markdown(ann_report(found)).splitlines()
    assert lines[2].startswith("Weights: none took part. The vectors are synthetic")
    assert "bogv's own index, HNSW M 16" in lines[4]
    assert "with the points that no other beats." in html(ann_report(found))


def test_without_a_figure_for_memory_there_is_no_plot_of_it(found: Ann) -> None:
    points = [
        point.model_copy(update={"cost": point.cost.model_copy(update={"memory_mib": None})})
        for point in found.points
    ]
    report = markdown(ann_report(found.model_copy(update={"points": points})))
    assert "memory.png" not in report
    assert "Its memory can't be told here." in report


def test_the_command_measures_and_prints_json_alone(
    tmp_path: Path,
    in_one_process: None,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("BOGV_DATA_DIR", str(tmp_path))
    arguments = ["ann", "--vectors", "60", "--dimension", "16", "--clusters", "3", "--queries", "5"]
    arguments += ["--k", "3", "--index", "FLAT", "--out", str(tmp_path / "out"), "--json"]
    with pytest.raises(SystemExit) as stopped:
        command_line.main(arguments)
    assert not stopped.value.code
    told = Ann.model_validate_json(capsys.readouterr().out)
    assert [point.index for point in told.points] == ["HNSW"] * 3 + ["FLAT"]
    assert told.vectors.parameters == {"clusters": 3, "spread": 1.25, "rank": 32, "noise": 0.25}
    assert (tmp_path / "out" / told.folder / "run.json").exists()


def test_a_datasets_embeddings_can_be_searched(
    tmp_path: Path,
    in_one_process: None,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    from eval.commands import ann as ann_command
    from tests.fakes import fake_embedder, png

    for number in range(8):
        (tmp_path / "mine").mkdir(exist_ok=True)
        (tmp_path / "mine" / f"{number}.png").write_bytes(png(number))
    monkeypatch.setenv("BOGV_DATA_DIR", str(tmp_path))
    monkeypatch.setattr(ann_command, "load_embedder", lambda *_: fake_embedder())
    arguments = ["ann", "--dataset", "folder", "--root", str(tmp_path / "mine"), "--index", "FLAT"]
    arguments += ["--k", "2", "--out", str(tmp_path / "out"), "--weights", "untrained"]
    with pytest.raises(SystemExit) as stopped:
        command_line.main([*arguments, "--queries", "3", "--json"])
    assert not stopped.value.code
    told = Ann.model_validate_json(capsys.readouterr().out)
    assert (told.vectors.source, told.vectors.gallery, told.n) == ("folder", 5, 3)
    assert told.weights is not None
    with pytest.raises(SystemExit) as stopped:
        command_line.main([*arguments, "--queries", "8"])
    assert stopped.value.code == 2
    assert "8 queries can't be held out of 8 images" in capsys.readouterr().err

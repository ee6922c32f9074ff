from __future__ import annotations

import csv
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path

import pandas as pd
import pytest

from eval.embedding.settings import EmbeddingSettings
from eval.errors import WorkbenchError
from eval.report.document import Report
from eval.report.results import CHECKSUMS, PER_QUERY, write
from eval.retrieval.report import run_report
from eval.retrieval.result import query_table, read_run
from tests.eval.support.retrieval import DECODER, measured


def written_run(folder: Path, tmp_path: Path) -> Path:
    outcome = measured(tmp_path, "folder", root=folder)
    table = query_table(outcome.query_results)
    return write(tmp_path / "results", outcome.run, {PER_QUERY: table}, Report("", [], []))


def test_each_query_has_its_row(folder: Path, tmp_path: Path) -> None:
    outcome = measured(tmp_path, "folder", root=folder)
    run, queries = read_run(
        write(
            tmp_path / "results",
            outcome.run,
            {PER_QUERY: query_table(outcome.query_results)},
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


def test_a_variant_is_named_in_its_folder_and_its_summary(folder: Path, tmp_path: Path) -> None:
    settings = EmbeddingSettings(crop="squash", post="pca:3")
    outcome = measured(tmp_path, "folder", root=folder, settings=settings)
    report = run_report(outcome, DECODER)
    written = write(tmp_path, outcome.run, {PER_QUERY: query_table(outcome.query_results)}, report)
    assert written.name.startswith("folder-custom-squash-pca3-exact-16-")
    assert read_run(written)[0].settings == settings
    [row, *_] = csv.DictReader((written / "summary.csv").read_text().splitlines())
    assert row["settings"] == "squash-pca3"
    assert any("post pca:3" in line for line in report.lead)
    assert any("fitted on the gallery itself" in line for line in report.lead)
    assert outcome.run.losses is None


@pytest.mark.parametrize("share", [0, 0.02, 0.5, 0.99])
def test_a_cut_table_is_one_clear_error(folder: Path, tmp_path: Path, share: float) -> None:
    written = written_run(folder, tmp_path)
    table = written / PER_QUERY
    data = table.read_bytes()
    table.write_bytes(data[: int(share * len(data))])
    with pytest.raises(WorkbenchError, match="is damaged, or not of this result"):
        read_run(written)


@pytest.mark.parametrize(
    ("change", "column"),
    [
        (lambda table: table.drop(columns="query"), "query"),
        (lambda table: table.drop(columns="unit"), "unit"),
        (lambda table: table.assign(unit=None), "unit"),
        (lambda table: table.assign(map=float("nan")), "map"),
        (lambda table: table.assign(map="high"), "map"),
        (lambda table: table.assign(first_relevant="first"), "first_relevant"),
    ],
)
def test_a_table_with_other_columns_is_one_clear_error(
    folder: Path, tmp_path: Path, change: Callable[[pd.DataFrame], pd.DataFrame], column: str
) -> None:
    """With checksums that agree, as another version may have written it."""
    outcome = measured(tmp_path, "folder", root=folder)
    table = change(query_table(outcome.query_results))
    written = write(tmp_path / "results", outcome.run, {PER_QUERY: table}, Report("", [], []))
    with pytest.raises(WorkbenchError, match=f"no table of this version: '{column}'"):
        read_run(written)


def test_what_is_no_table_is_one_clear_error(folder: Path, tmp_path: Path) -> None:
    written = written_run(folder, tmp_path)
    before = (written / PER_QUERY).read_bytes()
    (written / PER_QUERY).write_bytes(b"hello")
    sums, old, new = written / CHECKSUMS, sha256(before), sha256(b"hello")
    sums.write_text(sums.read_text().replace(old.hexdigest(), new.hexdigest()))
    with pytest.raises(WorkbenchError, match="is no Parquet table"):
        read_run(written)
    sums.write_bytes(b"\xff")
    with pytest.raises(WorkbenchError, match="no complete result"):
        read_run(written)


def test_a_flipped_bit_in_a_table_is_one_clear_error(folder: Path, tmp_path: Path) -> None:
    written = written_run(folder, tmp_path)
    data = bytearray((written / PER_QUERY).read_bytes())
    data[data.index(b"class 0/q20.jpg")] ^= 1
    (written / PER_QUERY).write_bytes(data)
    with pytest.raises(WorkbenchError, match="is damaged, or not of this result"):
        read_run(written)


def test_a_table_of_another_run_is_one_clear_error(folder: Path, tmp_path: Path) -> None:
    written = written_run(folder, tmp_path)
    frame = pd.read_parquet(written / PER_QUERY)
    frame[:5].to_parquet(written / PER_QUERY)
    with pytest.raises(WorkbenchError, match="not of this result"):
        read_run(written)


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

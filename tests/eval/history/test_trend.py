from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from eval.embedding.settings import EmbeddingSettings
from eval.errors import WorkbenchError
from eval.history.store import Entry, add_runs, read_history
from eval.history.trend import revisions, short_revision, trend_lines, trend_plot
from eval.report.results import weights_part
from tests.eval.support.history import written_run


def entries(tmp_path: Path, *runs: dict[str, Any]) -> list[Entry]:
    for run in runs:
        add_runs(tmp_path / "history", [written_run(tmp_path, **run)])
    return read_history(tmp_path / "history")


def test_only_what_can_be_compared_is_on_one_line(tmp_path: Path) -> None:
    found = entries(
        tmp_path,
        {"revision": "one", "value": 0.4},
        {"revision": "two", "value": 0.5},
        {"revision": "two", "value": 0.6, "digest": "eeeeeeeeeeee"},
        {"revision": "two", "value": 0.3, "settings": EmbeddingSettings(crop="squash")},
        {"revision": "two", "value": 0.7, "weights": weights_part("custom", "beef")},
        {"revision": "three", "value": 0.6},
    )
    lines = trend_lines(found, None)["folder"]
    assert [[entry.revision for entry in line] for line in lines] == [
        ["one", "two", "three"],
        ["two"],
        ["two"],
        ["two"],
    ]
    assert all(len({entry.digest for entry in line}) == 1 for line in lines)


def test_revisions_are_ordered_by_the_date_of_their_first_run(tmp_path: Path) -> None:
    [entry] = entries(tmp_path, {"revision": "a", "value": 0.4})
    dated = [
        entry.model_copy(update={"revision": revision, "date": date})
        for revision, date in (("a", "2026-03"), ("b", "2026-02"), (None, "2026-04"), ("a", "2026"))
    ]
    assert revisions(dated) == ["a", "b", "unknown"]


def test_the_plot_is_a_picture_the_same_for_the_same_history(tmp_path: Path) -> None:
    found = entries(tmp_path, *({"revision": f"r{n}", "value": 0.4 + n / 100} for n in range(8)))
    png = trend_plot(found)
    assert png == trend_plot(found)
    with Image.open(io.BytesIO(png)) as image:
        assert image.format == "PNG"
    assert png != trend_plot(found[:-1])


def test_a_metric_that_no_run_has_is_an_error(tmp_path: Path) -> None:
    found = entries(tmp_path, {"revision": "a", "value": 0.4})
    with pytest.raises(WorkbenchError, match="no run with map@77"):
        trend_plot(found, "map@77")


def test_a_revision_is_short_and_marked_where_files_differed() -> None:
    assert short_revision("0123456789abcdef") == "01234567"
    assert short_revision("0123456789abcdef-dirty") == "01234567*"
    assert short_revision(None) == "unknown"

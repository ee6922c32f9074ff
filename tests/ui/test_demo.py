"""The demo as a whole: its header, its sessions, and the request ids in its log."""

from __future__ import annotations

import logging
import re
from dataclasses import replace
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from bogv.calibration.calibration import Calibration
from bogv.calibration.choice import MeasuredThreshold
from bogv.errors import DatabaseUnavailable
from bogv.logs import RequestFilter
from bogv.records import CopyProgress
from bogv.service import ImageSearch
from bogv.ui.demo import MAX_SESSIONS, render_header
from bogv.web.access_log import HEADER, AccessLog
from tests.support.demo import call, demo_client

pytestmark = pytest.mark.usefixtures("uploads")


def test_the_number_of_sessions_is_bounded(search: ImageSearch, tmp_path: Path) -> None:
    app: Any = demo_client(search, tmp_path).app
    sessions = app.routes[-1].app.state_holder
    assert sessions.capacity == MAX_SESSIONS
    sessions.capacity = 2
    for number in range(5):
        sessions[str(number)]
    assert len(sessions.session_data) == 2


def test_the_header_shows_the_count_and_the_weights(search: ImageSearch) -> None:
    html = render_header(search, "en")
    assert f'data-count="{search.stats().count}"' in html
    assert "custom" in html
    assert "untrained" not in html
    assert "Query expansion" not in html


def test_the_header_shows_the_query_expansion_that_scores_depend_on(
    search: ImageSearch, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(search, "_query_expansion", 10)
    assert "Query expansion <b>10</b>" in render_header(search, "en")
    assert "查询扩展 <b>10</b>" in render_header(search, "zh")


def test_the_header_says_how_many_images_are_indexed_for_copies(
    search: ImageSearch, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "Indexed for copies" not in render_header(search, "en")
    stats = replace(search.stats(), count=4500, copies=CopyProgress(4500, 3300, 0))
    monkeypatch.setattr(search, "stats", lambda: stats)
    assert "Indexed for copies <b>1,200 / 4,500</b>" in render_header(search, "en")


def test_the_header_shows_the_thresholds_of_a_calibrated_gallery(
    search: ImageSearch, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "Calibration" not in render_header(search, "en")
    measured = Calibration(
        fingerprint="fake0000",
        measured_at=datetime(2026, 1, 2, tzinfo=timezone.utc),
        count=5000,
        searches=2000,
        asked_rate=0.002,
        copy_bits=MeasuredThreshold(value=29, met=True, alarms=0, low=0, high=0.001),
        part_inliers=MeasuredThreshold(value=37, met=True, alarms=0, low=0, high=0.001),
        duplicates=0,
        duplicate_pairs=[],
        alarming_pairs=[],
        recall=[],
    )
    monkeypatch.setattr(search.calibrator, "calibration", measured)
    html = render_header(search, "en")
    assert "Calibration <b>copy ≤ 29 bits, part ≥ 37 points, wrong ≤ 0.20%</b>" in html
    assert "bogv-calibration" not in html
    assert "副本 ≤ 29 位，局部 ≥ 37 点，误报率 ≤ 0.20%" in render_header(search, "zh")


def test_the_log_of_an_event_has_the_id_of_the_request_that_queued_it(
    search: ImageSearch,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    def log_and_fail(*_: object) -> None:
        logging.getLogger("bogv.test").warning("in an event")
        raise DatabaseUnavailable("Milvus doesn't answer.")

    monkeypatch.setattr(search, "page", log_and_fail)
    caplog.handler.addFilter(RequestFilter())
    with TestClient(AccessLog(demo_client(search, tmp_path).app)) as client:
        client.headers[HEADER] = "mine-1"
        call(client, "page", 4, "", "")
        del client.headers[HEADER]
        call(client, "page", 4, "", "")
    lines = [vars(each) for each in caplog.records if each.message == "in an event"]
    given, generated = (line["request_id"] for line in lines)
    assert given == "mine-1"
    assert re.fullmatch(r"[0-9a-f]{16}", generated)

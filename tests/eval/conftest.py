"""Fixtures that several files here use."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import httpx
import pytest

from eval import __main__ as command_line
from eval.ann import measure as ann_measure
from eval.commands import judge as judge_command
from eval.commands import run as run_command
from eval.report import plots
from tests.eval.support.ann import here
from tests.eval.support.latency import HEALTH, Answer
from tests.eval.support.retrieval import Eval
from tests.support.fakes import encoded, fake_embedder, picture, png

PNG = encoded(picture(1, (1, 1)))


@pytest.fixture(autouse=True)
def _small_plots(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rendering is a third of a run's processor time: plots are drawn everywhere, but rendered, and
    small, only in the tests of plots and reports."""
    monkeypatch.setattr(plots, "DPI", 40)
    if request.path.stem not in {"test_plots", "test_report", "test_trend"}:
        monkeypatch.setattr(plots, "_to_png", lambda _: PNG)


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
def isolated_settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The command line with a data folder of its own and the fake embedder."""
    monkeypatch.setenv("BOGV_DATA_DIR", str(tmp_path / "data"))
    for command in (run_command, judge_command):
        monkeypatch.setattr(command, "load_embedder", lambda *_, **__: fake_embedder())


@pytest.fixture
def run_eval(isolated_settings: None) -> Eval:
    def status(*arguments: str | Path) -> int:
        with pytest.raises(SystemExit) as stopped:
            command_line.main([str(argument) for argument in arguments])
        code = stopped.value.code
        return code if isinstance(code, int) else 1

    return status


@pytest.fixture
def photo_folder(tmp_path: Path) -> Path:
    """Twelve pictures without labels."""
    root = tmp_path / "mine"
    root.mkdir()
    for seed in range(12):
        (root / f"{seed:02d}.png").write_bytes(png(seed))
    return root


@pytest.fixture
def serve(monkeypatch: pytest.MonkeyPatch) -> Callable[[Answer], list[httpx.Request]]:
    """A bogv server that is a function: what each search is answered."""
    client = httpx.AsyncClient

    def serving(answer: Answer, health: Mapping[str, Any] = HEALTH) -> list[httpx.Request]:
        asked: list[httpx.Request] = []

        def handle(request: httpx.Request) -> httpx.Response:
            if request.url.path == "/api/health":
                return httpx.Response(200, json={"msg": "", "code": 200, "data": dict(health)})
            asked.append(request)
            return answer(request)

        def patched(**more: Any) -> httpx.AsyncClient:
            return client(**{**more, "transport": httpx.MockTransport(handle)})

        monkeypatch.setattr(httpx, "AsyncClient", patched)
        return asked

    return serving


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    folder = tmp_path / "pictures"
    folder.mkdir()
    for seed in range(4):
        (folder / f"{seed}.png").write_bytes(png(seed))
    return folder


@pytest.fixture
def in_one_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """`eval ann` without processes of its own, whose start takes seconds."""
    monkeypatch.setattr(ann_measure, "run_in_process", here)

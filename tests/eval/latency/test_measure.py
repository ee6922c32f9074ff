from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pandas as pd
import pytest

from bogv.config import Settings
from bogv.errors import NotAnImage
from bogv.weights import UNTRAINED
from eval import __main__ as command_line
from eval.errors import WorkbenchError
from eval.harness.load import Image, Reply
from eval.harness.rest_target import RestTarget, stages
from eval.latency import measure as measuring
from eval.latency import service_target
from eval.latency.measure import (
    REQUESTS,
    LatencyOptions,
    LatencyOutcome,
    StepRequests,
    measure_server,
    measure_service,
    read_images,
    requests_table,
    steps,
)
from eval.latency.report import latency_report
from eval.latency.result import REMAINDER, Latency, LoadStep
from eval.latency.service_target import ServiceSetup, ServiceTarget
from eval.report.document import markdown
from eval.report.results import write
from tests.fakes import fake_embedder, lite_search, png

TIMING = "decode;dur=4.000, embed;dur=7.5, search;dur=2.25, serialise;dur=0.25"
ENVELOPE = {"msg": "检索图片成功!", "code": 200, "data": []}
HEALTH = {
    "status": "ok",
    "count": 7,
    "database": "Milvus Lite",
    "collection": "images",
    "weights": UNTRAINED,
    "fingerprint": "f" * 12,
    "engine": "fake",
    "version": "0",
}
OPTIONS = LatencyOptions([1, 2], requests=6, seconds=30, warm_up=2, timeout=20, progress=False)

Answer = Callable[[httpx.Request], httpx.Response]


def found(_: httpx.Request) -> httpx.Response:
    return httpx.Response(200, json=ENVELOPE, headers={"Server-Timing": TIMING})


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


def measured(source: Path, **more: Any) -> LatencyOutcome:
    return measure_server(
        "http://bogv", "secret", source, LatencyOptions(**{**vars(OPTIONS), **more})
    )


# The REST server


def test_a_server_is_measured_step_by_step(serve: Any, pictures: Path) -> None:
    asked = serve(found)
    outcome = measured(pictures)
    latency = outcome.latency
    labels = ["c1", "c2", "open25%", "open50%", "open75%", "open90%"]
    assert [step.label for step in latency.steps] == labels
    assert all(step.measured.n == 6 for step in latency.steps)
    assert latency.n == 36
    assert len(asked) == 1 + 2 + 36  # the first over the connection, and the warm-up, count nowhere
    assert (latency.gallery, latency.weights.trained) == (7, False)
    assert [cold.what for cold in latency.cold] == ["connection"]
    for step in latency.steps:
        told = step.measured.stages_ms
        assert list(told) == ["decode", "embed", "search", "serialise", REMAINDER]
        assert (told["decode"], told["embed"], told["search"]) == (4, 7.5, 2.25)
        assert sum(told.values()) == pytest.approx(step.measured.latency_ms["mean"], abs=0.01)


def test_a_search_is_sent_as_the_contract_has_it(serve: Any, pictures: Path) -> None:
    asked = serve(found)
    measured(pictures, limit=3)
    request = asked[0]
    assert str(request.url) == "http://bogv/api/image/sim/search/file"
    assert request.headers["token"] == "secret"
    body = request.content
    assert b'name="limit"\r\n\r\n3\r\n' in body
    assert b'name="file"; filename="' in body
    sent = {
        part for seed in range(4) for part in [png(seed)] if any(part in r.content for r in asked)
    }
    assert len(sent) == 4


@pytest.mark.parametrize(
    ("response", "error"),
    [
        (
            httpx.Response(
                200, json={"msg": "", "code": 500, "data": None, "error": {"type": "x-y"}}
            ),
            "x-y",
        ),
        (
            httpx.Response(
                401, json={"msg": "", "code": 500, "data": None, "error": {"type": "unauthorized"}}
            ),
            "unauthorized",
        ),
        (httpx.Response(502, text="Bad Gateway"), "status 502, no envelope"),
        (httpx.Response(200, json=[]), "status 200, no envelope"),
        (httpx.Response(200, json={"code": 200, "data": None}), "status 200, no envelope"),
    ],
)
def test_whatever_is_no_envelope_with_hits_is_an_error(
    serve: Any, response: httpx.Response, error: str
) -> None:
    serve(lambda _: response)
    assert sent_once().error == error


def test_a_lost_connection_and_a_timeout_are_errors(serve: Any) -> None:
    def refuse(request: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("refused", request=request)

    def stall(request: httpx.Request) -> httpx.Response:
        raise httpx.ReadTimeout("slow", request=request)

    serve(refuse)
    assert sent_once() == Reply("ConnectError")
    serve(stall)
    assert sent_once() == Reply("timeout")


def sent_once() -> Reply:
    async def send() -> Reply:
        async with RestTarget("http://bogv/", None, 10, 5) as target:
            return await target.send(Image("a.png", b"bytes"))

    return asyncio.run(send())


def test_errors_are_counted_and_never_dropped(serve: Any, pictures: Path) -> None:
    calls = iter(range(1000))

    def every_third(request: httpx.Request) -> httpx.Response:
        return httpx.Response(500, text="") if next(calls) % 3 == 0 else found(request)

    serve(every_third)
    outcome = measured(pictures)
    for sent in outcome.sent:
        assert len(sent.requests) == 6
        assert sent.step.measured.errors == {"status 500, no envelope": 2}
        answered = sent.step.measured.throughput * sent.step.measured.seconds
        assert answered == pytest.approx(4, abs=0.4)  # both are rounded
    assert "12 of 36 requests FAILED (12 status 500, no envelope)" in report_of(outcome)


def test_where_nothing_is_answered_there_are_no_rates_to_go_on_with(
    serve: Any, pictures: Path
) -> None:
    serve(lambda _: httpx.Response(500, text=""))
    with pytest.raises(WorkbenchError, match="No request was answered with hits: 12 × status 500"):
        measured(pictures)


def test_rates_that_are_given_are_kept(serve: Any, pictures: Path) -> None:
    serve(found)
    latency = measured(pictures, rates=[500.0, 2000.0]).latency
    assert [step.label for step in latency.steps] == ["c1", "c2", "500/s", "2000/s"]
    assert [step.share for step in latency.steps] == [None] * 4
    assert set(latency.metrics) == {
        f"latency_p{percent}_ms@{label}"
        for percent in ("50", "90", "99", "99.9")
        for label in ("c1", "c2", "500/s", "2000/s")
    }


def test_a_server_that_hides_behind_its_token_is_told_apart(serve: Any, pictures: Path) -> None:
    serve(found, {"status": "ok"})
    with pytest.raises(WorkbenchError, match="asks for its token: set TOKEN"):
        measured(pictures)


def test_where_no_bogv_is_the_error_says_so(
    serve: Any, pictures: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    serve(found, {"something": "else"})
    with pytest.raises(SystemExit) as stopped:
        command_line.main(["latency", "--target", "http://bogv", "--images", str(pictures)])
    assert stopped.value.code == 2
    assert capsys.readouterr().err.startswith("eval: The bogv at http://bogv is not well")


def test_the_folder_is_the_same_for_the_same_question(serve: Any, pictures: Path) -> None:
    serve(found)
    first, again = (measured(pictures).latency.folder for _ in range(2))
    assert first == again
    assert measured(pictures, requests=5).latency.folder != first


def test_the_token_is_written_nowhere(
    serve: Any, pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = serve(found)
    monkeypatch.setenv("TOKEN", "hush-hush")
    arguments = ["latency", "--target", "http://bogv", "--images", str(pictures), "--requests", "3"]
    with pytest.raises(SystemExit) as stopped:
        command_line.main([*arguments, "--concurrency", "1", "--out", str(tmp_path / "out")])
    assert not stopped.value.code
    assert asked[0].headers["token"] == "hush-hush"
    (run,) = (tmp_path / "out").rglob("run.json")
    assert all(b"hush" not in file.read_bytes() for file in run.parent.rglob("*") if file.is_file())
    assert len(pd.read_parquet(run.parent / REQUESTS)) == 5 * 3


# Server-Timing


def test_server_timing_is_read_as_seconds() -> None:
    assert stages(TIMING) == {
        "decode": 0.004,
        "embed": 0.0075,
        "search": 0.00225,
        "serialise": 0.00025,
    }
    assert stages('cache;desc="hit", db;dur=5') == {"db": 0.005}
    assert stages("") == {}


# The service


@pytest.fixture
def setup(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ServiceSetup:
    """A service with the fake embedder, all of it in this process: starting others takes long."""
    monkeypatch.setattr(service_target, "load_embedder", lambda *_: fake_embedder())
    monkeypatch.setattr(measuring, "run_in_process", lambda work, *arguments: work(*arguments))
    return ServiceSetup(
        tmp_path / "service", UNTRAINED, "auto", "auto", Settings(data_dir=tmp_path)
    )


def test_the_service_is_measured_on_a_gallery_of_the_images(
    setup: ServiceSetup, pictures: Path
) -> None:
    outcome = measure_service(setup, pictures, OPTIONS)
    latency = outcome.latency
    assert (latency.target, latency.gallery, latency.images.count) == ("service", 4, 4)
    assert [cold.what for cold in latency.cold] == ["process"] * 3
    assert all(cold.opening_seconds and not cold.error for cold in latency.cold)
    for step in latency.steps:
        assert list(step.measured.stages_ms) == ["decode", "embed", "search", REMAINDER]
        assert step.measured.errors == {}
        assert step.measured.generator_cpu is None
    first = outcome.sent[0].requests[0]
    assert first.due <= first.started <= first.ended


def test_without_a_folder_bogvs_samples_are_sent(setup: ServiceSetup) -> None:
    options = LatencyOptions([1], rates=[1000], requests=2, warm_up=0, progress=False)
    images = measure_service(setup, None, options).latency.images
    assert images.source == "samples"
    assert images.bytes_min <= images.bytes_median <= images.bytes_max


def test_an_image_that_cannot_be_searched_is_an_error_of_its_kind(tmp_path: Path) -> None:
    service = lite_search(tmp_path)
    with closing(service), closing(ServiceTarget(service, 10, 2)) as target:
        reply = asyncio.run(target.send(Image("broken", b"no image")))
    assert reply.error == NotAnImage.type
    assert reply.started is not None
    assert reply.ended is not None


def test_images_that_cannot_be_added_end_the_measurement(
    setup: ServiceSetup, pictures: Path
) -> None:
    (pictures / "broken.jpg").write_bytes(b"no image")
    with pytest.raises(WorkbenchError, match=r"1 of the images can't be added.*broken\.jpg"):
        measure_service(setup, pictures, OPTIONS)


# Steps, images, reports


@dataclass
class Prompt:
    """Answers at once."""

    names: list[str] = field(default_factory=list)

    async def send(self, image: Image) -> Reply:
        self.names.append(image.name)
        return Reply()


def played(**more: Any) -> tuple[list[StepRequests], Prompt]:
    target = Prompt()
    options = LatencyOptions(**{**vars(OPTIONS), **more})
    return asyncio.run(steps(target, [Image("a", b""), Image("b", b"")], options)), target


def test_the_warm_up_is_in_no_step() -> None:
    sent, target = played(warm_up=5, rates=[1e5], concurrency=[1])
    assert len(target.names) == 5 + 6 + 6
    assert [len(each.requests) for each in sent] == [6, 6]


def test_a_target_that_tells_no_stages_has_none() -> None:
    sent, _ = played(rates=[1e5])
    assert all(each.step.measured.stages_ms == {} for each in sent)


def test_a_rate_at_which_nothing_comes_is_an_error() -> None:
    with pytest.raises(WorkbenchError, match=r"At 0\.001 requests a second none comes within 1 s"):
        played(rates=[0.001], seconds=1)


def test_a_row_for_each_request() -> None:
    sent, _ = played(rates=[1e5])
    table = requests_table(sent)
    assert table["step"].tolist() == ["c1"] * 6 + ["c2"] * 6 + ["100000/s"] * 6
    assert table["latency_ms"].tolist() == pytest.approx(
        (table["ended_ms"] - table["due_ms"]).tolist()
    )
    assert table["error"].isna().all()


def test_images_are_sent_in_the_order_of_the_seed(pictures: Path) -> None:
    paths = sorted(pictures.iterdir())
    names = [[image.name for image in read_images(paths, seed)] for seed in (0, 0, 1)]
    assert names[0] == names[1] != names[2]
    assert sorted(names[0]) == sorted(names[2]) == [f"{n}-{n}.png" for n in range(4)]


def report_of(outcome: LatencyOutcome) -> str:
    return markdown(latency_report(outcome.latency, requests_table(outcome.sent)))


def test_the_report_says_first_which_weights_and_has_its_plots(
    serve: Any, pictures: Path, tmp_path: Path
) -> None:
    serve(found)
    outcome = measured(pictures)
    table = requests_table(outcome.sent)
    report = latency_report(outcome.latency, table)
    lines = markdown(report).splitlines()
    assert lines[2] == f"Weights: UNTRAINED, fingerprint {'f' * 12}."
    assert "UNTRAINED weights" in lines[4]
    folder = write(tmp_path / "out", outcome.latency, {REQUESTS: table}, report)
    assert {path.stem for path in (folder / "figures").iterdir()} == {
        *("knee", "latency-closed", "latency-open", "stages")
    }
    again = Latency.model_validate_json((folder / "run.json").read_bytes())
    assert again == outcome.latency
    assert len(pd.read_parquet(folder / REQUESTS)) == 36
    assert json.loads((folder / "run.json").read_text())["metrics"]["latency_p50_ms@c1"]


def test_a_busy_generator_is_told_of(serve: Any, pictures: Path) -> None:
    serve(found)
    outcome = measured(pictures)
    busy = outcome.latency.steps[1]
    busy = busy.model_copy(
        update={"measured": busy.measured.model_copy(update={"generator_cpu": 0.97, "n": 3})}
    )
    changed: list[LoadStep] = [busy if s.label == busy.label else s for s in outcome.latency.steps]
    latency = outcome.latency.model_copy(update={"steps": changed})
    text = markdown(latency_report(latency, requests_table(outcome.sent)))
    assert "No: it was late or near its limit at " in text
    assert "with fewer requests: 2." in text


def test_options_that_make_no_sense_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    for arguments, reason in (
        (["--target", "ftp://x"], "--target is `service` or a URL"),
        (["--concurrency", "1,x"], "numbers with commas between"),
        (["--rates", "0"], "numbers above 0"),
    ):
        with pytest.raises(SystemExit) as stopped:
            command_line.main(["latency", *arguments])
        assert stopped.value.code == 2
        assert reason in capsys.readouterr().err

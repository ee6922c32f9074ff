from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest

from bogv.config import Settings
from bogv.embedding.weights import UNTRAINED
from eval.errors import WorkbenchError
from eval.harness.load import Image, Reply
from eval.latency import measure as measuring
from eval.latency import service_target
from eval.latency.measure import (
    LatencyOptions,
    LatencyOutcome,
    StepRequests,
    measure_service,
    read_images,
    requests_table,
    run_steps,
)
from eval.latency.report import latency_report
from eval.latency.result import REMAINDER
from eval.latency.service_target import ServiceSetup
from eval.report.document import markdown
from tests.eval.support.latency import OPTIONS, found, measured
from tests.support.fakes import fake_embedder, png


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


def test_a_server_that_requires_a_token_is_a_clear_error(serve: Any, pictures: Path) -> None:
    serve(found, {"status": "ok"})
    with pytest.raises(WorkbenchError, match="requires a token: set TOKEN"):
        measured(pictures)


def test_the_folder_is_the_same_for_the_same_question(serve: Any, pictures: Path) -> None:
    serve(found)
    first, again = (measured(pictures).latency.folder for _ in range(2))
    assert first == again
    assert measured(pictures, requests=5).latency.folder != first


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


def test_images_that_cannot_be_added_end_the_measurement(
    setup: ServiceSetup, pictures: Path
) -> None:
    (pictures / "broken.jpg").write_bytes(b"no image")
    with pytest.raises(WorkbenchError, match=r"1 of the images can't be added.*broken\.jpg"):
        measure_service(setup, pictures, OPTIONS)


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
    return asyncio.run(run_steps(target, [Image("a", b""), Image("b", b"")], options)), target


def test_the_warm_up_is_in_no_step() -> None:
    sent, target = played(warm_up=5, rates=[1e5], concurrency=[1])
    assert len(target.names) == 5 + 6 + 6
    assert [len(each.requests) for each in sent] == [6, 6]


def test_a_target_that_reports_no_stages_has_none() -> None:
    sent, _ = played(rates=[1e5])
    assert all(each.step.measured.stages_ms == {} for each in sent)


def test_a_rate_without_arrivals_is_an_error() -> None:
    with pytest.raises(
        WorkbenchError, match=r"At 0\.001 requests a second, none arrives within 1 s"
    ):
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

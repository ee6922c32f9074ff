from __future__ import annotations

import io
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from bogv.config import Settings
from bogv.embedder import Embedder
from bogv.imaging.decode import network_input
from bogv.imaging.decoder import Decoder
from bogv.service import BATCH
from bogv.weights import Weights
from eval import __main__ as command_line
from eval.errors import WorkbenchError
from eval.harness.load import Request
from eval.harness.processes import BackgroundLoad
from eval.report.document import html, markdown
from eval.report.results import weights_part
from eval.speed import inputs as speed_inputs
from eval.speed import worker as speed_work
from eval.speed.inputs import SMALL, find_sources, make_inputs
from eval.speed.report import others_note, speed_report
from eval.speed.result import Goal, Line, Speed, Stages, bound, make_line
from eval.speed.server import _search_lines, _torch_line
from eval.speed.setting import Setting
from eval.speed.worker import add_images, fill_gallery, full_size_decoder, measure_stages
from tests.fakes import encoded, fake_embedder, picture


class FakeSetting(Setting):
    """With an embedder in no time."""

    def embedder(self) -> Embedder:
        return fake_embedder(self.weights.fingerprint)


@pytest.fixture
def setting(tmp_path: Path) -> Setting:
    weights = Weights("custom", Path("w.pth"), "fake0000")
    return FakeSetting(tmp_path / "data", weights, "auto", "auto", 10**6, 10**7)


@pytest.fixture
def paths(tmp_path: Path) -> list[Path]:
    made = []
    for seed, size in enumerate(((320, 240), (100, 300), (700, 300))):
        made.append(tmp_path / f"{seed}.png")
        made[-1].write_bytes(encoded(picture(seed, size)))
    return made


# Lines and the bound


def test_the_bound_is_the_cores_over_the_sum_of_the_stages() -> None:
    assert bound({"decode": 4.0, "embed": 16.0}, cores=1) == pytest.approx(50)
    assert bound({"decode": 4.0, "embed": 16.0}, cores=4) == pytest.approx(200)


def test_a_ratio_above_one_is_better_for_rates_and_for_times() -> None:
    assert make_line("adding", "images/s", 60, baseline=10).ratio == 6
    assert make_line("searching", "ms", 10, baseline=60, less_is_better=True).ratio == 6
    assert make_line("alone", "ms", 10).ratio is None


@pytest.mark.parametrize(
    ("goal", "reached"),
    [
        (Goal(of="ratio", at_least=6), True),
        (Goal(of="ratio", at_least=6.1), False),
        (Goal(of="bogv", at_least=60), True),
        (Goal(of="bogv", at_most=59), False),
        (None, None),
    ],
)
def test_a_line_knows_whether_it_is_reached(goal: Goal | None, reached: bool | None) -> None:
    assert make_line("adding", "images/s", 60, baseline=10, goal=goal).reached is reached


def test_what_is_nearly_reached_is_not_reached_by_rounding() -> None:
    goal = Goal(of="ratio", at_least=7)
    assert make_line("adding", "images/s", 6.9999999, baseline=1, goal=goal).reached is False


def test_what_this_system_cannot_tell_is_not_judged() -> None:
    assert make_line("memory", "MB", None, goal=Goal(of="bogv", at_most=1)).reached is None


def test_torch_in_any_of_the_starts_is_told() -> None:
    assert _torch_line([False, False]).reached is True
    assert _torch_line([False, True]).reached is False
    assert _torch_line([False, None]).reached is None


# Inputs


def test_inputs_are_distinct_of_their_size_and_the_same_for_the_same_seed(
    paths: list[Path], tmp_path: Path
) -> None:
    first, again, other = (
        [path.read_bytes() for path in make_inputs(paths, tmp_path / name, 8, (160, 120), seed)]
        for name, seed in (("a", 1), ("b", 1), ("c", 2))
    )
    assert first == again
    assert len({*first, *other}) == 16
    for path in (tmp_path / "a").iterdir():
        with Image.open(path) as image:
            assert (image.format, image.size) == ("JPEG", (160, 120))


def test_inputs_still_show_what_they_were_made_from(paths: list[Path], tmp_path: Path) -> None:
    [made] = make_inputs(paths[:1], tmp_path / "made", 1, SMALL, 0)
    with Image.open(made) as image, Image.open(paths[0]) as source:
        means = [np.asarray(each.convert("RGB")).mean((0, 1)) for each in (image, source)]
    assert np.abs(means[0] - means[1]).max() < 40


def test_without_a_folder_the_samples_are_taken(
    paths: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(speed_inputs, "make_samples", lambda _: paths)
    (tmp_path / "empty").mkdir()
    with pytest.raises(WorkbenchError, match="no images"):
        find_sources(tmp_path / "empty", tmp_path)
    assert find_sources(None, tmp_path / "samples") == ("bogv's samples", paths)


def test_an_image_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    broken = tmp_path / "broken.jpg"
    broken.write_bytes(b"no image")
    with pytest.raises(WorkbenchError, match="broken"):
        make_inputs([broken], tmp_path / "made", 1, SMALL, 0)


# The work


def test_full_size_decoding_uses_every_pixel() -> None:
    photo = picture(1, (1600, 1200))
    data = encoded(photo, "JPEG", quality=90)
    with Image.open(io.BytesIO(data)) as image:
        expected = network_input(image.convert("RGB"))
    assert np.array_equal(full_size_decoder(10**6, 10**7).decode(data).pixels, expected)
    assert not np.array_equal(Decoder(10**6, 10**7).decode(data).pixels, expected)


def test_a_server_has_the_same_settings_and_nothing_else_of_the_users(
    setting: Setting, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MILVUS_HOST", "example.com")
    monkeypatch.setenv("BOGV_ENGINE", "torch")
    monkeypatch.setenv("IMAGE_INC_PATH", "/photos")
    for name, value in setting.environment.items():
        monkeypatch.setenv(name, value)
    settings = Settings()
    assert settings.milvus_host is None
    assert settings.image_inc_path is None
    assert (settings.engine, settings.precision, settings.weights) == ("auto", "auto", "w.pth")
    assert (settings.max_upload, settings.max_pixels) == (10**6, 10**7)
    untrained = replace(setting, weights=Weights("untrained", None, "f"))
    assert untrained.environment["BOGV_WEIGHTS"] == "untrained"


def test_images_are_added_and_none_is_passed_over(
    setting: Setting, paths: list[Path], tmp_path: Path
) -> None:
    took = add_images(setting, tmp_path / "added", paths[:1], paths[1:], full_size=False)
    assert took.images == 2
    assert took.seconds > 0
    with setting.opened(tmp_path / "added", Decoder(10**6, 10**7)) as search:
        assert search.stats().count == 3
    # Added a second time they cost nothing, and would make any figure a good one.
    with pytest.raises(WorkbenchError, match="unchanged"):
        add_images(setting, tmp_path / "twice", paths[:2], paths, full_size=False)


def test_each_stage_is_measured_on_all_images(
    setting: Setting, paths: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(speed_work, "_on_one_core", lambda _: None)
    images = make_inputs(paths, tmp_path / "many", BATCH + 3, (160, 120), 0)
    found = measure_stages(setting, tmp_path / "stages", images)
    names = ["read and MD5", "decode and resize", "thumbnail", "embed", "write thumbnail", "store"]
    assert sorted(found) == sorted(names)
    assert len(list((tmp_path / "stages" / "thumbnails").iterdir())) == len(images)
    with setting.opened(tmp_path / "stages", Decoder(10**6, 10**7)) as search:
        assert search.stats().count == len(images)


def test_a_filled_gallery_is_found_by_a_server_and_has_a_recall_for_each_query(
    setting: Setting,
) -> None:
    recalls = fill_gallery(setting, rows=120, seed=0, queries=4)
    assert len(recalls) == 4
    assert np.mean(recalls) > 0.9
    with setting.opened(setting.data, Decoder(10**6, 10**7)) as search:
        assert search.stats().count == 120


def test_others_have_a_share_of_the_processors_or_none() -> None:
    others = BackgroundLoad()
    while (share := others.share()) is None and Path("/proc/stat").exists():
        sum(range(1000))  # until the system's clock has ticked
    assert share is None or 0 <= share <= 1


# Searching


def requests(latency: float, count: int, at_once: int = 1) -> list[Request]:
    """As many as `at_once` at a time, each so long."""
    starts = [latency * (number // at_once) for number in range(count)]
    return [Request("a", 1, start, start, start + latency, None, {}) for start in starts]


def by_name(lines: list[Line]) -> dict[str, Line]:
    return {each.what.split(",")[0]: each for each in lines}


def test_a_search_is_compared_with_the_usual_way_and_with_its_bare_steps() -> None:
    sent = {1: requests(0.016, 99), 8: requests(0.1, 80, 8), 16: requests(0.1, 160, 16)}
    sent[8][0] = replace(sent[8][0], ended=0.4)  # one of 80 is slow: p99 is the slowest
    lines = by_name(_search_lines(sent, [0.096, 0.096, 0.5], [0.004, 0.003, 0.2], gallery=10_000))
    search = lines["one search over REST"]
    assert (search.baseline, search.bogv, search.ratio) == (96, 16, 6)
    assert search.reached is True
    assert lines["REST and service above decode + embed + search"].bogv == pytest.approx(4)
    tail = lines["p99 / p50 with 8 clients"]
    assert (tail.bogv, tail.reached) == (4, False)
    crowd = lines["searches a second"]
    assert (crowd.baseline, crowd.bogv) == (62.5, 160)
    assert crowd.reached is True


def test_a_small_gallery_is_measured_and_not_judged() -> None:
    sent = {clients: requests(0.016, 4) for clients in (1, 8, 16)}
    search = by_name(_search_lines(sent, [0.8], [0.004], gallery=2_000))["one search over REST"]
    assert search.ratio == 50
    assert search.reached is None


# The report and the command


def made(weights: str = "untrained", others: float | None = 0.01) -> Speed:
    stages = {"read and MD5": 0.5, "decode and resize": 4.0, "thumbnail": -0.1, "embed": 12.0}
    lines = [
        make_line("adding", "images/s", 80, baseline=10, goal=Goal(of="ratio", at_least=7)),
        make_line("overhead", "ms", 6.5, goal=Goal(of="bogv", at_most=5)),
        make_line("memory", "MB", None, goal=Goal(of="bogv", at_most=5)),
    ]
    return Speed(
        weights=weights_part(weights, "abc"),
        command="python -m eval speed",
        n=8,
        seed=0,
        metrics={},
        revision=None,
        machine={"processor": "abacus", "cores": 2},
        packages={},
        seconds={},
        engine="openvino cpu bf16",
        precision="auto",
        images="samples",
        large=2,
        gallery=10_000,
        searches=4,
        soak=5,
        cores=2,
        others=others,
        stages=[Stages(what="640 × 480", images=8, cpu_ms=stages, bound=122)],
        lines=lines,
    )


def test_the_report_says_untrained_first_and_what_was_reached() -> None:
    report = speed_report(made())
    text = markdown(report)
    first = text.splitlines()[2:5]
    assert "UNTRAINED" in first[0]
    assert "has learnt nothing" in first[2]
    assert "| adding | 10 images/s" in text
    assert "| 8 × | ≥ 7 × | reached |" in text
    assert "| 6.500 ms |  | ≤ 5 ms | NOT reached |" in text
    assert "| memory |  | unknown |" in text
    assert "122" in text
    assert "BUSY" not in text
    assert "data:image/png" in html(report)


def test_a_busy_machine_is_told_of_in_the_first_lines() -> None:
    lead = speed_report(made(others=0.62)).lead
    assert any("others had 62%" in each for each in lead)
    assert others_note(made(others=0.1)) is None
    assert others_note(made(others=None)) is None


@pytest.mark.parametrize("as_json", [True, False])
def test_the_command_prints_every_line_and_exits_with_0_whatever_is_reached(
    as_json: bool,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    from eval.commands import speed as command

    monkeypatch.setattr(command, "measure", lambda _: made())
    with pytest.raises(SystemExit) as stopped:
        command_line.main(["speed", "--out", str(tmp_path), *(["--json"] if as_json else [])])
    assert stopped.value.code == 0
    out, err = capsys.readouterr()
    assert "UNTRAINED" in err
    if as_json:
        assert Speed.model_validate(json.loads(out)) == made()
    else:
        assert out.startswith("Weights:  UNTRAINED")
        assert "to reach ≥ 7 ×: reached" in out
        assert "to reach ≤ 5 ms: NOT reached" in out
    [folder] = tmp_path.iterdir()
    assert (folder / "report.html").exists()
    assert Speed.model_validate_json((folder / "run.json").read_bytes()) == made()

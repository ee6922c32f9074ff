from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from bogv.embedding.weights import resolve
from bogv.imaging.decode import network_input
from bogv.imaging.decoder import Decoder
from bogv.ingest import BATCH
from eval.errors import WorkbenchError
from eval.speed import worker as speed_work
from eval.speed.inputs import make_inputs
from eval.speed.setting import Setting
from eval.speed.worker import (
    add_images,
    fill_gallery,
    fill_share,
    full_size_decoder,
    measure_stages,
    time_pipeline,
)
from tests.support.fakes import FakeClock, encoded, picture


def test_full_size_decoding_uses_every_pixel() -> None:
    photo = picture(1, (1600, 1200))
    data = encoded(photo, "JPEG", quality=90)
    with Image.open(io.BytesIO(data)) as image:
        expected = network_input(image.convert("RGB"))
    assert np.array_equal(full_size_decoder(10**6, 10**7).decode(data).pixels, expected)
    assert not np.array_equal(Decoder(10**6, 10**7).decode(data).pixels, expected)


def test_all_images_are_added(setting: Setting, paths: list[Path], tmp_path: Path) -> None:
    took = add_images(setting, tmp_path / "added", paths[:1], paths[1:], full_size=False)
    assert took.images == 2
    assert took.seconds > 0
    assert took.fill == 1  # a single batch is never a full pipeline
    with setting.opened(tmp_path / "added", Decoder(10**6, 10**7)) as search:
        assert search.stats().count == 3
    # Added a second time they cost nothing, and would make any figure a good one.
    with pytest.raises(WorkbenchError, match="unchanged"):
        add_images(setting, tmp_path / "twice", paths[:2], paths, full_size=False)


def test_each_stage_is_measured_on_all_images(
    setting: Setting, paths: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(speed_work, "pin_to_core", lambda _: None)
    images = make_inputs(paths, tmp_path / "many", BATCH + 3, (160, 120), 0)
    found = measure_stages(setting, tmp_path / "stages", images)
    names = ["read and MD5", "decode and resize", "thumbnail", "embed", "write thumbnail", "store"]
    assert sorted(found) == sorted(names)
    assert len(list((tmp_path / "stages" / "thumbnails").iterdir())) == len(images)
    with setting.opened(tmp_path / "stages", Decoder(10**6, 10**7)) as search:
        assert search.stats().count == len(images)


def test_the_stages_of_the_baseline_have_the_names_of_bogvs(
    setting: Setting, paths: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(speed_work, "pin_to_core", lambda _: None)
    untrained = replace(setting, weights=resolve("untrained"))
    found = speed_work.measure_baseline_stages(untrained, tmp_path / "usual", paths)
    assert set(found) == {"read and MD5", "decode and resize", "embed", "thumbnail", "store"}
    assert found["embed"] > 0
    assert len(list((tmp_path / "usual").glob("*.webp"))) == len(paths)


def test_the_stages_can_be_measured_with_full_size_decoding(
    setting: Setting, paths: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(speed_work, "pin_to_core", lambda _: None)
    made: list[Decoder] = []

    def recorded(max_bytes: int, max_pixels: int) -> Decoder:
        made.append(full_size_decoder(max_bytes, max_pixels))
        return made[-1]

    monkeypatch.setattr(speed_work, "full_size_decoder", recorded)
    measure_stages(setting, tmp_path / "scaled", paths)
    assert made == []
    measure_stages(setting, tmp_path / "full", paths, full_size=True)
    assert len(made) == 1


def test_the_share_of_filling_and_draining_is_what_a_full_pipeline_would_save() -> None:
    # Three stages of a second each: the first batch takes 3 s, each later one a second.
    assert fill_share([3.0, 4.0, 5.0, 6.0], batch=1) == pytest.approx(1 / 3)
    assert fill_share([3.0, *np.arange(4.0, 41.0)], batch=1) == pytest.approx(2 / 40)
    # Results come batch by batch, and the last one may be smaller.
    assert fill_share([2.0, 2.0, 3.0, 3.0, 3.5], batch=2) == pytest.approx(1 - 5 / 3.5 / 2)
    assert fill_share([1.0, 1.0, 3.0, 3.0], batch=2) == 0  # the first batch had all cores
    assert fill_share([1.0, 1.0], batch=2) == 1


def test_a_pipeline_is_timed_from_its_start_to_its_last_result() -> None:
    clock = FakeClock()

    def work() -> Iterator[int]:
        for number in range(BATCH + 10):
            clock.now += 3 if number == 0 else (1 if number == BATCH else 0)
            yield number

    took = time_pipeline(work, BATCH + 10, clock)
    assert took.seconds == 4
    assert took.rate == (BATCH + 10) / 4
    assert took.fill == pytest.approx(max(0, 1 - (BATCH + 10) / 4 / 10))


def test_a_baseline_that_was_filled_once_is_searched_again(
    setting: Setting, paths: list[Path], tmp_path: Path
) -> None:
    untrained = replace(setting, weights=resolve("untrained"))
    folder = tmp_path / "usual"
    assert speed_work.fill_baseline(untrained, folder, 40, seed=0) == 40
    for _ in range(2):
        found = speed_work.search_by_baseline(untrained, folder, paths, 4)
        assert found.value > 0


def test_a_filled_gallery_is_found_by_a_server_and_has_a_recall_for_each_query(
    setting: Setting,
) -> None:
    recalls = fill_gallery(setting, rows=120, seed=0, queries=4)
    assert len(recalls) == 4
    assert np.mean(recalls) > 0.9
    with setting.opened(setting.data, Decoder(10**6, 10**7)) as search:
        assert search.stats().count == 120

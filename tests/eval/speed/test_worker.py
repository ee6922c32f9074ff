from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from bogv.imaging.decode import network_input
from bogv.imaging.decoder import Decoder
from bogv.ingest import BATCH
from eval.errors import WorkbenchError
from eval.speed import worker as speed_work
from eval.speed.inputs import make_inputs
from eval.speed.setting import Setting
from eval.speed.worker import add_images, fill_gallery, full_size_decoder, measure_stages
from tests.support.fakes import encoded, picture


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
    with setting.opened(tmp_path / "added", Decoder(10**6, 10**7)) as search:
        assert search.stats().count == 3
    # Added a second time they cost nothing, and would make any figure a good one.
    with pytest.raises(WorkbenchError, match="unchanged"):
        add_images(setting, tmp_path / "twice", paths[:2], paths, full_size=False)


def test_each_stage_is_measured_on_all_images(
    setting: Setting, paths: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(speed_work, "_pin_to_core", lambda _: None)
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

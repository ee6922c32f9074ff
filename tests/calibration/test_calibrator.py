"""A small gallery is measured as a whole: copies, duplicates, edits; and the result is kept."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timezone
from pathlib import Path

import pytest

from bogv.calibration import calibrator
from bogv.calibration.calibration import FILE, Calibration, load_calibration
from bogv.calibration.calibrator import CalibrationOptions, Calibrator
from bogv.calibration.choice import MeasuredThreshold
from bogv.calibration.edits import edit_variants
from bogv.cli.calibration import describe_calibration
from bogv.copies.thresholds import THRESHOLDS
from bogv.errors import InvalidValue
from bogv.service import ImageSearch
from tests.support.fakes import encoded, lite_search, picture
from tests.support.pictures import scene

COUNT = 12
SIZE = (256, 192)
EDITED = {"jpeg:75", "mirror:horizontal"}


@pytest.fixture(scope="module")
def search(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ImageSearch]:
    """Different pictures, of which two are saved again as JPEGs."""
    service = lite_search(tmp_path_factory.mktemp("calibration"), 5_000_000)
    for seed in range(COUNT - 2):
        service.add(encoded(scene(seed, SIZE)), f"k{seed}", f"/photos/{seed}.png")
    for seed in (0, 1):
        service.add(
            encoded(scene(seed, SIZE), "JPEG", quality=85), f"j{seed}", f"/photos/{seed}.jpg"
        )
    yield service
    service.close()


def calibrate(search: ImageSearch, folder: Path | None = None, **options: float) -> Calibration:
    tool = Calibrator(search._store, search.thumbnails, search.decoder, search.embedder, folder)
    return tool.run(CalibrationOptions(**{"edited": 1, **options}))  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def calibrated(
    search: ImageSearch, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Calibration, Path]:
    folder = tmp_path_factory.mktemp("kept")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(calibrator, "MIN_IMAGES", COUNT)
        patch.setattr(
            calibrator,
            "edit_variants",
            lambda: [each for each in edit_variants() if each.name in EDITED],
        )
        return calibrate(search, folder), folder


def test_duplicates_are_no_false_positives(calibrated: tuple[Calibration, Path]) -> None:
    found, _ = calibrated
    assert (found.count, found.searches) == (COUNT, COUNT // 2)
    assert found.copy_bits.alarms == found.part_inliers.alarms == 0
    named = {tuple(sorted(pair.filepaths)) for pair in found.duplicate_pairs}
    assert named <= {(f"/photos/{seed}.jpg", f"/photos/{seed}.png") for seed in (0, 1)}
    assert len(named) == found.duplicates


def test_too_few_images_keep_the_shipped_thresholds_and_say_so(
    calibrated: tuple[Calibration, Path],
) -> None:
    found, _ = calibrated
    assert found.thresholds == THRESHOLDS
    assert not found.met
    assert not found.is_supported
    text = "\n".join(describe_calibration(found))
    assert "0.10% was asked for, which needs 3,999 searches, of a gallery of 7,998 images" in text
    assert "other shots of the same thing count as wrong" in text
    assert "mirror:horizontal" in text


def test_mirrored_and_saved_copies_are_found(calibrated: tuple[Calibration, Path]) -> None:
    found, _ = calibrated
    recall = {each.edit: each.found / each.images for each in found.recall}
    assert recall["mirror:horizontal"] == recall["jpeg:75"] == 1


def test_the_calibration_is_kept_and_used_by_the_next_start(
    search: ImageSearch, calibrated: tuple[Calibration, Path]
) -> None:
    found, folder = calibrated
    assert load_calibration(folder, "fake0000") == found
    assert load_calibration(folder, "others") is None
    again = Calibrator(search._store, search.thumbnails, search.decoder, search.embedder, folder)
    assert again.thresholds == found.thresholds
    assert "copy up to 31 bits, part from 20 points: wrong in at most" in again.summary(COUNT)
    assert "not calibrated" in search.stats().calibration
    (folder / FILE).write_text("{")
    assert load_calibration(folder, "fake0000") is None


def test_searches_and_adds_go_by_the_calibration(
    search: ImageSearch, monkeypatch: pytest.MonkeyPatch
) -> None:
    noisy = encoded(scene(0, SIZE).resize((60, 45)).resize(SIZE), "JPEG", quality=10)
    shipped = search.search(noisy, 1).verdict
    assert shipped is not None
    assert shipped.match == "copy"
    own = MeasuredThreshold(value=0, met=True, alarms=0, low=0, high=0.5)
    unmet = MeasuredThreshold(value=10_000, met=False, alarms=3, low=0.1, high=0.4)
    measured = Calibration(
        fingerprint="fake0000",
        measured_at=datetime(2026, 1, 2, tzinfo=timezone.utc),
        count=1000,
        searches=500,
        asked_rate=0.5,
        copy_bits=own,
        part_inliers=unmet,
        duplicates=0,
        duplicate_pairs=[],
        alarming_pairs=[],
        recall=[],
    )
    monkeypatch.setattr(search.calibrator, "calibration", measured)
    verdict = search.search(noisy, 1, verify=True).verdict
    assert verdict is not None
    assert verdict.match == "none"
    assert verdict.false_positive_rate == pytest.approx(0.25 + 0.4)
    added = search.add(noisy, "noisy")
    assert added.near_duplicate_of is None
    search.delete_ids([added.id or 0])
    assert "copy up to 0 bits" in search.stats().calibration


@pytest.mark.parametrize("rate", [0.0, 1.0, -1.0, float("nan")])
def test_a_rate_that_is_none_is_rejected(search: ImageSearch, rate: float) -> None:
    with pytest.raises(InvalidValue, match="must be between 0 and 1"):
        calibrate(search, rate=rate)


def test_a_small_gallery_is_rejected(tmp_path: Path) -> None:
    search = lite_search(tmp_path)
    search.add(encoded(picture(1)))
    with pytest.raises(InvalidValue, match="has 1 images; at least 40"):
        calibrate(search)
    search.close()

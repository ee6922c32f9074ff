"""A small gallery is measured as a whole: copies, duplicates, edits; and the result is kept."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from bogv.calibration import calibrator
from bogv.calibration.calibration import FILE, Calibration, load_calibration
from bogv.calibration.calibrator import CalibrationOptions, Calibrator
from bogv.calibration.description import describe
from bogv.copies.edits import edit_variants
from bogv.copies.thresholds import THRESHOLDS
from bogv.errors import InvalidValue
from bogv.service import ImageSearch
from tests.support.fakes import encoded, lite_search, picture
from tests.support.scenes import scene

COUNT = 44


@pytest.fixture(scope="module")
def search(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ImageSearch]:
    """Different pictures, of which two are saved again as JPEGs."""
    service = lite_search(tmp_path_factory.mktemp("calibration"), 5_000_000)
    for seed in range(COUNT - 2):
        service.add(encoded(scene(seed)), f"k{seed}", f"/photos/{seed}.png")
    for seed in (0, 1):
        service.add(encoded(scene(seed), "JPEG", quality=85), f"j{seed}", f"/photos/{seed}.jpg")
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
        patch.setattr(
            calibrator,
            "edit_variants",
            lambda: [each for each in edit_variants() if each.edit in {"jpeg", "mirror"}],
        )
        return calibrate(search, folder), folder


def test_duplicates_are_no_false_positives(calibrated: tuple[Calibration, Path]) -> None:
    found, _ = calibrated
    assert (found.count, found.searches) == (COUNT, COUNT // 2)
    assert found.shipped_alarms == 0
    named = {tuple(sorted(pair.filepaths)) for pair in found.duplicate_pairs}
    assert named <= {(f"/photos/{seed}.jpg", f"/photos/{seed}.png") for seed in (0, 1)}
    assert len(named) == found.duplicates


def test_too_few_images_keep_the_shipped_thresholds_unless_theirs_are_stricter(
    calibrated: tuple[Calibration, Path],
) -> None:
    found, _ = calibrated
    assert found.rate == pytest.approx(2 / 23 * 2)
    assert found.copy_bits <= THRESHOLDS.copy_bits
    assert found.part_inliers >= THRESHOLDS.part_inliers
    text = "\n".join(describe(found))
    assert "support a false-positive rate of 17.391%, not of 0.100%" in text
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
    assert f"copy up to {found.copy_bits} bits" in again.summary(COUNT)
    assert again.false_positives.rate(2 * COUNT, 12) == 2 * again.false_positives.rate(COUNT, 12)
    assert "wrong in at most 34.78% of searches" in again.summary(2 * COUNT), "grown since"
    assert "not calibrated" in search.stats().calibration
    (folder / FILE).write_text("{")
    assert load_calibration(folder, "fake0000") is None


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

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from eval.harness.galleries import GalleryLocation
from eval.scale import worker as scale_worker
from tests.eval.support.scale import DISTRIBUTION


@pytest.fixture
def location(tmp_path: Path) -> GalleryLocation:
    location = GalleryLocation(tmp_path, "scale", lite=True)
    np.save(location.gallery, next(DISTRIBUTION.gallery(1200, 1200)))
    np.save(location.queries, DISTRIBUTION.queries(7))
    return location


def test_a_gallery_is_searched_until_all_its_rows_are_indexed(location: GalleryLocation) -> None:
    filled = scale_worker.fill(location, k=3)
    assert filled.put_seconds > 0
    assert filled.build_seconds > 0
    meanwhile = filled.meanwhile
    assert len(meanwhile.queries) == len(meanwhile.found) == len(meanwhile.seconds) >= 1
    assert all(len(found) == 3 for found in meanwhile.found)
    # Milvus Lite keeps an index beside each file of rows.
    rows = {path.stem for path in location.folder.rglob("*.parquet")}
    indexed = {path.name.partition(".")[0] for path in location.folder.rglob("*.idx")}
    assert rows
    assert rows <= indexed


def test_a_gallery_is_found_again(location: GalleryLocation) -> None:
    scale_worker.fill(location, k=3)
    again = scale_worker.reopen(location, k=3, warm_up=100)
    assert again.searches.queries == list(range(7))
    assert again.restart_seconds > 0

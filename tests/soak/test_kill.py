"""Fifty kills on each back end; tests/integration/test_faults.py has a few on Milvus Lite."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.killing import Place, kill_many
from tests.support.milvus_server import MilvusServer

pytestmark = pytest.mark.soak


def test_nothing_acknowledged_is_lost_by_fifty_kills_on_lite(tmp_path: Path) -> None:
    assert kill_many(Place(tmp_path), kills=50, seed=1, seconds=1.0) > 500


@pytest.mark.server
def test_nothing_acknowledged_is_lost_by_fifty_kills_on_a_server(
    tmp_path: Path, milvus_server: MilvusServer
) -> None:
    place = Place(tmp_path, milvus_server.address)
    assert kill_many(place, kills=50, seed=2, seconds=1.0) > 50

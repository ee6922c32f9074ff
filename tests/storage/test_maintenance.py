"""An index is replaced, and waited for."""

from __future__ import annotations

from pathlib import Path
from uuid import uuid4

import numpy as np
import pytest

from bogv.errors import DatabaseUnavailable
from bogv.records import Record, Vectors
from bogv.storage.maintenance import rebuild_index, wait_for_index
from bogv.storage.milvus import Index, MilvusStore
from tests.support.milvus_server import MilvusServer


def test_a_rebuilt_index_finds_the_same_images(tmp_path: Path) -> None:
    vectors: Vectors = np.random.default_rng(0).normal(size=(100, 24)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    store = MilvusStore.lite(tmp_path, "x", Index("FLAT"))
    store.open("f", 24)
    store.put([Record(i + 1, "", "", "", 1, 1, 1, i) for i in range(100)], vectors)
    before = [hit.record.id for hit in store.search(vectors[3], 4)]
    store.close()
    store = MilvusStore.lite(tmp_path, "x")
    store.open("f", 24)
    rebuild_index(store)
    assert store._client.describe_index("x", "embedding")["index_type"] == "HNSW"
    assert [hit.record.id for hit in store.search(vectors[3], 4)] == before
    assert store.count() == 100
    store.drop()
    assert store.existing_fingerprint() is None
    store.drop()  # there is nothing left, and that is no error
    store._client.close()


@pytest.mark.server
def test_an_index_that_is_not_built_in_time_is_an_error(
    milvus_server: MilvusServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = MilvusStore.server(*milvus_server.address, f"images_{uuid4().hex}")
    store.open("fingerprint", 4)
    monkeypatch.setattr("bogv.storage.server.BUILD_SECONDS", 0.0)
    with pytest.raises(DatabaseUnavailable, match="has not indexed"):
        wait_for_index(store)
    store.drop()
    store.close()

"""The index has the given parameters."""

from __future__ import annotations

from pathlib import Path

from bogv.storage.milvus import DEFAULT_INDEX, Index, MilvusStore
from bogv.storage.schema import search_params
from tests.support.fakes import lite_search


def test_the_parameters_of_an_index_reach_milvus(tmp_path: Path) -> None:
    for number, index in enumerate([DEFAULT_INDEX, Index("IVF_FLAT", {"nlist": 7})]):
        store = MilvusStore.lite(tmp_path / str(number), "x", index)
        store.open("f", 8)
        built = store._client.describe_index("x", "embedding")
        assert (built["index_type"], built["params"]) == (index.type, index.build)
        store.close()


def test_the_service_makes_the_default_index(tmp_path: Path) -> None:
    service = lite_search(tmp_path)
    built = service._store._client.describe_index("images", "embedding")
    service.close()
    assert built["params"] == {"M": 16, "efConstruction": 200}


def test_a_search_has_at_least_as_many_candidates_as_hits() -> None:
    assert search_params(DEFAULT_INDEX, 10)["params"] == {"ef": 256}
    assert search_params(DEFAULT_INDEX, 1000)["params"] == {"ef": 1000}
    assert search_params(Index("FLAT"), 1000)["params"] == {}

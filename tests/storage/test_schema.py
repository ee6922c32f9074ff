"""The index is built as it is asked for."""

from __future__ import annotations

from pathlib import Path

from bogv.storage.milvus import OWN_INDEX, Index, MilvusStore
from bogv.storage.schema import search_params
from tests.support.fakes import lite_search


def test_the_parameters_of_an_index_reach_milvus(tmp_path: Path) -> None:
    for number, index in enumerate([OWN_INDEX, Index("IVF_FLAT", {"nlist": 7})]):
        store = MilvusStore.lite(tmp_path / str(number), "x", index)
        store.open("f", 8)
        told = store._client.describe_index("x", "embedding")
        assert (told["index_type"], told["params"]) == (index.type, index.build)
        store.close()


def test_bogvs_service_still_makes_its_own_index(tmp_path: Path) -> None:
    service = lite_search(tmp_path)
    told = service._store._client.describe_index("images", "embedding")
    service.close()
    assert told["params"] == {"M": 16, "efConstruction": 200}


def test_no_search_looks_at_fewer_candidates_than_it_has_to_find() -> None:
    assert search_params(OWN_INDEX, 10)["params"] == {"ef": 256}
    assert search_params(OWN_INDEX, 1000)["params"] == {"ef": 1000}
    assert search_params(Index("FLAT"), 1000)["params"] == {}

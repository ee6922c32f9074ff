from __future__ import annotations

import json

import pytest

from bogv.storage.milvus import DEFAULT_INDEX
from eval.ann.sweep import LITE, SERVER, sweeps
from eval.errors import WorkbenchError


def test_bogvs_own_index_is_the_first_of_every_sweep() -> None:
    for lite in (True, False):
        for only in ([], ["IVF_SQ8"], ["HNSW"]):
            chosen = sweeps(20_000, 10, lite=lite, only=only)
            assert (chosen[0].index, chosen[0].build) == (DEFAULT_INDEX.type, DEFAULT_INDEX.build)
            assert DEFAULT_INDEX.search in chosen[0].searches
            assert len({sweep.label for sweep in chosen}) == len(chosen)
    assert {sweep.index for sweep in sweeps(20_000, 10, lite=True)} == set(LITE)
    assert {sweep.index for sweep in sweeps(20_000, 10, lite=False)} == set(SERVER)


def test_no_search_asks_for_fewer_candidates_than_hits() -> None:
    for sweep in sweeps(20_000, 100, lite=True):
        assert all(search.get("ef", 100) >= 100 for search in sweep.searches)
        assert len({json.dumps(dict(search)) for search in sweep.searches}) == len(sweep.searches)


def test_few_vectors_have_few_cells() -> None:
    cells = [s.build["nlist"] for s in sweeps(1000, 10, lite=True, only=["IVF_FLAT"])[1:]]
    assert cells == [25]


def test_an_index_that_would_be_brute_force_in_silence_is_refused() -> None:
    with pytest.raises(WorkbenchError, match=r"SCANN: no such index works on Milvus Lite"):
        sweeps(1000, 10, lite=True, only=["SCANN"])

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

from bogv.embedding.weights import DIMENSION
from eval.embedding.cache import Cache, Embedding
from eval.errors import WorkbenchError

VECTOR = np.arange(DIMENSION, dtype=np.float32)


def test_what_is_put_is_got_bit_by_bit_also_by_the_next_process(tmp_path: Path) -> None:
    with closing(Cache(tmp_path, "a name: with/signs")) as cache:
        cache.put({"one": Embedding(VECTOR, "pixels 1"), "two": Embedding(-VECTOR, "pixels 2")})
    with closing(Cache(tmp_path, "a name: with/signs")) as cache:
        found = cache.get(["one", "two", "three"])
    assert set(found) == {"one", "two"}
    assert found["one"].vector.tobytes() == VECTOR.tobytes()
    assert (found["two"].pixels, cache.damaged) == ("pixels 2", 0)
    assert [path.name for path in tmp_path.iterdir()] == ["a-name-with-signs.sqlite"]


def test_a_vector_of_the_wrong_length_counts_as_damaged(tmp_path: Path) -> None:
    with closing(Cache(tmp_path, "name")) as cache:
        cache.put({"one": Embedding(VECTOR[:7], "pixels")})
        assert cache.get(["one"]) == {}
        assert cache.damaged == 1


def test_a_cut_file_is_one_clear_error(tmp_path: Path) -> None:
    with closing(Cache(tmp_path, "name")) as cache:
        cache.put({str(n): Embedding(VECTOR, "pixels") for n in range(20)})
    data = cache.path.read_bytes()
    cache.path.write_bytes(data[: len(data) // 2])
    with pytest.raises(WorkbenchError, match=r"name\.sqlite' can't be used: .*Remove it"):
        Cache(tmp_path, "name").get([str(n) for n in range(20)])


def test_a_file_that_is_no_database_is_one_clear_error(tmp_path: Path) -> None:
    (tmp_path / "name.sqlite").write_bytes(b"no database" * 100)
    with pytest.raises(WorkbenchError, match=r"The cache '.*name\.sqlite' can't be used"):
        Cache(tmp_path, "name")

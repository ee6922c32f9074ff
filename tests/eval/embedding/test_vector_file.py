from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from bogv.files import file_digest
from eval.embedding.table import write_embeddings
from eval.embedding.vector_file import read_vectors
from eval.errors import WorkbenchError
from eval.selftest import made_up
from eval.vectors import normalise

IDS = ["a.jpg", "b c.jpg", "鞋.jpg"]
VECTORS = np.random.default_rng(0).normal(size=(3, 5))


def npz(folder: Path, **arrays: Any) -> Path:
    path = folder / "v.npz"
    np.savez(path, **{"ids": np.array(IDS), "vectors": VECTORS, **arrays})
    return path


def table(folder: Path, **columns: Any) -> Path:
    path = folder / "v.parquet"
    pq.write_table(pa.table({"id": IDS, "embedding": VECTORS.tolist(), **columns}), path)
    return path


def npy(folder: Path, vectors: Any = VECTORS) -> Path:
    path = folder / "v.npy"
    np.save(path, vectors)
    return path


@pytest.mark.parametrize("make", [npz, table])
def test_vectors_have_their_ids_and_length_1(tmp_path: Path, make: Any) -> None:
    found = read_vectors(make(tmp_path))
    assert found.ids == IDS
    assert found.vectors.dtype == np.float32
    assert np.allclose(found.vectors, normalise(VECTORS), atol=1e-7)
    assert "normalised on reading" in found.description["lengths"]
    assert found.description["SHA-256"] == file_digest(tmp_path / found.name)
    assert found.weights.fingerprint == file_digest(tmp_path / found.name)[:12]
    assert found.weights.name == "unknown"


@pytest.mark.parametrize("text", ["a.jpg\nb c.jpg\n鞋.jpg\n", "a.jpg\r\nb c.jpg\r\n鞋.jpg"])
def test_a_file_of_ids_stands_beside_a_npy(tmp_path: Path, text: str) -> None:
    (tmp_path / "ids.txt").write_bytes(text.encode())
    found = read_vectors(npy(tmp_path), tmp_path / "ids.txt")
    assert found.ids == IDS
    (tmp_path / "ids.txt").write_bytes("b c.jpg\na.jpg\n鞋.jpg\n".encode())
    assert read_vectors(tmp_path / "v.npy", tmp_path / "ids.txt").weights != found.weights


def test_embeddings_of_a_run_come_back_bit_by_bit_with_the_name_of_their_weights(
    tmp_path: Path,
) -> None:
    dataset = made_up(["a", "b", "a"])
    vectors = normalise(VECTORS).astype(np.float32)
    made_by = {"weights": "untrained", "settings": {"post": "none"}}
    write_embeddings(tmp_path / "e.parquet", dataset, vectors, made_by)
    found = read_vectors(tmp_path / "e.parquet")
    assert found.vectors.tobytes() == vectors.tobytes()
    assert found.ids == [item.id for item in dataset.items]
    assert not found.weights.is_trained
    assert found.description["lengths"] == "1"
    assert found.description["made by: settings"] == '{"post": "none"}'


@pytest.mark.parametrize("ids", [np.arange(3), np.array([b"0", b"1", b"2"])])
def test_ids_may_be_integers_or_bytes(tmp_path: Path, ids: Any) -> None:
    assert read_vectors(npz(tmp_path, ids=ids)).ids == ["0", "1", "2"]


@pytest.mark.parametrize("scale", [1e-300, 1e300])
def test_very_large_and_small_numbers_are_normalised(tmp_path: Path, scale: float) -> None:
    found = read_vectors(npz(tmp_path, vectors=VECTORS * scale))
    assert np.allclose(found.vectors, normalise(VECTORS), atol=1e-7)


def with_value(value: float) -> Any:
    changed = VECTORS.copy()
    changed[1, 2] = value
    return changed


NO_ROW = VECTORS * np.array([[1], [0], [1]])


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"vectors": with_value(np.nan)}, "1 vectors have NaN or infinity: that of 'b c.jpg'"),
        ({"vectors": with_value(-np.inf)}, "NaN or infinity"),
        ({"vectors": NO_ROW}, "1 vectors have only zeros: that of 'b c.jpg'"),
        ({"vectors": VECTORS[0]}, r"a row for each image, not float64 of shape \(5,\)"),
        ({"vectors": VECTORS[:, :, None]}, "shape"),
        ({"vectors": VECTORS[:, :1]}, "of dimension 2 to 32,768"),
        ({"vectors": VECTORS[:0], "ids": np.array([], str)}, "there has to be one"),
        ({"vectors": VECTORS.astype(str)}, "real numbers"),
        ({"vectors": VECTORS + 1j}, "real numbers"),
        ({"vectors": VECTORS[:2]}, "2 vectors, but there are 3 ids"),
        ({"vectors": np.array([[1, None]])}, "allow_pickle=False"),
        ({"ids": np.array(["a", "b", "a"])}, "1 ids occur more than once: 'a'"),
        ({"ids": np.array([1.5, 2, 3])}, "list of texts or integers, not float64"),
        ({"ids": np.array(IDS, object)}, "allow_pickle=False"),
        ({"ids": np.array([b"\xff", b"a", b"b"])}, "utf-8"),
    ],
)
def test_bad_arrays_are_one_clear_error(
    tmp_path: Path, arrays: dict[str, Any], message: str
) -> None:
    path = npz(tmp_path, **arrays)
    with pytest.raises(WorkbenchError, match=message) as raised:
        read_vectors(path)
    assert str(raised.value).startswith(f"The vectors {str(path)!r} can't be used: ")
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"embedding": [[1.0, 2.0], [1.0], [1.0, 2.0]]}, "differ in length: 1 to 2"),
        ({"embedding": [[1.0, 2.0], None, [1.0, 2.0]]}, "missing"),
        ({"embedding": [[1.0, 2.0], [None, 1.0], [1.0, 2.0]]}, "missing"),
        ({"embedding": [1.0, 2.0, 3.0]}, "a list of numbers in each row, not double"),
        ({"embedding": [["a", "b"]] * 3}, "real numbers"),
        ({"id": ["a", None, "b"]}, "a text or an integer in each row"),
        ({"id": [1.5, 2.5, 3.5]}, "a text or an integer in each row, not double"),
    ],
)
def test_bad_columns_are_one_clear_error(
    tmp_path: Path, columns: dict[str, Any], message: str
) -> None:
    with pytest.raises(WorkbenchError, match=message):
        read_vectors(table(tmp_path, **columns))


def test_files_of_another_kind_are_one_clear_error(tmp_path: Path) -> None:
    bad = {
        "v.csv": (b"1,2", "read from .npy, .npz and .parquet"),
        "v.npz": (b"PK\x03\x04 cut short", "can't be used"),
        "v.parquet": (b"PAR1 no table", "can't be used"),
        "empty.npz": (b"", "can't be used"),
        "pickled.npz": (pickle.dumps([1.0]), "can't be used"),
    }
    for name, (data, message) in bad.items():
        (tmp_path / name).write_bytes(data)
        with pytest.raises(WorkbenchError, match=message):
            read_vectors(tmp_path / name)
    with pytest.raises(WorkbenchError, match="No such file"):
        read_vectors(tmp_path / "none.npz")
    np.savez(tmp_path / "v.npz", vectors=VECTORS)
    with pytest.raises(WorkbenchError, match="it has no array ids"):
        read_vectors(tmp_path / "v.npz")
    pq.write_table(pa.table({"id": IDS}), tmp_path / "v.parquet")
    with pytest.raises(WorkbenchError, match="it has no column embedding"):
        read_vectors(tmp_path / "v.parquet")


class Unpickled(Exception):
    """Raised by a pickle that somebody opens."""


class Trap:
    def __reduce__(self) -> Any:
        return _spring, ()


def _spring() -> None:
    raise Unpickled


@pytest.mark.parametrize("wrapped", [True, False])
def test_a_pickled_npy_is_never_unpickled(tmp_path: Path, wrapped: bool) -> None:
    (tmp_path / "ids.txt").write_text("a\n")
    path = tmp_path / "v.npy"
    if wrapped:
        np.save(path, np.array([Trap()], object), allow_pickle=True)
    else:
        path.write_bytes(pickle.dumps(Trap()))
    with pytest.raises(WorkbenchError, match="Python objects, which are never unpickled"):
        read_vectors(path, tmp_path / "ids.txt")


def test_a_npy_needs_ids_and_other_files_have_their_own(tmp_path: Path) -> None:
    with pytest.raises(WorkbenchError, match="an id a line by --vectors-ids"):
        read_vectors(npy(tmp_path))
    (tmp_path / "ids.txt").write_text("a\nb\n")
    archive = tmp_path / "archive.npy"
    archive.write_bytes(npz(tmp_path).read_bytes())
    with pytest.raises(WorkbenchError, match=r"it is an \.npz file"):
        read_vectors(archive, tmp_path / "ids.txt")
    with pytest.raises(WorkbenchError, match="3 vectors, but there are 2 ids"):
        read_vectors(tmp_path / "v.npy", tmp_path / "ids.txt")
    with pytest.raises(WorkbenchError, match="this one has its own ids"):
        read_vectors(npz(tmp_path), tmp_path / "ids.txt")

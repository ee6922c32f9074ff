"""Reads a file of embeddings that something else made: `run --vectors`.

    .npz      arrays `ids` (n,) and `vectors` (n, dimension)
    .npy      vectors alone; a text file beside it has an id a line
    .parquet  columns `id` and `embedding`, as `run --embeddings` writes them

Nothing is ever unpickled. Each error is one line that names the file.
"""

from __future__ import annotations

import hashlib
import json
import re
import zipfile
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from bogv.embedding.weights import Weights
from bogv.files import file_digest
from bogv.records import Vectors
from eval.data.naming import printable
from eval.embedding.stored import StoredVectors
from eval.errors import WorkbenchError
from eval.report.results import UNKNOWN

MAX_DIMENSION = 32_768
"""Of a vector in Milvus, whose index is one of a run's steps."""
MADE_BY = ("dataset", "digest", "weights", "fingerprint", "engine", "settings")
"""What `run --embeddings` notes in the file's metadata."""
TOLERANCE = 1e-5
"""A length may differ from 1 by so much and counts as 1; float32 rounds to 6e-8 a number."""

Array = NDArray[Any]


@dataclass(frozen=True)
class _Content:
    """What stands in a file, not checked yet."""

    ids: list[str]
    vectors: Array
    made_by: dict[str, Any] = field(default_factory=dict)
    """The metadata of `run --embeddings`."""


def read_vectors(path: Path, ids: Path | None = None) -> StoredVectors:
    """The vectors of a file, of length 1. ids: a file with an id a line, for .npy alone.

    Vectors of another length are normalised. Raises WorkbenchError for what can't be read or is no
    table of finite vectors with an id each.
    """
    readers: dict[str, Callable[[Path], _Content]] = {".npz": _read_npz, ".parquet": _read_parquet}
    with _naming(path):
        if path.suffix == ".npy":
            content = _read_npy(path, ids)
        elif path.suffix not in readers:
            raise WorkbenchError("vectors are read from .npy, .npz and .parquet")
        elif ids is not None:
            raise WorkbenchError("--vectors-ids is for .npy files; this one has its own ids")
        else:
            content = readers[path.suffix](path)
        vectors, lengths = _check(content)
        return StoredVectors(
            name=printable(path.name),
            ids=content.ids,
            vectors=vectors,
            weights=Weights(_weights_name(content), None, _fingerprint(path, ids)),
            description=_describe(path, ids, content, lengths),
        )


@contextmanager
def _naming(path: Path) -> Iterator[None]:
    """Any error in one line that names the file."""
    try:
        yield
    except (
        *(WorkbenchError, OSError, ValueError, TypeError, KeyError, EOFError, MemoryError),
        *(zipfile.BadZipFile, pa.ArrowException, OverflowError, NotImplementedError),
    ) as error:
        reason = str(error).strip(". ") or type(error).__name__
        raise WorkbenchError(f"The vectors {str(path)!r} can't be used: {reason}.") from error


def _read_npy(path: Path, ids: Path | None) -> _Content:
    if ids is None:
        raise WorkbenchError(
            "a .npy file has no ids; name a text file with an id a line by --vectors-ids"
        )
    lines = ids.read_text("utf-8").removesuffix("\n").split("\n")
    return _Content([line.removesuffix("\r") for line in lines], _load(path))


def _load(path: Path) -> Array:
    try:
        with path.open("rb") as file:
            found = np.load(file, allow_pickle=False)
    except ValueError as error:
        # numpy says the same of a pickle and of a file that is none of its own.
        raise WorkbenchError(
            "it is damaged, no NumPy file, or holds Python objects, which are never unpickled"
        ) from error
    if not isinstance(found, np.ndarray):
        raise WorkbenchError("it is an .npz file: name it so")
    return found


def _read_npz(path: Path) -> _Content:
    # numpy leaves a file open that is no archive, unless it is given the open file.
    with path.open("rb") as file:
        found = np.load(file, allow_pickle=False)
        if not isinstance(found, np.lib.npyio.NpzFile):
            raise WorkbenchError("it is no .npz file")
        if missing := {"ids", "vectors"} - set(found.files):
            raise WorkbenchError(f"it has no array {' and no array '.join(sorted(missing))}")
        return _Content(_texts(found["ids"]), found["vectors"])


def _texts(ids: Array) -> list[str]:
    if ids.ndim != 1 or ids.dtype.kind not in "UiuS":
        raise WorkbenchError(
            f"ids has to be a list of texts or integers, not {ids.dtype} of shape {ids.shape}"
        )
    if ids.dtype.kind == "S":
        return [each.decode("utf-8") for each in ids.tolist()]
    return [str(each) for each in ids.tolist()]


def _read_parquet(path: Path) -> _Content:
    with pq.ParquetFile(path) as file:
        schema = file.schema_arrow
        if missing := {"id", "embedding"} - set(schema.names):
            raise WorkbenchError(f"it has no column {' and no column '.join(sorted(missing))}")
        table = file.read(columns=["id", "embedding"])
    made_by = json.loads((schema.metadata or {}).get(b"bogv", b"{}"))
    ids = table["id"].combine_chunks()
    if ids.null_count or not (
        pa.types.is_string(ids.type)
        or pa.types.is_large_string(ids.type)
        or pa.types.is_integer(ids.type)
    ):
        raise WorkbenchError(f"id has to be a text or an integer in each row, not {ids.type}")
    texts = [str(each) for each in ids.to_pylist()]
    embedding = table["embedding"].combine_chunks()
    return _Content(texts, _matrix(embedding), made_by if isinstance(made_by, dict) else {})


def _matrix(column: Any) -> Array:
    """A column of lists as (n, dimension)."""
    kind = column.type
    lists = (pa.types.is_list, pa.types.is_large_list, pa.types.is_fixed_size_list)
    if not any(check(kind) for check in lists):
        raise WorkbenchError(f"embedding has to be a list of numbers in each row, not {kind}")
    numbers = column.flatten()
    if column.null_count or numbers.null_count:
        raise WorkbenchError("an embedding, or a number in it, is missing (null)")
    lengths = set(column.value_lengths().to_pylist())
    if len(lengths) > 1:
        raise WorkbenchError(f"embeddings differ in length: {min(lengths):,} to {max(lengths):,}")
    found: Array = numbers.to_numpy(zero_copy_only=False)
    return found.reshape(len(column), -1) if len(column) else found.reshape(0, 0)


def _check(content: _Content) -> tuple[Vectors, NDArray[np.float64]]:
    """The vectors, of length 1, and the lengths that they had. Raises WorkbenchError."""
    found, ids = content.vectors, content.ids
    if found.ndim != 2 or found.dtype.kind not in "fiu":
        raise WorkbenchError(
            "vectors have to be a table of real numbers, a row for each image, not"
            f" {found.dtype} of shape {found.shape}"
        )
    if len(ids) != len(found):
        raise WorkbenchError(f"it has {len(found):,} vectors, but there are {len(ids):,} ids")
    if not 2 <= found.shape[1] <= MAX_DIMENSION or not len(found):
        raise WorkbenchError(
            f"{len(found):,} vectors of dimension {found.shape[1]:,}; there has to be one, of"
            f" dimension 2 to {MAX_DIMENSION:,}"
        )
    if twice := [name for name, count in Counter(ids).items() if count > 1]:
        raise WorkbenchError(f"{len(twice):,} ids occur more than once: {twice[0]!r}")
    vectors = found.astype(np.float64)
    peaks = np.abs(vectors).max(axis=1, keepdims=True)
    for wrong, what in ((~np.isfinite(peaks), "NaN or infinity"), (peaks == 0, "only zeros")):
        if wrong.any():
            first = ids[int(np.argmax(wrong))]
            raise WorkbenchError(f"{int(wrong.sum()):,} vectors have {what}: that of {first!r}")
    vectors /= peaks  # the squares of very large or small numbers would overflow or vanish
    norms = np.linalg.norm(vectors, axis=1, keepdims=True)
    lengths = (norms * peaks)[:, 0]
    # Embeddings that were of length 1 stay what they are, to the last bit.
    own = found if _are_unit(lengths) else vectors / norms
    return own.astype(np.float32), lengths


def _are_unit(lengths: NDArray[np.float64]) -> bool:
    return bool((np.abs(lengths - 1) <= TOLERANCE).all())


def _weights_name(content: _Content) -> str:
    """As `run --embeddings` noted it, so that untrained weights are called that here as well."""
    name = content.made_by.get("weights")
    valid = isinstance(name, str) and re.fullmatch(r"[\w.-]{1,60}", name)
    return name if valid and isinstance(name, str) else UNKNOWN


def _fingerprint(path: Path, ids: Path | None) -> str:
    """12 hex digits of the file's SHA-256; of the digests of both where there is a file of ids."""
    digest = file_digest(path)
    if ids is not None:
        digest = hashlib.sha256(f"{digest} {file_digest(ids)}".encode()).hexdigest()
    return digest[:12]


def _describe(
    path: Path, ids: Path | None, content: _Content, lengths: NDArray[np.float64]
) -> dict[str, str]:
    as_read = f"from {lengths.min():.6g} to {lengths.max():.6g}; normalised on reading"
    return {
        "vectors": printable(path.name),
        "SHA-256": file_digest(path),
        **({"SHA-256 of the ids": file_digest(ids)} if ids is not None else {}),
        "number": f"{len(content.ids):,}",
        "dimension": str(content.vectors.shape[1]),
        "lengths": "1" if _are_unit(lengths) else as_read,
        **{
            f"made by: {key}": printable(value if isinstance(value, str) else json.dumps(value))
            for key, value in content.made_by.items()
            if key in MADE_BY
        },
    }

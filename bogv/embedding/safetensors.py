"""Reads safetensors files, whose bytes are not trusted, without executing anything in them.

The format (https://huggingface.co/docs/safetensors): the header's length as 8 little-endian bytes,
the header, a JSON object of each tensor's dtype, shape and place, then the tensors' bytes. The
package of that name would be one more dependency.
"""

from __future__ import annotations

import json
import math
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

MAX_HEADER = 1 << 20  # bytes; that of ResNet50 has some 30,000
_FLOATS = {"F16": "<f2", "BF16": "<u2", "F32": "<f4", "F64": "<f8"}
_OTHERS = {"BOOL": 1, "U8": 1, "I8": 1, "U16": 2, "I16": 2, "U32": 4, "I32": 4, "U64": 8, "I64": 8}
_BYTES = {**{name: np.dtype(kind).itemsize for name, kind in _FLOATS.items()}, **_OTHERS}


@dataclass(frozen=True)
class _Entry:
    """A tensor in the file."""

    dtype: str
    shape: tuple[int, ...]
    start: int
    """Of its bytes, from the end of the header."""
    end: int


def read_safetensors(path: Path) -> dict[str, NDArray[np.float32]]:
    """The tensors of floating-point numbers by name, as float32; others are left out.

    Raises OSError, and ValueError for a file that is damaged or not in the format.
    """
    with path.open("rb") as file:
        entries, begin = _read_header(file, path.stat().st_size)
        return {
            name: _read_tensor(file, begin, entry)
            for name, entry in entries.items()
            if entry.dtype in _FLOATS
        }


def _read_header(file: BinaryIO, size: int) -> tuple[dict[str, _Entry], int]:
    """The entries, and where the tensors' bytes begin. size: of the file, bytes."""
    prefix = file.read(8)
    length = struct.unpack("<Q", prefix)[0] if len(prefix) == 8 else 0
    if not 0 < length <= min(MAX_HEADER, size - 8):
        raise ValueError(f"its header can't have {length} bytes")
    try:
        header = json.loads(file.read(length).decode("utf-8"), object_pairs_hook=_without_doubles)
    except RecursionError as error:
        raise ValueError("its header is nested too deeply") from error
    if not isinstance(header, dict):
        raise ValueError("its header is no object")  # noqa: TRY004 - the file's, not the caller's
    header.pop("__metadata__", None)
    entries = {name: _entry(name, values) for name, values in header.items()}
    _check_places(entries, size - 8 - length)
    return entries, 8 + length


def _without_doubles(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    values = dict(pairs)
    if len(values) < len(pairs):
        raise ValueError("its header has a name twice")
    return values


def _entry(name: str, values: Any) -> _Entry:
    match values:
        case {"dtype": str(dtype), "shape": [*shape], "data_offsets": [start, end]} if all(
            type(each) is int and each >= 0 for each in (*shape, start, end)
        ):
            if end - start == _BYTES.get(dtype, -1) * math.prod(shape):
                return _Entry(dtype, tuple(shape), start, end)
    raise ValueError(f"the header's entry {name[:80]!r} is wrong")


def _check_places(entries: dict[str, _Entry], size: int) -> None:
    """Raises ValueError unless the tensors fill the rest of the file, which has `size` bytes."""
    at = 0
    for entry in sorted(entries.values(), key=lambda each: (each.start, each.end)):
        if entry.start != at:
            raise ValueError("its tensors have gaps or overlap")
        at = entry.end
    if at != size:
        raise ValueError(f"its tensors have {size} bytes, not {at}")


def _read_tensor(file: BinaryIO, begin: int, entry: _Entry) -> NDArray[np.float32]:
    file.seek(begin + entry.start)
    numbers = np.frombuffer(file.read(entry.end - entry.start), _FLOATS[entry.dtype])
    if entry.dtype == "BF16":  # the upper half of a float32
        numbers = (numbers.astype(np.uint32) << 16).view(np.float32)
    with np.errstate(over="ignore"):  # to infinity, which is refused later
        return numbers.astype(np.float32).reshape(entry.shape)

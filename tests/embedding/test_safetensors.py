from __future__ import annotations

import json
import re
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import save

from bogv.embedding.safetensors import MAX_HEADER, read_safetensors


def file_of(header: Any, data: bytes = b"", length: int | None = None) -> bytes:
    packed = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(packed) if length is None else length) + packed + data


def entry(shape: list[Any], offsets: list[Any], dtype: str = "F32") -> dict[str, Any]:
    return {"dtype": dtype, "shape": shape, "data_offsets": offsets}


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_what_the_package_writes_is_read(tmp_path: Path, dtype: torch.dtype) -> None:
    tensors = {
        "a.weight": torch.linspace(-3, 3, 24).reshape(2, 3, 4).to(dtype),
        "none": torch.empty(0, 5, dtype=dtype),
        "count": torch.tensor(7),
    }
    path = tmp_path / "a.safetensors"
    path.write_bytes(save(tensors, metadata={"format": "pt"}))
    read = read_safetensors(path)
    assert set(read) == {"a.weight", "none"}
    for name, values in read.items():
        assert values.dtype == np.float32
        assert np.array_equal(values, tensors[name].float().numpy())


BAD = {
    "empty": (b"", "can't have 0 bytes"),
    "no header": (b"\x08\0\0", "can't have"),
    "a header of 2**63 bytes": (
        file_of({}, length=1 << 63),
        "can't have 9223372036854775808",
    ),
    "a header longer than the file": (file_of({}, length=100), "can't have 100 bytes"),
    "a header over the limit": (file_of(b" " * (MAX_HEADER + 1)), "can't have"),
    "no JSON": (file_of(b"<html>"), "Expecting value"),
    "no UTF-8": (file_of(b'{"\xff": 1}'), "codec can't decode"),
    "nested": (file_of(b"[" * 100_000), "nested too deeply"),
    "no object": (file_of([1]), "no object"),
    "a name twice": (file_of(b'{"a": 1, "a": 1}'), "twice"),
    "no entry": (file_of({"a": 1}), "entry 'a'"),
    "an unknown type": (file_of({"a": entry([1], [0, 4], "F99")}, b"1234"), "entry 'a'"),
    "negative": (file_of({"a": entry([-1], [4, 0])}), "entry 'a'"),
    "a shape of truth values": (file_of({"a": entry([True], [0, 4])}, b"1234"), "entry 'a'"),
    "offsets that are no numbers": (file_of({"a": entry([1], ["0", "4"])}, b"1234"), "entry 'a'"),
    "fewer bytes than the shape": (file_of({"a": entry([2], [0, 4])}, b"1234"), "entry 'a'"),
    "a shape of 2**80": (file_of({"a": entry([2**40, 2**40], [0, 4])}, b"1234"), "entry 'a'"),
    "truncated": (file_of({"a": entry([2], [0, 8])}, b"1234"), "have 4 bytes, not 8"),
    "more bytes than tensors": (
        file_of({"a": entry([1], [0, 4])}, b"12345"),
        "have 5 bytes, not 4",
    ),
    "a gap": (file_of({"a": entry([1], [0, 4]), "b": entry([1], [8, 12])}, b"1" * 12), "gaps"),
    "an overlap": (
        file_of({"a": entry([2], [0, 8]), "b": entry([2], [4, 12])}, b"1" * 12),
        "gaps or overlap",
    ),
}


@pytest.mark.parametrize("name", BAD)
def test_a_damaged_or_hostile_file_is_refused(tmp_path: Path, name: str) -> None:
    path = tmp_path / "a.safetensors"
    content, message = BAD[name]
    path.write_bytes(content)
    with pytest.raises(ValueError, match=re.escape(message)):
        read_safetensors(path)


@given(st.binary(max_size=300), st.booleans())
def test_any_bytes_are_read_or_refused(
    tmp_path_factory: pytest.TempPathFactory, junk: bytes, framed: bool
) -> None:
    path = tmp_path_factory.getbasetemp() / "junk.safetensors"
    path.write_bytes(file_of(junk) if framed else junk)
    try:
        read = read_safetensors(path)
    except ValueError:
        return
    assert read == {}

"""The indexes and parameters that `ann` measures.

Only types that do what their name says: Milvus Lite takes others in silence and searches them by
brute force. Parameters are Milvus' own: https://milvus.io/docs/index.md.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from bogv.storage.milvus import DEFAULT_INDEX
from eval.errors import WorkbenchError

LITE: Final = ("FLAT", "HNSW", "HNSW_SQ", "IVF_FLAT", "IVF_SQ8", "AUTOINDEX")
SERVER: Final = ("FLAT", "HNSW", "IVF_FLAT", "IVF_SQ8", "SCANN", "AUTOINDEX")

EF = (16, 64, 256)
NPROBE = (1, 4, 16, 64)
GRAPHS: Final = ((8, 100), (16, 200), (32, 200))
"""M and efConstruction; bogv's own among them."""
NLIST = (64, 256)
PER_CELL = 40
"""Vectors per k-means cell; faiss warns below 39."""


@dataclass(frozen=True)
class Sweep:
    """An index that is built once, and the sets of parameters it is searched with."""

    index: str
    build: Mapping[str, int] = field(default_factory=dict)
    searches: Sequence[Mapping[str, int]] = ({},)

    @property
    def label(self) -> str:
        """`HNSW M 16, efConstruction 200`."""
        given = ", ".join(f"{name} {value}" for name, value in self.build.items())
        return f"{self.index} {given}".strip()


def sweeps(count: int, k: int, *, lite: bool, only: Sequence[str] = ()) -> list[Sweep]:
    """The indexes to measure on `count` vectors for the nearest k; bogv's own is always first.

    only: types of index; none: all that work. Raises WorkbenchError for one that doesn't.
    """
    types = LITE if lite else SERVER
    if unknown := [name for name in only if name not in types]:
        raise WorkbenchError(
            f"{', '.join(unknown)}: no such index works on {'Milvus Lite' if lite else 'a server'};"
            f" there are {', '.join(types)}."
        )
    found = [sweep for name in only or types for sweep in _of(name, count, k)]
    own = Sweep(
        DEFAULT_INDEX.type,
        DEFAULT_INDEX.build,
        _searches("ef", [*EF, *DEFAULT_INDEX.search.values()], k),
    )
    return [own, *(sweep for sweep in found if sweep.label != own.label)]


def _of(name: str, count: int, k: int) -> Iterator[Sweep]:
    if name in {"FLAT", "AUTOINDEX"}:
        yield Sweep(name)
    elif name == "HNSW_SQ":
        yield Sweep(name, DEFAULT_INDEX.build, _searches("ef", EF, k))
    elif name == "HNSW":
        for m, construction in GRAPHS:
            build = {"M": m, "efConstruction": construction}
            yield Sweep(name, build, _searches("ef", EF, k))
    else:
        for cells in sorted({min(each, max(1, count // PER_CELL)) for each in NLIST}):
            probes = [each for each in NPROBE if each <= cells]
            yield Sweep(name, {"nlist": cells}, [{"nprobe": each} for each in probes])


def _searches(name: str, values: Sequence[int], k: int) -> list[Mapping[str, int]]:
    """The store never asks for fewer candidates than hits, so smaller values would be the same."""
    return [{name: each} for each in sorted({max(each, k) for each in values})]

"""A small sweep over few vectors."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from bogv.storage.milvus import DEFAULT_INDEX
from eval.ann.measure import AnnOptions, VectorSource
from eval.ann.sweep import Sweep
from eval.harness.synthetic import Clustered

SMALL = Clustered(seed=1, dimension=24, clusters=6, rank=8)
COUNT, QUERIES, K = 240, 12, 5
FLAT = Sweep("FLAT")
CELLS = Sweep("IVF_FLAT", {"nlist": 6}, [{"nprobe": 1}, {"nprobe": 6}])


def here(work: Any, *arguments: Any, **_: str) -> Any:
    """`run_in_process` without a process: its start takes seconds."""
    return work(*arguments)


def source(**more: Any) -> VectorSource:
    whole = VectorSource(
        "synthetic", SMALL.gallery(COUNT), COUNT, SMALL.queries(QUERIES), {"rank": 8}
    )
    return replace(whole, **more)


def options(*more: Sweep) -> AnnOptions:
    own = Sweep(DEFAULT_INDEX.type, DEFAULT_INDEX.build, [DEFAULT_INDEX.search])
    return AnnOptions([own, *more], k=K, warm_up=2, progress=False)

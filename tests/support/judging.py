"""Pools to judge."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from bogv.judgements import POOL, THUMBNAILS, Pool, PooledQuery, PoolFolder
from tests.support.fakes import encoded, picture


def write_pool(folder: Path, queries: Mapping[str, Sequence[str]]) -> PoolFolder:
    """A pool of these queries and images, each with a picture of its own."""
    names = sorted({name for query, images in queries.items() for name in (query, *images)})
    pool = Pool(
        seed=0,
        queries=[
            PooledQuery(query=query, images=list(images)) for query, images in queries.items()
        ],
        thumbnails={name: f"{number}.webp" for number, name in enumerate(names)},
    )
    (folder / THUMBNAILS).mkdir(parents=True)
    for number, name in enumerate(names):
        data = encoded(picture(number, (96, 72)), "WEBP")
        (folder / THUMBNAILS / pool.thumbnails[name]).write_bytes(data)
    (folder / POOL).write_text(pool.model_dump_json())
    return PoolFolder(folder)

"""Mutated images through decode and add, in a process whose memory is bounded.

`python -m tests.soak.mutate FOLDER FIRST COUNT`: FOLDER/seed holds the seed that is being decoded,
and the last line of the output what became of all, as JSON.
"""

from __future__ import annotations

import json
import mmap
import resource
import sys
import warnings
from collections import Counter
from functools import partial
from pathlib import Path

from bogv.errors import BogvError, DamagedImage, NotAnImage, TooLarge
from bogv.records import NewImage
from bogv.service import ImageSearch
from bogv.storage.milvus import Index, MilvusStore
from tests.imaging.support.corpus import mutated
from tests.support.fakes import fake_search
from tests.support.memory import MEBIBYTE, peak

ADDRESS_SPACE = 16 << 30  # bytes; a bomb ends this process and not the machine
CHUNK = 512
ERRORS = (DamagedImage, NotAnImage, TooLarge)
"""What may come of bytes that are no picture."""


def main(folder: Path, first: int, count: int) -> None:
    resource.setrlimit(resource.RLIMIT_AS, (ADDRESS_SPACE, ADDRESS_SPACE))
    warnings.simplefilter("ignore")  # Pillow warns of what it then reads all the same
    # Not searched: an index would take most of the time.
    search = fake_search(MilvusStore.lite(folder / "data", "images", Index("FLAT")), folder)
    outcomes: Counter[str] = Counter()
    with (folder / "seed").open("r+b") as file, mmap.mmap(file.fileno(), 20) as now:
        settled = 0
        for start in range(first, first + count, CHUNK):
            chunk = range(start, min(start + CHUNK, first + count))
            outcomes += decoded(search, chunk, now)
            added(search, chunk)
            # The first chunk has brought in all code, and the buffers that stay.
            settled = settled or peak() // MEBIBYTE
    search.close()
    print(json.dumps({"outcomes": outcomes, "settled": settled, "most": peak() // MEBIBYTE}))


def decoded(search: ImageSearch, seeds: range, now: mmap.mmap) -> Counter[str]:
    """Decode each alone, its seed written down before."""
    outcomes: Counter[str] = Counter()
    for seed in seeds:
        now[:] = b"%20d" % seed
        data = mutated(seed)
        try:
            picture = search.decoder.decode(data, thumbnail=True)
        except ERRORS as error:
            outcomes[type(error).type] += 1
        else:
            assert picture.pixels.shape == (224, 224, 3), seed
            assert picture.thumbnail, seed
            outcomes["picture"] += 1
    return outcomes


def added(search: ImageSearch, seeds: range) -> None:
    """Add them all: what decodes is in, what fails changes nothing; then take them out."""
    images = [NewImage(partial(mutated, seed), key=str(seed)) for seed in seeds]
    ids = []
    for seed, verdict in zip(seeds, search.add_many(images), strict=True):
        if isinstance(verdict.error, BogvError):
            assert isinstance(verdict.error, ERRORS), (seed, verdict.error)
        else:
            assert verdict.status == "created", (seed, verdict)
            ids.append(verdict.id or 0)
    assert search.stats().count == len(ids), seeds
    assert search.delete_ids(ids) == len(ids), seeds


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))

"""A judged pool as a dataset: the images are another dataset's, the ground truth is a person's.

The pool's folder (`bogv.judgements`) has beside it `dataset.json`, which says where the images are.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path

from pydantic import Field, ValidationError

from bogv.errors import BogvError
from bogv.judgements import RELEVANT, PoolFolder
from eval.data.catalogue import Strict
from eval.data.items import Item, LayoutError, RawDataset, Truth

DATASET = "dataset.json"


class PoolSource(Strict):
    """Where a pool's images are: what `eval.data.datasets.load` takes."""

    dataset: str
    root: Path | None
    """Absolute; None: inside a package."""
    limit: int | None = Field(None, ge=2)
    seed: int = 0


def read_source(pool: Path) -> PoolSource:
    """What dataset.json says. pool: its folder. Raises LayoutError."""
    try:
        return PoolSource.model_validate_json((pool / DATASET).read_bytes())
    except (OSError, ValidationError) as error:
        raise LayoutError(f"{pool / DATASET} can't be read: {error}.") from error


def judged(
    pool: Path, items: Iterable[Item], gallery: list[int], junk: Mapping[int, tuple[int, ...]]
) -> RawDataset:
    """Each query with a judgement; relevant is what was judged so, and no less than that.

    An image that was not judged for a query is not relevant to it. Items lose their labels: the
    sampling unit is the query. junk: of the source's queries. Raises LayoutError.
    """
    unlabelled = [replace(item, label=None) for item in items]
    index_of = {item.id: index for index, item in enumerate(unlabelled)}
    try:
        grades = PoolFolder(pool).read_judgements()
    except BogvError as error:
        raise LayoutError(str(error)) from error
    if not grades:
        raise LayoutError(f"Nothing is judged in {str(pool)!r} yet.")
    if missing := sorted({name for pair in grades for name in pair} - set(index_of)):
        raise LayoutError(f"{len(missing)} judged images are missing, such as {missing[0]!r}.")
    relevant: dict[int, list[int]] = {index_of[pair.query]: [] for pair in grades}
    for pair, grade in grades.items():
        if grade == RELEVANT:
            relevant[index_of[pair.query]].append(index_of[pair.image])
    truth = {
        query: Truth(tuple(sorted(relevant[query])), junk.get(query, ()))
        for query in sorted(relevant)
    }
    return RawDataset(unlabelled, list(truth), gallery, truth)

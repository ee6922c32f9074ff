"""Revisited Oxford and Paris (Radenović et al., arXiv:1803.11285): gnd_*.pkl and jpg/."""

from __future__ import annotations

import pickle
import re
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np

from eval.data.files import list_images, read_crop, to_box
from eval.data.items import Item, LayoutError, RawDataset, Truth, file_item

Difficulty = Literal["easy", "medium", "hard"]


def revisited(root: Path, difficulty: Difficulty = "medium") -> RawDataset:
    """Easy images are relevant, or hard ones, or (medium) both; the other kind is junk.

    The query is the part of its photo inside the box; it is no part of the gallery.
    """
    lists = sorted(root.glob("gnd_*.pkl"))
    if len(lists) != 1:
        raise LayoutError(f"There are {len(lists)} files gnd_*.pkl in {str(root)!r}, not one.")
    gallery, queries, ground = _ground_truth(lists[0])
    path_of = {path.stem: path for path in list_images(root / "jpg")}
    if missing := [name for name in [*gallery, *queries] if name not in path_of]:
        raise LayoutError(f"{len(missing)} photos are missing, such as {missing[0]!r}.")
    items = [file_item(root, path_of[name], None) for name in gallery]
    answers = [_truth(right, len(gallery), difficulty) for right in ground]
    truth = dict(enumerate(answers, len(gallery)))
    # The same landmarks, whatever is asked for.
    firsts = _landmarks([_truth(right, len(gallery), "medium") for right in ground])
    for name, right, first in zip(queries, ground, firsts, strict=True):
        crop = partial(read_crop, path_of[name], to_box(right.get("bbx", ())))
        items.append(Item(path_of[name].relative_to(root).as_posix(), queries[first], crop))
    return RawDataset(items, list(truth), list(range(len(gallery))), truth)


def _ground_truth(path: Path) -> tuple[list[str], list[str], list[Mapping[str, Any]]]:
    try:
        with path.open("rb") as file:
            data = _ArraysOnly(file).load()
        names = [str(name) for name in data["imlist"]]
        queries = [str(name) for name in data["qimlist"]]
        ground = list(data["gnd"])
    except Exception as error:  # a damaged pickle fails in any way
        raise LayoutError(f"{path.name} can't be read: {error}.") from error
    if len(queries) != len(ground):
        raise LayoutError(f"{path.name} has {len(queries)} queries and {len(ground)} answers.")
    return names, queries, ground


class _ArraysOnly(pickle.Unpickler):
    """Reads lists, dicts, strings, numbers and NumPy arrays, and refuses everything else.

    A pickle is a program: one from the internet, read the plain way, can do whatever its author
    likes. It does so through the names that it looks up, and all lookups come through here.
    """

    ALLOWED = frozenset(
        {
            ("_codecs", "encode"),  # how old protocols spell bytes
            ("numpy", "dtype"),
            ("numpy", "ndarray"),
            ("numpy._core.multiarray", "_reconstruct"),
            ("numpy._core.multiarray", "scalar"),
            ("numpy._core.numeric", "_frombuffer"),
        }
    )

    def find_class(self, module: str, name: str) -> Any:
        # NumPy 1 wrote numpy.core; asking NumPy 2 for it warns.
        module = re.sub(r"^numpy\.core\b", "numpy._core", module)
        if (module, name) not in self.ALLOWED:
            raise pickle.UnpicklingError(f"it uses {module}.{name}, which no list needs")
        return super().find_class(module, name)


def _truth(right: Mapping[str, Any], size: int, difficulty: Difficulty) -> Truth:
    """What is asked for is relevant; what is easier or harder than that is junk."""
    easy, hard, junk = (
        np.asarray(right.get(name, ()), dtype=np.intp).ravel().tolist()
        for name in ("easy", "hard", "junk")
    )
    if any(not 0 <= index < size for index in (*easy, *hard, *junk)):
        raise LayoutError("The ground truth names images that its list doesn't have.")
    relevant = {"easy": {*easy}, "medium": {*easy, *hard}, "hard": {*hard}}[difficulty]
    out = {*easy, *hard, *junk} - relevant
    return Truth(tuple(sorted(relevant)), tuple(sorted(out)))


def _landmarks(answers: Sequence[Truth]) -> list[int]:
    """For each query the first one of its landmark: queries that share a relevant image.

    Names don't tell: oxford_002985 is the third query of the landmark of all_souls_000013.
    """
    first = list(range(len(answers)))
    for query, answer in enumerate(answers):
        relevant = set(answer.relevant)
        same = {first[other] for other in range(query) if relevant & set(answers[other].relevant)}
        joined = min(same, default=query)
        first = [joined if landmark in {*same, query} else landmark for landmark in first]
    return first

"""TREC's run and qrels files, which trec_eval, pytrec_eval, ranx and ir_measures read.

    run.trec:   query Q0 image rank score tag
    qrels.trec: query 0 image relevance

Fields are separated by blanks, so ids are percent-encoded (`bogv.judgements.escape_id`). The query
itself and junk, which these tools know nothing of, are in neither file; nor are queries without a
relevant image.
Format: https://github.com/usnistgov/trec_eval, README.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bogv.judgements import escape_id, unescape_id
from eval.data.datasets import Dataset
from eval.errors import WorkbenchError
from eval.metrics import Relevance
from eval.retrieval.scoring import JudgedRanking, drop_query_and_junk
from eval.retrieval.search import Scores

TREC_RUN, QRELS = "run.trec", "qrels.trec"
STEPS = 1 << 24
"""Written scores are multiples of 1 / STEPS: from -1 to 1, float32 holds all of them exactly."""


@dataclass(frozen=True)
class _Top:
    query: int
    found: NDArray[np.int32]
    steps: NDArray[np.int32]
    rel: Relevance


@dataclass
class TopRankings:
    """The first ranks of each scored query's ranking, 9 bytes a rank; `observe` adds one."""

    depth: int
    """Ranks that are kept of each ranking."""
    _kept: list[_Top] = field(default_factory=list)

    def observe(self, ranking: JudgedRanking) -> None:
        """Keep a ranking, as it is scored."""
        top = slice(self.depth)
        found, steps = ranking.found[top].astype(np.int32), decreasing_steps(ranking.scores[top])
        self._kept.append(_Top(ranking.query, found, steps, ranking.rel[top].copy()))

    def files(self, dataset: Dataset, tag: str) -> dict[str, Callable[[Path], None]]:
        """What writes run.trec and qrels.trec, by the file's name. tag: the run's name in them.

        qrels.trec has every relevant image with 1, ranked or not, and the others that run.trec
        ranks with 0. What writes raises OSError.
        """
        names = [escape_id(item.id) for item in dataset.items]
        return {
            TREC_RUN: lambda path: _write(path, self._run_lines(names, escape_id(tag))),
            QRELS: lambda path: _write(path, self._qrels_lines(names, dataset)),
        }

    def _run_lines(self, names: list[str], tag: str) -> Iterator[str]:
        for top in self._kept:
            ranked = zip(top.found.tolist(), top.steps.tolist(), strict=True)
            for rank, (image, steps) in enumerate(ranked, 1):
                yield f"{names[top.query]} Q0 {names[image]} {rank} {steps / STEPS:.9g} {tag}\n"

    def _qrels_lines(self, names: list[str], dataset: Dataset) -> Iterator[str]:
        for top in self._kept:
            junk = dataset.junk(top.query)
            relevant = drop_query_and_junk(dataset.relevant(top.query), top.query, junk)
            for images, grade in ((relevant, 1), (top.found[~top.rel], 0)):
                for name in sorted(names[image] for image in images.tolist()):
                    yield f"{names[top.query]} 0 {name} {grade}\n"


def decreasing_steps(scores: Scores) -> NDArray[np.int32]:
    """(n,) cosines, descending -> (n,) in units of 1 / STEPS, each at least one below the last.

    trec_eval goes by the score, in float32, and breaks ties by the id, the last one first. Where
    rounding makes scores equal, the later ones are lowered, so that every tool has this order.

    >>> decreasing_steps(np.array([1.0, 1.0, 0.5])).tolist()
    [16777216, 16777215, 8388608]
    """
    places = np.arange(len(scores))
    lowered = np.minimum.accumulate(np.rint(scores * STEPS).astype(np.int64) + places) - places
    return lowered.astype(np.int32)


Rankings = Mapping[str, Sequence[str]]
"""The ids of the images that each query found, best first, by the query's id."""


def write_rankings(path: Path, rankings: Rankings, tag: str) -> None:
    """Write rankings as a run file; its scores say nothing but the order. Raises OSError."""
    name = escape_id(tag)
    _write(
        path,
        (
            f"{escape_id(query)} Q0 {escape_id(image)} {rank} {len(images) - rank} {name}\n"
            for query, images in rankings.items()
            for rank, image in enumerate(images, 1)
        ),
    )


def read_rankings(path: Path) -> dict[str, list[str]]:
    """The rankings of a run file, in the order that trec_eval gives them: by the score in float32,
    of equals the last id first. Raises WorkbenchError."""
    found: dict[str, list[tuple[np.float32, str]]] = {}
    try:
        for line in path.read_text("ascii").splitlines():
            query, _, image, _, score, _ = line.split()
            found.setdefault(query, []).append((np.float32(score), image))
    except (OSError, ValueError) as error:
        raise WorkbenchError(f"{path} is no TREC run that can be read: {error}.") from error
    return {
        unescape_id(query): [unescape_id(image) for _, image in sorted(scored, reverse=True)]
        for query, scored in found.items()
    }


def _write(path: Path, lines: Iterable[str]) -> None:
    with path.open("w", encoding="ascii", newline="\n") as file:
        file.writelines(lines)

"""Scoring judgements: precision@k and graded nDCG@k of each setting, and their differences.

Unjudged images count as not relevant; the bounds say what they could change. Queries without any
judgement are left out: queries come in a random order, so that those judged first are a sample.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from bogv.judgements import NOT, PARTLY, RELEVANT, Grade, Pair, PooledQuery, PoolFolder
from eval.data.items import LayoutError
from eval.data.judged import read_source
from eval.errors import WorkbenchError
from eval.judging.pooling import PooledSetting, read_settings_file, run_path
from eval.judging.result import Judged, ScoredSetting, SettingComparison
from eval.metrics import graded_ndcg, precision
from eval.report.machine import describe_environment
from eval.report.results import Mean, means_of
from eval.retrieval.trec import read_rankings
from eval.statistics.comparisons import holm, paired_difference

PRECISION, LENIENT, NDCG = "precision", "precision_lenient", "graded_ndcg"
METRICS = (PRECISION, LENIENT, NDCG)
WORDS: dict[Grade, str] = {RELEVANT: "relevant", PARTLY: "partly", NOT: "not"}
UNJUDGED = -1

Bounds = tuple[float, float]


@dataclass(frozen=True)
class QueryScore:
    """How one setting did for one query."""

    query: str
    scores: dict[str, float]
    """By metric: `precision@10`."""
    bounds: dict[str, Bounds]
    unjudged: dict[int, int]
    """By k: images among the first k that are not judged."""


def score_query(
    query: PooledQuery, ranked: Sequence[str], grades: Mapping[Pair, Grade], ks: Sequence[int]
) -> QueryScore:
    """Score a ranking by the grades of the pool's images.

    ranked: ids, best first. precision@k: the share of the first k that is relevant; lenient: or
    partly so. Its upper bound has all unjudged images relevant. graded_ndcg@k: see
    `eval.metrics.graded_ndcg`, the ideal being that of the pool's images; its bounds hold but
    may not be reached, since an unjudged image may change the ideal as well.
    """
    pooled = _grades(query.query, query.images, grades)
    found = _grades(query.query, ranked, grades)
    scores: dict[str, float] = {}
    bounds: dict[str, Bounds] = {}
    for k in ks:
        for name, least in ((PRECISION, RELEVANT), (LENIENT, PARTLY)):
            scores[f"{name}@{k}"] = precision(found >= least, k)
            most = precision((found >= least) | (found == UNJUDGED), k)
            bounds[f"{name}@{k}"] = scores[f"{name}@{k}"], most
        scores[f"{NDCG}@{k}"] = graded_ndcg(_filled(found, NOT), _filled(pooled, NOT), k)
        bounds[f"{NDCG}@{k}"] = _ndcg_bounds(found, pooled, k)
    unjudged = {k: int((found[:k] == UNJUDGED).sum()) for k in ks}
    return QueryScore(query.query, scores, bounds, unjudged)


def _grades(query: str, images: Sequence[str], grades: Mapping[Pair, Grade]) -> NDArray[np.int64]:
    """(n,): the grade of each image, or UNJUDGED."""
    return np.array([grades.get(Pair(query, image), UNJUDGED) for image in images], np.int64)


def _filled(found: NDArray[np.int64], grade: Grade) -> NDArray[np.int64]:
    """The same, as if the unjudged images had this grade."""
    return np.where(found == UNJUDGED, grade, found)


def _ndcg_bounds(found: NDArray[np.int64], pooled: NDArray[np.int64], k: int) -> Bounds:
    low = graded_ndcg(_filled(found, NOT), _filled(pooled, RELEVANT), k)
    if not (pooled > NOT).any():  # the ideal is 0 until something is judged relevant
        return low, float((found[:k] == UNJUDGED).any())
    return low, min(1.0, graded_ndcg(_filled(found, RELEVANT), _filled(pooled, NOT), k))


def score_pool(
    folder: Path, ks: Sequence[int] | None = None, seed: int = 0, command: str = ""
) -> tuple[Judged, pd.DataFrame]:
    """The result, and a table with a row for each setting and query.

    ks: None: 1, 5, 10 and the pool's depth, none beyond that. seed: of the intervals.
    Raises WorkbenchError, NotFound, StorageUnavailable.
    """
    pool_folder, pooled = PoolFolder(folder), read_settings_file(folder)
    pool, stored = pool_folder.read_pool(), pool_folder.read_judgements()
    ks = _checked_ks(ks, pooled.depth)
    grades = {pair: stored[pair] for pair in pool.pairs if pair in stored}
    begun = {pair.query for pair in grades}
    queries = [each for each in pool.queries if each.query in begun]
    if not queries:
        raise WorkbenchError(
            f"Nothing is judged in {folder} yet: do it in the demo, on the tab Judge"
            " (BOGV_JUDGE=1)."
        )
    scored = {
        each.label: _score_setting(each, folder, queries, grades, ks) for each in pooled.settings
    }
    counts, with_relevant = Counter(grades.values()), _queries_with_relevant(grades)
    result = Judged(
        command=command,
        n=len(queries),
        seed=seed,
        metrics=_means(scored, seed),
        seconds={},
        pool=folder.resolve().name,
        dataset=_dataset_of(folder),
        k=ks,
        depth=pooled.depth,
        queries=len(pool.queries),
        pairs=len(pool.pairs),
        grades={word: counts[grade] for grade, word in WORDS.items()},
        foreign=len(stored) - len(grades),
        without_relevant=len(queries) - len(with_relevant),
        settings=[_summarise(each, scored[each.label], ks) for each in pooled.settings],
        comparisons=compare_settings(scored, ks[-1], seed),
        **describe_environment(),
    )
    return result, _table(scored)


def _checked_ks(ks: Sequence[int] | None, depth: int) -> list[int]:
    if ks is None:
        return sorted({k for k in (1, 5, 10) if k < depth} | {depth})
    if max(ks) > depth:
        raise WorkbenchError(f"The pool is {depth} deep: each k is at most {depth}.")
    return sorted(ks)


def _dataset_of(folder: Path) -> str:
    try:
        return read_source(folder).dataset
    except LayoutError as error:
        raise WorkbenchError(str(error)) from error


def _queries_with_relevant(grades: Mapping[Pair, Grade]) -> set[str]:
    return {pair.query for pair, grade in grades.items() if grade > NOT}


def _means(scored: Mapping[str, Sequence[QueryScore]], seed: int) -> dict[str, Mean]:
    return {
        f"{name}/{label}": mean
        for label, scores in scored.items()
        for name, mean in means_of(_columns(scores), seed).items()
    }


def _score_setting(
    setting: PooledSetting,
    folder: Path,
    queries: Sequence[PooledQuery],
    grades: Mapping[Pair, Grade],
    ks: Sequence[int],
) -> list[QueryScore]:
    rankings = read_rankings(run_path(folder, setting))
    if missing := [each.query for each in queries if each.query not in rankings]:
        raise WorkbenchError(f"Setting {setting.label} has no ranking of query {missing[0]!r}.")
    return [score_query(each, rankings[each.query], grades, ks) for each in queries]


def _columns(scores: Sequence[QueryScore]) -> dict[str, list[float]]:
    return {name: [each.scores[name] for each in scores] for name in scores[0].scores}


def _summarise(
    setting: PooledSetting, scores: Sequence[QueryScore], ks: Sequence[int]
) -> ScoredSetting:
    bounds: dict[str, Bounds] = {}
    for name in scores[0].bounds:
        low, high = np.mean([each.bounds[name] for each in scores], axis=0).tolist()
        bounds[name] = low, high
    unjudged = {str(k): sum(each.unjudged[k] for each in scores) for k in ks}
    return ScoredSetting(setting=setting, bounds=bounds, unjudged=unjudged)


def compare_settings(
    scored: Mapping[str, Sequence[QueryScore]], k: int, seed: int
) -> list[SettingComparison]:
    """Each pair of settings by each metric at the largest k."""
    found, p_values = [], []
    for a, b in combinations(scored, 2):
        for name in (f"{metric}@{k}" for metric in METRICS):
            before, after = (_columns(scored[label])[name] for label in (a, b))
            difference = paired_difference(before, after, None, seed)
            better = paired_difference(after, before, None, seed).p_worse
            p_values.append(min(1.0, 2 * min(difference.p_worse, better)))
            found.append((a, b, name, difference))
    return [
        SettingComparison(
            a=a,
            b=b,
            metric=name,
            difference=difference.value,
            ci95=difference.ci95,
            p=p,
            detectable=difference.detectable,
        )
        for (a, b, name, difference), p in zip(found, holm(p_values), strict=True)
    ]


def _table(scored: Mapping[str, Sequence[QueryScore]]) -> pd.DataFrame:
    return pd.DataFrame(
        [
            {
                "setting": label,
                "query": each.query,
                **each.scores,
                **{f"unjudged@{k}": count for k, count in each.unjudged.items()},
            }
            for label, scores in scored.items()
            for each in scores
        ]
    )

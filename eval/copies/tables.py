"""The two tables that every figure comes from: a row for each pair, a row for each search."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pandas as pd

from bogv.calibration.edits import CONTROL
from bogv.records import MatchKind
from eval.copies.decision import KINDS, METHODS, kind_of, strength
from eval.copies.evidence import Pair, Search
from eval.copies.queries import CopyQueries

PAIRS = "pairs.parquet"
SEARCH = ["query", "there"]
"""What names a search."""


def tabulate(queries: CopyQueries, searches: Iterable[Search]) -> pd.DataFrame:
    """A row for each image that each search looked at.

    Of a gallery of copies of one image, a search without them has none. An original and its copies,
    which can't be told apart, are one row: the one of which the product says most.
    """
    rows = [row for search in searches for row in _rows(queries, search)]
    table = pd.DataFrame(rows)
    return table.astype({"distance": "Int64"} | dict.fromkeys(METHODS, "float64"))


def _rows(queries: CopyQueries, search: Search) -> list[dict[str, Any]]:
    originals = set(queries.originals(search.query))
    rows = [_row(queries, search, pair, right=pair.image in originals) for pair in search.pairs]
    right = sorted((row for row in rows if row["right"]), key=lambda row: -row["all"])
    return [*right[:1], *(row for row in rows if not row["right"])]


def _row(queries: CopyQueries, search: Search, pair: Pair, *, right: bool) -> dict[str, Any]:
    query, hit = queries.items[search.query], queries.items[pair.image]
    variant = queries.variant(search.query)
    same_label = query.label is not None and query.label == hit.label
    return {
        "query": query.id,
        "source": queries.source(search.query),
        "edit": variant.edit,
        "strength": variant.strength,
        "there": search.there,
        "found": hit.id,
        "right": right,
        "excused": same_label and not right,
        "kind": kind_of(pair),
        "distance": pair.distance,
        "inliers": pair.agreement.inliers,
        "overlap": min(pair.agreement.query_overlap, pair.agreement.hit_overlap),
        "residual": pair.agreement.residual,
        "cosine": pair.cosine,
        **{name: confidence(pair) for name, confidence in METHODS.items()},
    }


def summarise_searches(pairs: pd.DataFrame) -> pd.DataFrame:
    """A row for each search, from the table of pairs.

    recall_copy, recall_part: 1 if the original is found as that or better, of searches where it is
    there. candidate: whether the original was looked at. false_exact, false_copy: 1 if any other
    image is said to be that; false_part, the same, unless it has the query's label;
    false_part_any_label, of all labels.
    """
    found = pairs.assign(level=pairs["kind"].map(strength).astype(int))
    groups = found.groupby(SEARCH, sort=False)
    rows = groups[["source", "edit", "strength"]].first()
    right = found[found["right"]].set_index(SEARCH)
    wrong = found[~found["right"]]
    rows["candidate"] = rows.index.isin(right.index)
    level = right["level"].reindex(rows.index).fillna(-1)
    for kind in ("copy", "part"):
        rows[f"recall_{kind}"] = (level >= _level(kind)).astype(float)
    strict = _highest(wrong, rows.index)
    lenient = _highest(wrong[~wrong["excused"]], rows.index)
    rows["false_exact"] = (strict >= _level("exact")).astype(float)
    rows["false_copy"] = (strict >= _level("copy")).astype(float)
    rows["false_part"] = (lenient >= _level("part")).astype(float)
    rows["false_part_any_label"] = (strict >= _level("part")).astype(float)
    return rows.reset_index()


def _level(kind: MatchKind) -> int:
    return KINDS.index(kind)


def _highest(rows: pd.DataFrame, index: pd.Index[Any]) -> pd.Series[int]:
    return rows.groupby(SEARCH)["level"].max().reindex(index).fillna(0)


def of_edits(table: pd.DataFrame) -> pd.DataFrame:
    """The rows of edited queries whose original is there."""
    return table[table["there"] & (table["edit"] != CONTROL.edit)]

"""The failure gallery: missed queries beside their original, false alarms side by side."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd

from bogv.imaging.decoder import Decoder
from eval.copies.measure import CopiesOutcome
from eval.copies.tables import SEARCH, of_edits
from eval.data.items import Item
from eval.report.document import Strip, Tile
from eval.robustness.report import shrink

SHOWN = 8
"""Of each."""


def missed(outcome: CopiesOutcome, decoder: Decoder) -> list[str | Strip]:
    """Of each edit one query whose original isn't found, as it is and beside its original."""
    searches = of_edits(outcome.searches)
    failed = searches[searches["recall_part"] == 0].drop_duplicates("edit").head(SHOWN)
    if failed.empty:
        return ["None: every original was found."]
    pairs = outcome.pairs[outcome.pairs["right"]].set_index(SEARCH)
    items = _by_id(outcome)
    strips = []
    for number, row in enumerate(failed.to_dict("records"), 1):
        key = row["query"], row["there"]
        known = pairs.loc[[key]].iloc[0].to_dict() if key in pairs.index else None
        tiles = [
            _tile(items, decoder, row["query"], _name(row), "query"),
            _tile(items, decoder, row["source"], f"the original: {_words(known)}", "right"),
        ]
        strips.append(Strip(f"missed-{number}", tiles))
    words = f"One of each edit, at most {SHOWN}, of {int((1 - searches['recall_part']).sum()):,}."
    return [words, *strips]


def false_alarms(outcome: CopiesOutcome, decoder: Decoder) -> list[str | Strip]:
    """What is said to be a copy or a part and isn't: the surest first, one of each photo."""
    pairs = outcome.pairs
    wrong = pairs[~pairs["right"] & ~pairs["there"] & pairs["kind"].isin(["exact", "copy", "part"])]
    copies = wrong["kind"] != "part"
    shown = wrong[copies | ~wrong["excused"]].sort_values(
        ["all", "query", "found"], ascending=[False, True, True]
    )
    shown = shown.drop_duplicates("source").head(SHOWN)
    if shown.empty:
        return ["None."]
    items = _by_id(outcome)
    strips = [
        Strip(
            f"false-{number}",
            [
                _tile(items, decoder, row["query"], _name(row), "query"),
                _tile(items, decoder, row["found"], f"{row['kind']}: {_words(row)}", "wrong"),
            ],
        )
        for number, row in enumerate(shown.to_dict("records"), 1)
    ]
    return [f"The surest, at most {SHOWN}, one of each photo.", *strips]


def _by_id(outcome: CopiesOutcome) -> dict[str, Item]:
    return {item.id: item for item in outcome.queries.items}


def _tile(items: Mapping[str, Item], decoder: Decoder, name: str, caption: str, mark: str) -> Tile:
    return Tile(shrink(decoder, items[name].read()), caption, mark)


def _name(row: Mapping[Any, Any]) -> str:
    return f"{row['edit']} {row['strength']}".strip() + f": {row['source']}"


def _words(row: Mapping[Any, Any] | None) -> str:
    """Bits, inliers and cosine of a pair."""
    if row is None:
        return "not looked at: far by hash, and not among the network's first hits"
    bits = "far by hash" if pd.isna(row["distance"]) else f"{row['distance']} bits"
    return f"{bits}, {row['inliers']} inliers, similarity {row['cosine']:.4f}; {row['found']}"

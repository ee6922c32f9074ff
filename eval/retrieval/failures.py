"""The failure gallery: the queries that did worst, as pictures."""

from __future__ import annotations

import io
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd
from PIL import Image

from bogv.errors import BogvError
from bogv.imaging.decoder import Decoder
from eval.data.datasets import Dataset
from eval.data.items import Item
from eval.report.document import Strip, Tile

ROWS = 8
FIRST = 3
"""Hits shown per query."""
SIDE = 160
"""Pixels of a tile's long side, at most."""


def worst_queries(queries: pd.DataFrame, rows: int = ROWS) -> pd.DataFrame:
    """The worst queries: those whose first relevant image has the lowest rank, or isn't ranked.

    Ties are broken by the lowest average precision, then by id. Queries with a perfect ranking are
    excluded.
    """
    failed = queries[queries["map"] < 1]
    last = failed["first_relevant"].astype("float64").fillna(float("inf"))
    return (
        failed.assign(_last=-last)
        .sort_values(["_last", "map", "query"], kind="stable")
        .drop(columns="_last")
        .head(rows)
    )


def failure_strips(queries: pd.DataFrame, pictures: Pictures) -> list[Strip]:
    """One strip per query: the query, its top hits, and the first relevant image with its rank.

    Raises OSError and bogv's errors for an image that can no longer be read.
    """
    return [
        _strip(number, row, pictures)
        for number, row in enumerate(worst_queries(queries).to_dict("records"), 1)
    ]


@dataclass(frozen=True)
class Pictures:
    """The images of a dataset, to be shown."""

    items: dict[str, Item]
    decoder: Decoder
    optional: bool = False
    """Whether an image that can't be read is a grey tile, and no error."""

    @classmethod
    def of(cls, dataset: Dataset, decoder: Decoder, *, optional: bool = False) -> Pictures:
        """All images of a dataset, by their ids."""
        return cls({item.id: item for item in dataset.items}, decoder, optional)

    def tile(self, name: str, rank: str, mark: str) -> Tile:
        """An image as a tile. Raises OSError and bogv's errors where it can't be read."""
        item = self.items[name]
        caption = " · ".join(part for part in (item.label, rank, name) if part)
        try:
            image = make_tile_image(item.read(), self.decoder)
        except (OSError, BogvError):
            if not self.optional:
                raise
            image = _jpeg(Image.new("RGB", (SIDE, SIDE), "lightgrey"))
        return Tile(image, caption, mark)


def make_tile_image(data: bytes, decoder: Decoder) -> bytes:
    """An image's bytes as a small JPEG, upright and in RGB. Raises the errors of decoding.

    Tiny images (digits has 8 × 8 pixels) are enlarged, so that their pixels can be seen.
    """
    thumbnail = decoder.decode(data, thumbnail=True).thumbnail or b""
    with Image.open(io.BytesIO(thumbnail)) as opened:
        image = opened.convert("RGB")
    if times := SIDE // max(image.size) if max(image.size) <= SIDE // 4 else 0:
        size = image.width * times, image.height * times
        image = image.resize(size, Image.Resampling.NEAREST)
    image.thumbnail((SIDE, SIDE))
    return _jpeg(image)


def _jpeg(image: Image.Image) -> bytes:
    out = io.BytesIO()
    image.save(out, "JPEG", quality=80, optimize=True)
    return out.getvalue()


def _strip(number: int, row: Mapping[Any, Any], pictures: Pictures) -> Strip:
    first = None if pd.isna(row["first_relevant"]) else int(row["first_relevant"])
    tiles = [pictures.tile(row["query"], "", "query")]
    relevant_ranks = set(row["relevant_places"])
    top = zip(row["top_ids"][:FIRST], row["top_scores"][:FIRST], strict=True)
    for at, (name, score) in enumerate(top, 1):
        mark = "right" if at in relevant_ranks else "wrong"
        tiles.append(pictures.tile(name, f"rank {at} · cosine {score:.4f}", mark))
    if first is not None and first > FIRST:
        rank = f"rank {first:,} · cosine {row['first_relevant_score']:.4f}"
        tiles.append(pictures.tile(row["first_relevant_id"], rank, "right"))
    where = f"at rank {first:,}" if first else "not in the ranking"
    caption = (
        f"{number}. The first relevant image is {where};"
        f" average precision {row['map']:.4f}, {row['relevant']:,} relevant images."
    )
    return Strip(f"worst-{number}", tiles, caption)

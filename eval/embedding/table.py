"""The embeddings of a dataset as a Parquet file, for other programs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from bogv.records import Vectors
from eval.data.datasets import Dataset

EMBEDDINGS = "embeddings.parquet"


def write_embeddings(
    path: Path, dataset: Dataset, vectors: Vectors, metadata: dict[str, Any]
) -> None:
    """A row for each item, in their order: id, label, role, embedding.

    vectors: (n, dimension) float32; a list of that fixed size in the file. role: `query`,
    `gallery`, `both`, or `none`. metadata: what made them; kept as JSON in the file's metadata,
    under `bogv`, with the dimension. Raises OSError.
    """
    dimension = vectors.shape[1]
    flat = pa.array(vectors.ravel(), pa.float32())
    columns = {
        "id": pa.array([item.id for item in dataset.items], pa.string()),
        "label": pa.array([item.label for item in dataset.items], pa.string()),
        "role": pa.array(_roles(dataset), pa.string()),
        "embedding": pa.FixedSizeListArray.from_arrays(flat, dimension),
    }
    described = json.dumps({**metadata, "dimension": dimension}, ensure_ascii=False)
    pq.write_table(pa.table(columns).replace_schema_metadata({"bogv": described}), path)


def _roles(dataset: Dataset) -> list[str]:
    queries, gallery = set(dataset.queries), set(dataset.gallery)
    names = {(True, True): "both", (True, False): "query", (False, True): "gallery"}
    places = range(len(dataset.items))
    return [names.get((place in queries, place in gallery), "none") for place in places]

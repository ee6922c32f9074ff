from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from eval.embedding.table import write_embeddings
from eval.selftest import made_up


def test_the_vectors_come_back_bit_by_bit_with_id_label_and_role(tmp_path: Path) -> None:
    made = made_up(["a", "b", "a", "b"], queries=[0, 1], gallery=[1, 2])
    items = [replace(item, label=None) if n == 3 else item for n, item in enumerate(made.items)]
    dataset = replace(made, items=items)
    vectors = np.random.default_rng(0).normal(size=(4, 7)).astype(np.float32)
    write_embeddings(tmp_path / "e.parquet", dataset, vectors, {"fingerprint": "fa", "post": "鞋"})
    frame = pd.read_parquet(tmp_path / "e.parquet")
    assert frame["id"].tolist() == [item.id for item in items]
    assert frame["label"].fillna("-").tolist() == ["a", "b", "a", "-"]
    assert frame["role"].tolist() == ["query", "both", "gallery", "none"]
    assert np.stack(frame["embedding"].to_list()).tobytes() == vectors.tobytes()
    schema = pq.read_schema(tmp_path / "e.parquet")
    assert schema.field("embedding").type == pa.list_(pa.float32(), 7)
    assert json.loads(schema.metadata[b"bogv"]) == {
        "fingerprint": "fa",
        "post": "鞋",
        "dimension": 7,
    }

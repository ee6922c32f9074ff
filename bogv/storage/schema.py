"""The schema of a gallery's collection: its fields, its index, and conversion of its rows.

pymilvus is imported where it is used: that takes longer than all else that a start imports, and a
port in use is to be found before.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from bogv.records import Hit, Neighbour, Record, Vectors

KEY_BYTES = 512
FILEPATH_BYTES = 2048
VECTOR_FIELD = "embedding"
HASH_FIELD = "hash"
RECORD_FIELDS = ["id", "key", "filepath", "md5", "width", "height", "size", "added_at"]


@dataclass(frozen=True)
class Index:
    """A type of vector index and its parameters, as Milvus names them."""

    type: str
    build: Mapping[str, int] = field(default_factory=dict)
    search: Mapping[str, int] = field(default_factory=dict)


DEFAULT_INDEX = Index("HNSW", {"M": 16, "efConstruction": 200}, {"ef": 256})


def collection_schema(dimension: int) -> Any:
    """The collection's schema, for pymilvus. dimension: of an embedding."""
    from pymilvus import DataType, MilvusClient

    schema = MilvusClient.create_schema(auto_id=False, description="bogv images")
    schema.add_field("id", DataType.INT64, is_primary=True)
    for name, length in (("key", KEY_BYTES), ("filepath", FILEPATH_BYTES), ("md5", 32)):
        schema.add_field(name, DataType.VARCHAR, max_length=length)
    schema.add_field("width", DataType.INT32)
    schema.add_field("height", DataType.INT32)
    schema.add_field("size", DataType.INT64)
    schema.add_field("added_at", DataType.INT64)
    schema.add_field(VECTOR_FIELD, DataType.FLOAT_VECTOR, dim=dimension)
    return schema


def copies_schema(bits: int) -> Any:
    """The schema of the collection of hashes, for pymilvus. bits: of a hash."""
    from pymilvus import DataType, MilvusClient

    schema = MilvusClient.create_schema(auto_id=False, description="bogv hashes of images")
    schema.add_field("id", DataType.INT64, is_primary=True)
    schema.add_field("quality", DataType.INT32)
    schema.add_field(HASH_FIELD, DataType.FLOAT_VECTOR, dim=bits)
    return schema


def vector_field(schema: Any) -> str:
    """The name of a schema's vector field."""
    from pymilvus import DataType

    [name] = [each.name for each in schema.fields if each.dtype == DataType.FLOAT_VECTOR]
    return str(name)


def types_in_schema(schema: Any) -> dict[str, str]:
    """The type of each field of a schema, by name."""
    return {each.name: each.dtype.name for each in schema.fields}


def types_in_collection(description: Mapping[str, Any]) -> dict[str, str]:
    """The type of each field of a collection, by name. description: of `describe_collection`."""
    from pymilvus import DataType

    return {each["name"]: DataType(each["type"]).name for each in description["fields"]}


def index_params(index: Index, field: str = VECTOR_FIELD) -> Any:
    """The parameters for building the index of a vector field, for pymilvus."""
    from pymilvus import MilvusClient

    params = MilvusClient.prepare_index_params()
    params.add_index(
        field,
        index_type=index.type,
        metric_type="COSINE",
        # Nested twice: pymilvus removes one level, and Milvus Lite reads only `params` below it.
        # Otherwise it would silently build the index with its default parameters.
        params={"params": dict(index.build)},
    )
    return params


def search_params(index: Index, limit: int) -> dict[str, Any]:
    """The parameters for a search with `limit` hits, for pymilvus."""
    params = dict(index.search)
    if "ef" in params:
        params["ef"] = max(params["ef"], limit)  # Milvus rejects less than the limit
    return {"metric_type": "COSINE", "params": params}


def row_of(record: Record, vector: Vectors) -> dict[str, Any]:
    """A record and its embedding as a row. vector: (dimension,) float32."""
    return {**{name: getattr(record, name) for name in RECORD_FIELDS}, VECTOR_FIELD: vector}


def record_of(row: Mapping[str, Any]) -> Record:
    """A row as a record."""
    return Record(**{name: row[name] for name in RECORD_FIELDS})


def hits_of(found: Any) -> list[Hit]:
    """The result of a search as hits, best first, ties by id; cosines clipped to 0–1."""
    hits = [Hit(record_of(each["entity"]), _score_of(each)) for each in found]
    return sorted(hits, key=lambda hit: (-hit.score, hit.record.id))


def neighbours_of(found: Any) -> list[Neighbour]:
    """The result of a search for embeddings as neighbours, in the order of `hits_of`."""
    neighbours = [
        Neighbour(each["id"], _score_of(each), np.asarray(each["entity"][VECTOR_FIELD], np.float32))
        for each in found
    ]
    return sorted(neighbours, key=lambda each: (-each.score, each.id))


def _score_of(found: Mapping[str, Any]) -> float:
    return min(max(float(found["distance"]), 0.0), 1.0)

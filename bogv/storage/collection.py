"""One Milvus collection with the primary key `id` and one vector, for the stores of a gallery."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from bogv.errors import GalleryMismatch
from bogv.storage import schema
from bogv.storage.connection import Connection
from bogv.storage.filters import storable_ids
from bogv.storage.paging import MAX_ROWS
from bogv.storage.schema import Index

ROWS_PER_CALL = 500  # 4 MiB with vectors of 2048 floats; Milvus' limit is 64 MiB per message
OTHER_GALLERY = "start a new gallery in another BOGV_DATA_DIR (on a server: BOGV_COLLECTION)"


class Collection:
    """The rows of one collection. Thread-safe.

    Every method raises DatabaseUnavailable if Milvus doesn't answer or rejects the call.
    """

    def __init__(self, name: str, connection: Connection, index: Index) -> None:
        """name: of the collection, or an alias of it."""
        self.name = name
        self.connection = connection
        self.index = index
        self._client = connection.client
        self._call = connection.call

    def _prepare(self, wanted: Any) -> None:
        """Check, index and load the collection. wanted: its schema. Raises GalleryMismatch."""
        self._check_fields(wanted)
        self._ensure_index(wanted)
        self.connection.load(self.name)
        self.connection.flush_after_write(self.name)

    def _check_fields(self, wanted: Any) -> None:
        """Raises GalleryMismatch unless the fields are those of this version of bogv."""
        description = self._call(self._client.describe_collection, self.name)
        found, expected = schema.types_in_collection(description), schema.types_in_schema(wanted)
        if found != expected:
            raise GalleryMismatch(
                f"The gallery {self.name!r} was made by another version of bogv, perhaps a newer"
                f" one: its fields are {found}, not {expected}. Use that version of bogv, or"
                f" {OTHER_GALLERY}."
            )

    def _ensure_index(self, wanted: Any) -> None:
        """Create the index if it is missing: in a new collection, also if that was interrupted.

        There are no rows yet. With `sync`, pymilvus would sleep for 0.5 s before it asks whether
        the index is built.
        """
        if not self._call(self._client.list_indexes, self.name):
            params = schema.index_params(self.index, schema.vector_field(wanted))
            self._call(self._client.create_index, self.name, params, sync=False)

    def _upsert(self, rows: Sequence[dict[str, Any]]) -> None:
        """Write rows; existing rows with the same ids are replaced."""
        with self.connection.lock:
            for start in range(0, len(rows), ROWS_PER_CALL):
                self._call(self._client.upsert, self.name, rows[start : start + ROWS_PER_CALL])
            self.connection.flush_after_write(self.name)

    def delete(self, ids: Sequence[int]) -> None:
        """Delete rows. Milvus reports the number of ids, not of deleted rows: count them before."""
        if storable := storable_ids(ids):
            with self.connection.lock:
                self._call(self._client.delete, self.name, ids=storable)
                self.connection.flush_after_write(self.name)

    def count(self) -> int:
        """The number of rows."""
        return int(self._query_rows("", ["count(*)"], "Strong")[0]["count(*)"])

    def get_ids_between(self, start: int, end: int) -> list[int]:
        """All ids from `start` on, below `end`, in any order."""
        return [row["id"] for row in self._get_rows_between(start, end, ["id"])]

    def _get_rows_between(self, start: int, end: int, fields: list[str]) -> list[Any]:
        """All rows with ids from `start` on, below `end`, in any order."""
        where = f"id >= {start} and id < {end}"
        rows = self._query_rows(where, fields, "Strong", limit=MAX_ROWS)
        if len(rows) < MAX_ROWS:
            return list(rows)
        middle = (start + end) // 2
        return [
            *self._get_rows_between(start, middle, fields),
            *self._get_rows_between(middle, end, fields),
        ]

    def _get_rows(self, ids: list[int], fields: list[str], latest: bool) -> Any:
        """The rows with these ids, in any order. latest: see `MilvusStore.get`."""
        return self._call(
            self._client.get,
            self.name,
            ids=ids,
            output_fields=fields,
            consistency="Strong" if latest else "Session",
        )

    def _query_rows(self, where: str, fields: list[str], consistency: str, **more: Any) -> Any:
        return self._call(
            self._client.query,
            self.name,
            filter=where,
            output_fields=fields,
            consistency=consistency,
            **more,
        )

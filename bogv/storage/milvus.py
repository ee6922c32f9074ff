"""The store of a gallery: its records and embeddings in Milvus, on Milvus Lite or a server.

The collection `<name>_<fingerprint>` is accessed through the alias `<name>`. Its name records the
weights that made the gallery, which prevents a search with other weights by mistake.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from bogv.errors import GalleryMismatch, NotFound
from bogv.records import Cursor, Hit, Neighbour, Record, Vectors
from bogv.storage import schema
from bogv.storage.collection import OTHER_GALLERY, ROWS_PER_CALL, Collection
from bogv.storage.connection import Connection
from bogv.storage.copies import CopyStore
from bogv.storage.filters import key_filter, storable_ids
from bogv.storage.lite import LiteConnection
from bogv.storage.paging import MAX_ROWS, Pager
from bogv.storage.schema import (
    DEFAULT_INDEX,
    FILEPATH_BYTES,
    KEY_BYTES,
    RECORD_FIELDS,
    VECTOR_FIELD,
    Index,
)
from bogv.storage.server import ServerConnection

__all__ = ["DEFAULT_INDEX", "FILEPATH_BYTES", "KEY_BYTES", "ROWS_PER_CALL", "Index", "MilvusStore"]


class _Form(NamedTuple):
    """What searches of one call have in common."""

    limit: int
    fields: tuple[str, ...]
    """That come with each hit."""


class MilvusStore(Collection):
    """The rows of one gallery. Thread-safe. Its hashes are in `copies`, which is opened apart.

    Every method raises DatabaseUnavailable if Milvus doesn't answer or rejects the call.
    """

    def __init__(self, name: str, connection: Connection, index: Index = DEFAULT_INDEX) -> None:
        super().__init__(name, connection, index)
        self.database = connection.database
        self.copies = CopyStore(name, connection)
        self._pager = Pager(self._query)
        self._search_one = connection.batch_searches(self._search)

    @classmethod
    def lite(
        cls, folder: Path, name: str, index: Index = DEFAULT_INDEX, timeout: float | None = None
    ) -> MilvusStore:
        """A gallery on Milvus Lite in `folder`. Raises GalleryInUse if another process has it
        open."""
        folder.mkdir(parents=True, exist_ok=True)
        return cls(name, LiteConnection((folder / "milvus.db").resolve(), timeout), index)

    @classmethod
    def server(
        cls, host: str, port: int, name: str, index: Index = DEFAULT_INDEX, **login: str
    ) -> MilvusStore:
        """A gallery on a Milvus server or cluster; arguments as of `ServerConnection.at`."""
        return cls(name, ServerConnection.at(host, port, **login), index)

    # The gallery

    def existing_fingerprint(self) -> str | None:
        """The fingerprint of the gallery; None if it doesn't exist yet.

        Raises GalleryMismatch if another application's collection has the name.
        """
        collection = self.connection.find_collection(self.name)
        if collection is None:
            return None
        if not collection.startswith(f"{self.name}_"):
            raise GalleryMismatch(
                f"{self.database} has a collection {collection!r} that is not a gallery of bogv;"
                " set another BOGV_COLLECTION."
            )
        return collection.removeprefix(f"{self.name}_")

    def open(self, fingerprint: str, dimension: int) -> None:
        """Create the gallery if it doesn't exist, and load it.

        Raises GalleryMismatch if it has another fingerprint, or was made by another version of
        bogv.
        """
        wanted = schema.collection_schema(dimension)
        with self.connection.lock:
            existing = self.existing_fingerprint()
            if existing is None:
                self._create(f"{self.name}_{fingerprint}", wanted)
            elif existing != fingerprint:
                raise GalleryMismatch(
                    f"The gallery {self.name!r} was made with weights of fingerprint {existing},"
                    f" not {fingerprint}: restore BOGV_WEIGHTS and BOGV_PRECISION, or"
                    f" {OTHER_GALLERY}."
                )
            self._prepare(wanted)

    def _create(self, collection: str, wanted: Any) -> None:
        # Another server that is starting on the same empty database may have created it.
        if not self._call(self._client.has_collection, collection):
            self._call(self._client.create_collection, collection, schema=wanted)
        self._call(self._client.create_alias, collection, self.name)

    def drop(self) -> None:
        """Delete the gallery, all its rows, and their hashes."""
        with self.connection.lock:
            existing = self.existing_fingerprint()
            if existing is not None:
                self._call(self._client.drop_alias, self.name)
                self._call(self._client.drop_collection, f"{self.name}_{existing}")
                self.copies.drop()

    def close(self) -> None:
        """Close the connection."""
        self.copies.close()
        self.connection.close()

    def check_folder(self) -> None:
        """Raises StorageUnavailable if the database's folder was deleted or replaced."""
        self.connection.check_folder()

    # Writing

    def put(self, records: Sequence[Record], vectors: Vectors) -> None:
        """Write rows; existing rows with the same ids are replaced.

        vectors: (n, dimension) float32, unit length.
        """
        pairs = zip(records, vectors, strict=True)
        self._upsert([schema.row_of(record, vector) for record, vector in pairs])
        self._pager.note_added(max((record.added_at for record in records), default=0))

    # Reading

    def get(self, ids: Sequence[int], latest: bool = True) -> list[Record]:
        """The records with these ids, in their order; unknown ids are ignored.

        latest: whether to see all writes and deletes of all processes. If False, a server answers
        in a few ms instead of some hundred, perhaps without the most recent ones.
        """
        storable = storable_ids(ids)
        if not storable:
            return []
        rows = self._get_rows(storable, RECORD_FIELDS, latest)
        found = {row["id"]: schema.record_of(row) for row in rows}
        return [found[i] for i in dict.fromkeys(storable) if i in found]

    def vector(self, record_id: int) -> Vectors:
        """The embedding of a record, (dimension,) float32. Raises NotFound."""
        found = self.vectors([record_id])
        if not found:
            raise NotFound(f"There is no image with the id {record_id}.")
        return found[record_id]

    def vectors(self, ids: Sequence[int]) -> dict[int, Vectors]:
        """The embeddings of records, (dimension,) float32, by id; unknown ids are left out."""
        storable = storable_ids(ids)
        rows = self._get_rows(storable, ["id", VECTOR_FIELD], latest=False) if storable else []
        return {row["id"]: np.asarray(row[VECTOR_FIELD], np.float32) for row in rows}

    def get_by_keys(self, keys: Sequence[str]) -> list[Record]:
        """The records with one of these keys, at most MAX_ROWS."""
        return self._query(key_filter(keys), MAX_ROWS, "Strong") if keys else []

    def get_ids_from(self, start: int, size: int) -> list[int]:
        """At most `size` ids that are at least `start`; Milvus chooses which, in any order."""
        rows = self._query_rows(f"id >= {start}", ["id"], "Session", limit=size)
        return [row["id"] for row in rows]

    def newest(self, before: Cursor | None, size: int, text: str = "") -> list[Record]:
        """As `Pager.newest`."""
        return self._pager.newest(before, size, text)

    def _query(self, where: str, limit: int, consistency: str) -> list[Record]:
        rows = self._query_rows(where, RECORD_FIELDS, consistency, limit=limit)
        return list(map(schema.record_of, rows))

    # Searching

    def search(self, vector: Vectors, limit: int) -> list[Hit]:
        """The records nearest to a unit vector, (dimension,) float32; best first, ties by id."""
        return schema.hits_of(self._search_one((vector, _Form(limit, tuple(RECORD_FIELDS)))))

    def neighbours(self, vector: Vectors, limit: int) -> list[Neighbour]:
        """As `search`, with embeddings: cheaper than fetching those of the hits by their ids, and
        none of them can be deleted in between."""
        return schema.neighbours_of(self._search_one((vector, _Form(limit, (VECTOR_FIELD,)))))

    def _search(self, queries: list[tuple[Vectors, _Form]]) -> list[Any]:
        """What Milvus finds for each query, a vector with the form of its search.

        One call for each form: with a higher limit, the search may also find better hits, and a
        query's result must not depend on the other queries of its batch.
        """
        found: dict[_Form, Iterator[Any]] = {}
        for form in {form for _, form in queries}:
            vectors = [vector for vector, each in queries if each == form]
            found[form] = iter(self._search_vectors(vectors, form))
        return [next(found[form]) for _, form in queries]

    def _search_vectors(self, vectors: list[Vectors], form: _Form) -> Any:
        return self._call(
            self._client.search,
            self.name,
            data=vectors,
            limit=form.limit,
            output_fields=list(form.fields),
            search_params=schema.search_params(self.index, form.limit),
        )

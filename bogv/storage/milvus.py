"""Records and embeddings in Milvus: Milvus Lite in a folder, or a server. The only file that
imports pymilvus.

The collection `<name>_<fingerprint>` is reached through the alias `<name>`; so the alias tells
which weights made the gallery, and another set of weights can never be searched by mistake.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import grpc
import numpy as np
from pymilvus import DataType, MilvusClient, MilvusException
from pymilvus.client.types import Status

from bogv.batching import Batcher
from bogv.errors import (
    DatabaseUnavailable,
    GalleryInUse,
    GalleryMismatch,
    InvalidValue,
    NotFound,
    StorageUnavailable,
)
from bogv.records import Cursor, Hit, Record, Vectors
from bogv.redaction import split_login
from bogv.storage import milvus_lite as lite_folder
from bogv.storage.paging import MAX_ROWS, Pager

log = logging.getLogger(__name__)
# Each error is raised and told by bogv; the rest is Milvus Lite's traceback for each call that
# pymilvus makes and it doesn't know.
for _name in ("pymilvus", "grpc._server", "milvus_lite.server_manager"):
    logging.getLogger(_name).setLevel(logging.CRITICAL)

T = TypeVar("T")

KEY_BYTES = 512
FILEPATH_BYTES = 2048
ROWS = 500  # a message may have 64 MiB; 500 rows of 2048 floats have 4
SEARCHES = 16  # vectors that one call to Milvus Lite looks for
_NEVER = 2**31 - 1  # ms
_FIELDS = ["id", "key", "filepath", "md5", "width", "height", "size", "added_at"]
_BUILD_SECONDS = 3600.0  # Milvus Lite builds an index while the call waits
_ELSEWHERE = "begin a new gallery in another BOGV_DATA_DIR (on a server: BOGV_COLLECTION)"
_SWITCH_SECONDS = 10.0  # Milvus 2.3.5 took less than 3, and tells nobody when it has
_ESCAPES = str.maketrans({"\\": r"\\", '"': r"\"", "\n": r"\n", "\r": r"\r", "\t": r"\t"})


@dataclass(frozen=True)
class Index:
    """How Milvus looks for neighbours: a type of index and its parameters, as Milvus calls them."""

    type: str
    build: Mapping[str, int] = field(default_factory=dict)
    search: Mapping[str, int] = field(default_factory=dict)


OWN_INDEX = Index("HNSW", {"M": 16, "efConstruction": 200}, {"ef": 256})


class MilvusStore:
    """One gallery. Safe in threads.

    Every method raises DatabaseUnavailable when Milvus doesn't answer or refuses.
    """

    def __init__(
        self,
        name: str,
        uri: str,
        *,
        lite: bool,
        index: Index = OWN_INDEX,
        timeout: float | None = None,
        **login: str,
    ) -> None:
        self.name = name
        self._uri = uri
        self._index = index
        self.database = "Milvus Lite" if lite else f"Milvus server {uri}"
        self._lite = lite
        # Milvus Lite loses rows under concurrent writers, and threads gain nothing on it.
        self._lock: AbstractContextManager[Any] = threading.RLock() if lite else nullcontext()
        self._timeout = timeout or (30.0 if lite else 10.0)  # s
        self._searches = Batcher(self._search_together, SEARCHES)
        self._silent = 0  # calls in a row that a server has not answered
        self._asking_on = threading.Lock()
        self._pager = Pager(self._query)
        self._client = self._connect(uri, **login)
        self._opened = lite_folder.identity(Path(uri)) if lite else None

    @classmethod
    def lite(
        cls, folder: Path, name: str, index: Index = OWN_INDEX, timeout: float | None = None
    ) -> MilvusStore:
        """Milvus Lite in `folder`. Raises GalleryInUse when another process has it open."""
        folder.mkdir(parents=True, exist_ok=True)
        return cls(
            name, str((folder / "milvus.db").resolve()), lite=True, index=index, timeout=timeout
        )

    @classmethod
    def server(
        cls, host: str, port: int, name: str, index: Index = OWN_INDEX, **login: str
    ) -> MilvusStore:
        """A Milvus server or cluster; `host` may be a whole URI (`https://…`), also with a login.

        login: `user`, `password`, `token`; what is empty is not used. It goes before the URI's.
        """
        try:
            uri, *named = split_login(host if "://" in host else f"http://{host}:{port}")
        except ValueError as error:
            raise DatabaseUnavailable(
                f"MILVUS_HOST can't be read ({error}): of a login in it, write @ : / ? # % as"
                " %40 %3A %2F %3F %23 %25, or use MILVUS_USER and MILVUS_PASSWORD."
            ) from error
        if not any(login.values()):
            user, password = named
            login = {"user": user, "password": password} if password else {"token": user}
        return cls(name, uri, lite=False, index=index, timeout=None, **login)

    # Opening

    def begun_with(self) -> str | None:
        """The fingerprint of the gallery that is there; None where there is none yet.

        Raises GalleryMismatch where the name is taken by a collection that is none of bogv's.
        """
        try:
            if not self._call(self._client.has_collection, self.name):
                return None
            collection = self._call(self._client.describe_collection, self.name)["collection_name"]
        except DatabaseUnavailable as error:
            if not self._lite:
                raise
            raise DatabaseUnavailable(
                f"{error} If {self._uri} is damaged: {lite_folder.WAY_OUT}"
            ) from error
        if not collection.startswith(f"{self.name}_"):
            raise GalleryMismatch(
                f"{self.database} has a collection {collection!r} that is no gallery of bogv's;"
                " name another BOGV_COLLECTION."
            )
        return str(collection).removeprefix(f"{self.name}_")

    def open(self, fingerprint: str, dimension: int) -> None:
        """Make the gallery if there is none, and load it.

        Raises GalleryMismatch when the one that is there has another fingerprint, or is of another
        version of bogv.
        """
        with self._lock:
            begun_with = self.begun_with()
            if begun_with is None:
                self._create(f"{self.name}_{fingerprint}", self._schema(dimension))
            elif begun_with != fingerprint:
                raise GalleryMismatch(
                    f"The gallery {self.name!r} was made with weights of fingerprint {begun_with},"
                    f" not {fingerprint}: set BOGV_WEIGHTS and BOGV_PRECISION as they were, or"
                    f" {_ELSEWHERE}."
                )
            self._check(self._schema(dimension))
            self._load()
            self._flush()

    def _check(self, schema: Any) -> None:
        """Raises GalleryMismatch for fields that aren't those of this version of bogv."""
        told = self._call(self._client.describe_collection, self.name)["fields"]
        there = {each["name"]: DataType(each["type"]).name for each in told}
        wanted = {each.name: each.dtype.name for each in schema.fields}
        if there != wanted:
            raise GalleryMismatch(
                f"The gallery {self.name!r} was made by another version of bogv, perhaps a newer"
                f" one: its fields are {there}, not {wanted}. Use that version, or {_ELSEWHERE}."
            )
        # A process that was killed while it made the gallery may have left it without.
        if not self._call(self._client.list_indexes, self.name):
            self._call(self._client.create_index, self.name, self._index_params())

    def _load(self) -> None:
        try:
            self._call(self._client.load_collection, self.name, timeout=120.0)
        except DatabaseUnavailable:
            if not self._lite or not lite_folder.drop_damaged_indexes(Path(self._uri)):
                raise
            self._call(self._client.load_collection, self.name, timeout=_BUILD_SECONDS)

    def _schema(self, dimension: int) -> Any:
        schema = self._client.create_schema(auto_id=False, description="bogv images")
        schema.add_field("id", DataType.INT64, is_primary=True)
        for name, length in (("key", KEY_BYTES), ("filepath", FILEPATH_BYTES), ("md5", 32)):
            schema.add_field(name, DataType.VARCHAR, max_length=length)
        schema.add_field("width", DataType.INT32)
        schema.add_field("height", DataType.INT32)
        schema.add_field("size", DataType.INT64)
        schema.add_field("added_at", DataType.INT64)
        schema.add_field("embedding", DataType.FLOAT_VECTOR, dim=dimension)
        return schema

    def _create(self, collection: str, schema: Any) -> None:
        # Another server may be starting on the same empty database: what is there is taken.
        if not self._call(self._client.has_collection, collection):
            self._call(
                self._client.create_collection,
                collection,
                schema=schema,
                index_params=self._index_params(),
            )
        self._call(self._client.create_alias, collection, self.name)

    def _index_params(self) -> Any:
        params = self._client.prepare_index_params()
        params.add_index(
            "embedding",
            index_type=self._index.type,
            metric_type="COSINE",
            # Nested once more: pymilvus takes off one layer, and below it Milvus Lite looks for
            # `params` alone. Without, it builds with its defaults, in silence.
            params={"params": dict(self._index.build)},
        )
        return params

    def rebuild_index(self) -> None:
        """Replace the index by this store's own, over all rows; returns when it is whole.

        For measurements: until then the gallery can't be searched, and Milvus Lite does nothing
        else. Milvus builds indexes in the background, and Lite doesn't tell when it has.
        """
        with self._lock:
            # A server indexes nothing before it is flushed.
            self._call(self._client.flush, self.name, timeout=_BUILD_SECONDS)
            self._call(self._client.release_collection, self.name, timeout=_BUILD_SECONDS)
            # Lite's waits for what is under way in the background.
            self._call(self._client.drop_index, self.name, "embedding", timeout=_BUILD_SECONDS)
            params = self._index_params()
            self._call(self._client.create_index, self.name, params, timeout=_BUILD_SECONDS)
            self._call(self._client.load_collection, self.name, timeout=_BUILD_SECONDS)

    def wait_for_index(self) -> None:
        """Return when the index covers all rows; searches go on meanwhile. For measurements."""
        # A server indexes nothing before it is flushed.
        self._call(self._client.flush, self.name, timeout=_BUILD_SECONDS)
        if self._lite:
            collection = self._call(self._client.describe_collection, self.name)["collection_name"]
            _lite_collection(self._uri, collection)._wait_for_bg()
            return
        end = time.monotonic() + _BUILD_SECONDS
        while time.monotonic() < end:
            told = self._call(self._client.describe_index, self.name, "embedding")
            if told["state"] == "Finished" and not told["pending_index_rows"]:
                # Built, and not in use before it is loaded, and then seconds later.
                loaded = self._call(self._client.list_loaded_segments, self.name)
                if sum(segment.num_rows for segment in loaded) >= told["total_rows"]:
                    time.sleep(_SWITCH_SECONDS)
                    return
            time.sleep(0.1)
        raise DatabaseUnavailable(
            f"{self.database} has not indexed the gallery {self.name!r} in"
            f" {_BUILD_SECONDS / 60:.0f} minutes."
        )

    def drop(self) -> None:
        """Remove the gallery and all that is in it."""
        with self._lock:
            begun_with = self.begun_with()
            if begun_with is not None:
                self._call(self._client.drop_alias, self.name)
                self._call(self._client.drop_collection, f"{self.name}_{begun_with}")

    def close(self) -> None:
        """Let go of the connection. There is nothing to write out: each change is, at once."""
        with self._lock:
            self._client.close()

    # Writing

    def put(self, records: Sequence[Record], vectors: Vectors) -> None:
        """Write rows; a row whose id is there is replaced. (n, dimension) float32, unit length."""
        rows = [
            {**{field: getattr(record, field) for field in _FIELDS}, "embedding": vector}
            for record, vector in zip(records, vectors, strict=True)
        ]
        with self._lock:
            for start in range(0, len(rows), ROWS):
                self._call(self._client.upsert, self.name, rows[start : start + ROWS])
            self._flush()
        self._pager.added(max((record.added_at for record in records), default=0))

    def delete(self, ids: Sequence[int]) -> None:
        """Delete rows. Milvus counts the ids asked for, not those that were there: ask before."""
        if possible := _possible(ids):
            with self._lock:
                self._call(self._client.delete, self.name, ids=possible)
                self._flush()

    # Reading

    def get(self, ids: Sequence[int], latest: bool = True) -> list[Record]:
        """The records with these ids, in their order; an id that isn't there is left out.

        latest: what any process wrote or deleted up to now. Without, a server answers in a few ms
        instead of some hundred, with what it has at hand.
        """
        possible = _possible(ids)
        if not possible:
            return []
        rows = self._call(
            self._client.get,
            self.name,
            ids=possible,
            output_fields=_FIELDS,
            consistency="Strong" if latest else "Session",
        )
        found = {row["id"]: _record(row) for row in rows}
        return [found[i] for i in dict.fromkeys(possible) if i in found]

    def vector(self, record_id: int) -> Vectors:
        """The embedding of a record, (dimension,) float32. Raises NotFound."""
        ids = _possible([record_id])
        rows = self._call(self._client.get, self.name, ids=ids, output_fields=["embedding"])
        if not rows:
            raise NotFound(f"There is no image with the id {record_id}.")
        return np.asarray(rows[0]["embedding"], np.float32)

    def with_keys(self, keys: Sequence[str]) -> list[Record]:
        """Records with one of these keys, at most MAX_ROWS of them."""
        listed = ", ".join(_quoted(key) for key in keys)
        return self._query(f"key in [{listed}]", MAX_ROWS, "Strong") if keys else []

    def ids_from(self, start: int, size: int) -> list[int]:
        """At most `size` ids from `start` on, in no order: which of them is Milvus' choice."""
        rows = self._query_rows(f"id >= {start}", ["id"], "Session", limit=size)
        return [row["id"] for row in rows]

    def check_folder(self) -> None:
        """Raises StorageUnavailable where Milvus Lite's folder is no more what was opened: it goes
        on with what it has in memory, and what it writes now is lost."""
        if self._lite and lite_folder.identity(Path(self._uri)) != self._opened:
            raise StorageUnavailable(
                "The data folder was deleted or replaced while bogv runs: put it back as it was,"
                " or start bogv anew; what is added until then is lost."
            )

    def count(self) -> int:
        """Rows in the gallery."""
        return int(self._query_rows("", ["count(*)"], "Strong")[0]["count(*)"])

    def search(self, vector: Vectors, limit: int) -> list[Hit]:
        """The nearest records to a unit vector, (dimension,) float32; best first, ties by id.

        Milvus Lite looks at every row's id before it searches, whether for one vector or for
        several, and searches one at a time: there, searches that meet are one.
        """
        if self._lite:
            return self._searches((vector, limit))
        return self._search([vector], limit)[0]

    def _search_together(self, asked: list[tuple[Vectors, int]]) -> list[list[Hit]]:
        # By limit: among more candidates a search may find better ones, by somebody else's leave.
        found: dict[int, Iterator[list[Hit]]] = {}
        for limit in {limit for _, limit in asked}:
            vectors = [vector for vector, asked_limit in asked if asked_limit == limit]
            found[limit] = iter(self._search(vectors, limit))
        return [next(found[limit]) for _, limit in asked]

    def _search(self, vectors: list[Vectors], limit: int) -> list[list[Hit]]:
        params = dict(self._index.search)
        if "ef" in params:
            params["ef"] = max(params["ef"], limit)  # Milvus refuses less
        found = self._call(
            self._client.search,
            self.name,
            data=vectors,
            limit=limit,
            output_fields=_FIELDS,
            search_params={"metric_type": "COSINE", "params": params},
        )
        return [_hits(rows) for rows in found]

    def newest(self, before: Cursor | None, size: int, text: str = "") -> list[Record]:
        """As `Pager.newest`."""
        return self._pager.newest(before, size, text)

    def _query(self, where: str, limit: int, consistency: str) -> list[Record]:
        return [_record(row) for row in self._query_rows(where, _FIELDS, consistency, limit=limit)]

    def _query_rows(self, where: str, fields: list[str], consistency: str, **more: Any) -> Any:
        return self._call(
            self._client.query,
            self.name,
            filter=where,
            output_fields=fields,
            consistency=consistency,
            **more,
        )

    # Calling Milvus

    def _connect(self, uri: str, **login: str) -> Any:
        # Milvus Lite takes pymilvus' pings, one every ten seconds while it is idle or busy with a
        # long call, for an attack, and hangs up. It lives in this process: there is no one to ping.
        # A server that is back after an hour is not left alone for gRPC's two minutes more.
        options = {"grpc.max_reconnect_backoff_ms": 2_000}
        if self._lite:
            options = {"grpc.keepalive_time_ms": _NEVER}
        if self._lite and not lite_folder.is_locked(Path(uri)):
            lite_folder.check(Path(uri))
        try:
            return MilvusClient(uri, timeout=self._timeout, grpc_options=options, **login)
        except (MilvusException, grpc.RpcError, OSError) as error:
            if self._lite and lite_folder.is_locked(Path(uri)):
                raise GalleryInUse(
                    f"Another process has the gallery in {uri} open; Milvus Lite serves one."
                    " Stop it, use another BOGV_DATA_DIR, or run a Milvus server (MILVUS_HOST)."
                ) from error
            raise DatabaseUnavailable(
                f"{self.database} can't be opened (is the address right, and the login?): {error}."
            ) from error

    def _call(
        self,
        method: Callable[..., T],
        *args: Any,
        consistency: str = "Session",
        timeout: float | None = None,
        **kwargs: Any,
    ) -> T:
        """Session consistency: this process reads what it wrote; Strong: what anyone wrote."""
        for wait in (0.2, 0.5, 1.0, 2.0, None):
            try:
                with self._lock, self._asked():
                    return method(
                        *args,
                        timeout=timeout or self._timeout,
                        consistency_level=consistency,
                        **kwargs,
                    )
            except (MilvusException, grpc.RpcError) as error:
                # After a restart the server needs some seconds to load what it has.
                if self._lite or wait is None or "not loaded" not in str(error):
                    raise DatabaseUnavailable(f"{self.database} failed: {error}.") from error
            log.info("%s is loading the gallery; asking again in %.1f s", self.database, wait)
            time.sleep(wait)
        raise AssertionError("the last turn returns or raises")

    @contextmanager
    def _asked(self) -> Iterator[None]:
        """Once a server has been silent three times, one call at a time asks on.

        The rest are refused at once. pymilvus would have them all wait for its one attempt to
        connect again, and then each make another: forty threads, forty time-outs.
        """
        alone = not self._lite and self._silent >= 3
        if alone and not self._asking_on.acquire(blocking=False):
            raise DatabaseUnavailable(f"{self.database} doesn't answer.")
        try:
            yield
            self._silent = 0
        except (MilvusException, grpc.RpcError) as error:
            self._silent = self._silent + 1 if _is_silence(error) else 0
            raise
        finally:
            if alone:
                self._asking_on.release()

    def _flush(self) -> None:
        """Milvus Lite searches unflushed rows one by one; a server flushes by itself."""
        if self._lite:
            self._call(self._client.flush, self.name)


def _lite_collection(uri: str, name: str) -> Any:
    """Milvus Lite's own object, in this process: of its index, Lite says that it is finished."""
    from milvus_lite.server_manager import server_manager_instance

    _, database, _ = server_manager_instance._servers[uri]
    return database.get_collection(name)


def _is_silence(error: Exception) -> bool:
    """Whether a call has brought no answer, rather than a refusal."""
    if not isinstance(error, MilvusException):
        return True
    return error.code == Status.CONNECT_FAILED or isinstance(error.code, grpc.StatusCode)


def _possible(ids: Iterable[int]) -> list[int]:
    """Those that Milvus can have. Raises InvalidValue for what is no integer: pymilvus would write
    it into a filter as it is."""
    listed = list(ids)
    for each in listed:
        if type(each) is not int:
            raise InvalidValue(f"{str(each)[:40]!r} is no id: ids are integers.")
    return [each for each in listed if 0 < each < 2**63]


def _quoted(text: str) -> str:
    """A string literal of Milvus' filter language, with the escapes that Lite and server share.

    Not JSON's: Milvus Lite knows no `\\u001f`. All other characters stand for themselves.
    """
    return f'"{text.translate(_ESCAPES)}"'


def _record(row: dict[str, Any]) -> Record:
    return Record(**{field: row[field] for field in _FIELDS})


def _hits(rows: Any) -> list[Hit]:
    hits = [Hit(_record(row["entity"]), _score(row["distance"])) for row in rows]
    return sorted(hits, key=lambda hit: (-hit.score, hit.record.id))


def _score(cosine: float) -> float:
    return min(max(float(cosine), 0.0), 1.0)

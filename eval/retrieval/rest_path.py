"""Rankings through bogv's REST API: images added through the service, queries sent as files.

In this process, without a network connection; the responses are the same as a server's.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import numpy as np
from fastapi import FastAPI
from fastapi.testclient import TestClient
from tqdm import tqdm

from bogv.bootstrap import make_search
from bogv.config import Settings
from bogv.embedding.embedder import Embedder
from bogv.imaging.decoder import Decoder
from bogv.records import NewImage
from bogv.service import MAX_LIMIT
from bogv.sources.sources import Sources
from bogv.storage.maintenance import rebuild_index
from bogv.storage.milvus import MilvusStore
from bogv.web.api import create_api
from eval.data.datasets import Dataset
from eval.errors import WorkbenchError
from eval.retrieval.search import Ranking, id_ranks, sort_by_id

ROUTE = "/api/image/sim/search/file"


def rank_over_rest(
    dataset: Dataset, embedder: Embedder, decoder: Decoder, *, progress: bool = True
) -> Iterator[Ranking]:
    """A ranking for each query, ordered by the queries' ids; the nearest 1000 at most.

    In the service's own order, whose ties go by its own ids. The gallery lies in a temporary folder
    of its own. Raises WorkbenchError, which names the image, where the service refuses one;
    DatabaseUnavailable.
    """
    with (
        tempfile.TemporaryDirectory(prefix="bogv-eval-") as name,
        closing(_Service(Path(name), embedder, decoder)) as service,
    ):
        service.add(dataset, progress)
        with TestClient(service.app, raise_server_exceptions=False) as client:
            ranks = id_ranks(dataset)
            at = np.argsort(ranks)  # rank -> index
            queries = sort_by_id(dataset.queries, ranks)
            bar = tqdm(queries.tolist(), "Asking over REST", unit="query", disable=not progress)
            for query in bar:
                hits = _ask(client, dataset, query)
                found = at[[int(hit["key"]) for hit in hits]]
                yield Ranking(query, found, np.array([hit["score"] for hit in hits]))


class _Service:
    """bogv's service in a folder of its own, and its REST API at /api, as bogv's app has it."""

    def __init__(self, folder: Path, embedder: Embedder, decoder: Decoder) -> None:
        self._store = MilvusStore.lite(folder, "eval")
        self._search = make_search(decoder, embedder, self._store, folder / "thumbnails")
        # What is set on this machine doesn't count.
        settings = Settings(
            data_dir=folder,
            token=None,
            http_status=None,
            max_upload_mb=decoder.max_bytes / 1024 / 1024,
        )
        sources = Sources([], settings.max_upload, allow_private_urls=False)
        self.app = FastAPI()
        self.app.mount("/api", create_api(settings, self._search, sources))

    def close(self) -> None:
        """Wait for running requests."""
        self._search.close()

    def add(self, dataset: Dataset, progress: bool) -> None:
        """Add the gallery, in the order of its ids, and wait for the index.

        The key is the id's rank among all ids: images of the same bytes stay as many as they are,
        and an id may be longer than a key.
        """
        ranks = id_ranks(dataset)
        gallery = sort_by_id(dataset.gallery, ranks).tolist()
        images = (
            NewImage(dataset.items[index].read, key=str(ranks[index]), origin="eval")
            for index in gallery
        )
        added = self._search.add_many(images)
        bar = tqdm(added, "Adding to the service", len(gallery), unit="image", disable=not progress)
        for index, verdict in zip(gallery, bar, strict=True):
            if verdict.error is not None:
                item = dataset.items[index].id
                raise WorkbenchError(f"The service refuses the image {item!r}: {verdict.error}")
        rebuild_index(self._store)


def _ask(client: TestClient, dataset: Dataset, query: int) -> list[dict[str, float | str]]:
    item = dataset.items[query]
    response = client.post(ROUTE, files={"file": ("query", item.read())}, data={"limit": MAX_LIMIT})
    body = response.json()
    if body["code"] != 200:
        reason = body["error"]["detail"]
        raise WorkbenchError(f"The service refuses the query {item.id!r}: {reason}")
    hits: list[dict[str, float | str]] = body["data"]
    return hits

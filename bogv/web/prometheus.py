"""Metrics for Prometheus, and the route that exposes them.

Format: https://prometheus.io/docs/instrumenting/exposition_formats/.
"""

from __future__ import annotations

import math
from functools import partial

from fastapi import FastAPI, Response
from prometheus_client import (
    CONTENT_TYPE_PLAIN_0_0_4,
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
    generate_latest,
)

from bogv.canary import Canary, CanaryResult
from bogv.errors import Unavailable
from bogv.logs import RequestInfo
from bogv.records import Stats
from bogv.service import ImageSearch
from bogv.sources.sources import Sources
from bogv.web.capacity import Capacity
from bogv.web.health import Health

CONTENT_TYPE = CONTENT_TYPE_PLAIN_0_0_4
SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
BATCHES = (1, 2, 4, 8, 16, 32, 64)


class Metrics:
    """The metrics of one app, in a registry of their own. Thread-safe; recording takes
    microseconds."""

    def __init__(self, capacity: Capacity) -> None:
        self.registry = CollectorRegistry()
        counter = partial(Counter, registry=self.registry)
        gauge = partial(Gauge, registry=self.registry)
        histogram = partial(Histogram, registry=self.registry)
        ProcessCollector(registry=self.registry)
        self._requests = counter(
            "bogv_requests_total",
            "Requests to the API, by route; outcome: ok, or the type of the error.",
            ["route", "outcome"],
        )
        self._request_seconds = histogram(
            "bogv_request_seconds",
            "From a request's headers to the end of its response, without shed requests.",
            ["route"],
            buckets=SECONDS,
        )
        self._stages = histogram(
            "bogv_stage_seconds",
            "Duration of the stages of a search, an add, or a batch of an import.",
            ["operation", "stage"],
            buckets=SECONDS,
        )
        self._batches = histogram(
            "bogv_embedder_batch_images",
            "Images in a batch of the network.",
            buckets=BATCHES,
        )
        self._refusals = counter(
            "bogv_fetch_refusals_total",
            "URLs and server paths that could not be read, by the type of the error.",
            ["type"],
        )
        self._images = gauge("bogv_gallery_images", "Images in the gallery, as of the last query.")
        self._images.set(math.nan)
        self._unhashed = gauge(
            "bogv_gallery_unhashed_images",
            "Images without a hash, whose copies searches don't find, as of the last query.",
        )
        self._unhashed.set(math.nan)
        self._database = gauge("bogv_database_up", "1 if the database answers.")
        depth = gauge("bogv_queue_depth", "Requests that are running or waiting.")
        depth.set_function(lambda: capacity.in_flight)
        at_work = gauge("bogv_requests_at_work", "Requests that have a thread.")
        at_work.set_function(lambda: capacity.running)
        gauge("bogv_queue_limit", "Requests above this number are shed.").set(capacity.limit)
        self._add_canary()

    def _add_canary(self) -> None:
        counter = partial(Counter, registry=self.registry)
        gauge = partial(Gauge, registry=self.registry)
        self._recall = gauge(
            "bogv_canary_recall",
            "Share of the sampled images that found themselves first, in the last check.",
        )
        self._recall.set(math.nan)
        self._checked_at = gauge(
            "bogv_canary_last_look_timestamp_seconds", "Time of the last check; 0: never."
        )
        self._searched = counter("bogv_canary_searches_total", "Images searched for.")
        self._missed = counter(
            "bogv_canary_misses_total", "Images that did not find themselves first."
        )
        self._failed = counter(
            "bogv_canary_failures_total", "Checks that the database did not answer."
        )

    def observe(self, search: ImageSearch, sources: Sources, canary: Canary | None) -> None:
        """Register as the observer of these."""
        search.observe = self.record_stage
        search.embedder.observe = self._batches.observe
        sources.observe = lambda error_type: self._refusals.labels(error_type).inc()
        if canary is not None:
            canary.observe = self._record_canary

    def record_request(self, info: RequestInfo) -> None:
        """Record a request that has ended."""
        self._requests.labels(info.route, info.outcome).inc()
        if info.outcome != "overloaded":
            self._request_seconds.labels(info.route).observe(info.seconds)

    def record_stage(self, operation: str, stage: str, seconds: float) -> None:
        """operation: search, add or add_batch."""
        self._stages.labels(operation, stage).observe(seconds)

    def render(self, stats: Stats | None) -> bytes:
        """All metrics in text format 0.0.4. stats: None if the database does not answer."""
        self._database.set(stats is not None)
        if stats is not None:
            self._images.set(stats.count)
            self._unhashed.set(stats.copies.missing)
        return generate_latest(self.registry)

    def _record_canary(self, result: CanaryResult | None) -> None:
        if result is None:
            self._failed.inc()
            return
        self._searched.inc(result.searched)
        self._missed.inc(len(result.missed))
        self._recall.set(result.recall)
        self._checked_at.set(result.checked_at)


def add_metrics_route(api: FastAPI, health: Health, metrics: Metrics) -> None:
    """`GET /metrics`, without an envelope. That the database does not answer is a metric, not a
    failure."""

    @api.get("/metrics", include_in_schema=False)
    async def get_metrics() -> Response:
        try:
            stats = await health.stats()
        except Unavailable:
            return Response(metrics.render(None), media_type=CONTENT_TYPE)
        return Response(metrics.render(stats), media_type=CONTENT_TYPE)

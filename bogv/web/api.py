"""The REST API: nine routes to add, search and delete images, health, and metrics.

A FastAPI app of its own, so that everything below its mount is answered with the envelope, unknown
paths and wrong methods too.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from typing import Annotated

from fastapi import Depends, FastAPI, File, Form, Request, UploadFile
from fastapi.responses import JSONResponse
from fastapi.security import APIKeyHeader
from fastapi_offline import FastAPIOffline

from bogv import __version__
from bogv.canary import Canary
from bogv.config import Settings
from bogv.errors import InvalidValue, NotFound
from bogv.records import Hit
from bogv.service import ImageSearch
from bogv.sources.sources import Sources
from bogv.web.access import AccessControl, AccessMiddleware
from bogv.web.access_log import AccessLog
from bogv.web.bodies import max_api_body
from bogv.web.capacity import Capacity, LoadShedding
from bogv.web.envelope import Envelopes, InternalErrors, handle_errors, route_finder, success
from bogv.web.headers import ContentSecurityPolicy
from bogv.web.health import Health, add_health_route
from bogv.web.prometheus import Metrics, add_metrics_route
from bogv.web.schemas import (
    ADD_RESPONSES,
    DELETE_RESPONSES,
    IMG_PATH,
    KEY,
    MAX_ITEMS,
    SEARCH_RESPONSES,
    AddPath,
    AddUrl,
    DeleteIds,
    DeleteKeys,
    Limit,
    MaxRarity,
    SearchBase64,
    SearchOptions,
    SearchPath,
    SearchUrl,
    Verify,
    parse_integer,
)


def create_api(
    settings: Settings,
    search: ImageSearch,
    sources: Sources,
    access: AccessControl | None = None,
    canary: Canary | None = None,
) -> FastAPI:
    """The API, to be mounted at `/api`.

    access: shared with the demo; by default one of its own. canary: the caller starts and stops it.
    """
    access = access or AccessControl.from_settings(settings)
    api = FastAPIOffline(
        title="bogv",
        version=__version__,
        description="Search images by image: add, search, delete.",
        redoc_url=None,
        redirect_slashes=False,  # a redirect has no envelope
        # For OpenAPI alone: AccessMiddleware checks the token, before any body is read.
        dependencies=[Depends(APIKeyHeader(name="token", auto_error=False))],
    )
    envelopes = Envelopes(always_200=settings.http_status == "200")
    handle_errors(api, envelopes)
    capacity = Capacity(settings.max_queue)
    metrics = Metrics(capacity)
    metrics.observe(search, sources, canary)
    health = Health(search, canary)
    _register_add(api, search, sources, capacity)
    _register_search(api, search, sources, capacity, metrics)
    _register_delete(api, search, capacity)
    add_health_route(api, health, access)
    add_metrics_route(api, health, metrics)
    # From the innermost to the outermost.
    api.add_middleware(LoadShedding, capacity=capacity, envelopes=envelopes)
    api.add_middleware(
        AccessMiddleware,
        access=access,
        max_body=max_api_body(settings.max_upload),
        envelopes=envelopes,
    )
    api.add_middleware(InternalErrors, envelopes=envelopes)
    api.add_middleware(AccessLog, find_route=route_finder(api), on_end=metrics.record_request)
    api.add_middleware(ContentSecurityPolicy)
    return api


# Routes


async def _check_form(request: Request) -> None:
    """Raises InvalidValue for a form field that the route doesn't have."""
    known = {each.alias for each in request.scope["route"].dependant.body_params}
    unknown = [name for name in await request.form() if name not in known]
    if unknown:
        raise InvalidValue(f"{unknown[0][:40]}: There is no such field.")


async def _check_search_form(request: Request) -> None:
    """Raises InvalidValue for an empty form field, which FastAPI treats as missing."""
    form = await request.form()  # already read, and cached by the request
    kinds = {"limit": "an integer", "verify": "true or false", "max_rarity": "a number"}
    for name, kind in kinds.items():
        if form.get(name) == "":
            raise InvalidValue(f"{name}: Input should be {kind}.")


def _register_add(api: FastAPI, search: ImageSearch, sources: Sources, capacity: Capacity) -> None:
    def add(image: bytes, key: str | None, path: str | None, origin: str) -> JSONResponse:
        added = search.add(image, key or None, path or "", origin)
        duplicate = added.near_duplicate_of
        data = None if duplicate is None else duplicate.as_dict()
        return success("add", True, id=added.id, near_duplicate_of=data)

    @api.post("/image/sim/add/file", responses=ADD_RESPONSES, tags=["add"])
    @capacity.threaded
    def add_file(
        file: Annotated[UploadFile, File(description="The image.")],
        key: Annotated[str | None, Form(description=KEY.description)] = None,
        imgPath: Annotated[str | None, Form(description=IMG_PATH.description)] = None,  # noqa: N803
        _: None = Depends(_check_form),
    ) -> JSONResponse:
        """Add an uploaded image."""
        return add(file.file.read(), key, imgPath, file.filename or "")

    # A coroutine, so that no thread is blocked while another server answers.
    @api.post("/image/sim/add/url", responses=ADD_RESPONSES, tags=["add"])
    async def add_url(body: AddUrl) -> JSONResponse:
        """Add the image at a URL."""
        image = await sources.fetch(body.url)
        return await capacity.run(add, image, body.key, body.imgPath, body.url)

    @api.post("/image/sim/add/path", responses=ADD_RESPONSES, tags=["add"])
    @capacity.threaded
    def add_path(body: AddPath) -> JSONResponse:
        """Add an image file on the server."""
        return add(sources.from_path(body.path), body.key, body.imgPath, body.path)


def _register_search(
    api: FastAPI, search: ImageSearch, sources: Sources, capacity: Capacity, metrics: Metrics
) -> None:
    def find(image: bytes, options: SearchOptions) -> JSONResponse:
        result = search.search(
            image, options.limit, verify=options.verify, max_rarity=options.max_rarity
        )
        start = time.perf_counter()
        verdict = result.verdict_dict()
        response = success("search", [_hit_data(hit) for hit in result.hits], verdict=verdict)
        seconds = {**result.seconds, "serialise": time.perf_counter() - start}
        metrics.record_stage("search", "serialise", seconds["serialise"])
        response.headers["Server-Timing"] = _server_timing(seconds)
        return response

    @api.post("/image/sim/search/file", responses=SEARCH_RESPONSES, tags=["search"])
    @capacity.threaded
    def search_file(
        file: Annotated[UploadFile, File(description="The query image.")],
        limit: Annotated[Limit, Form()] = 10,
        verify: Annotated[Verify, Form()] = False,
        max_rarity: Annotated[MaxRarity, Form()] = None,
        _: None = Depends(_check_form),
        __: None = Depends(_check_search_form),
    ) -> JSONResponse:
        """Search with an uploaded image."""
        options = SearchOptions(limit=limit, verify=verify, max_rarity=max_rarity)
        return find(file.file.read(), options)

    @api.post("/image/sim/search/url", responses=SEARCH_RESPONSES, tags=["search"])
    async def search_url(body: SearchUrl) -> JSONResponse:
        """Search with the image at a URL."""
        return await capacity.run(find, await sources.fetch(body.url), body)

    @api.post("/image/sim/search/path", responses=SEARCH_RESPONSES, tags=["search"])
    @capacity.threaded
    def search_path(body: SearchPath) -> JSONResponse:
        """Search with an image file on the server."""
        return find(sources.from_path(body.path), body)

    @api.post("/image/sim/search/base64", responses=SEARCH_RESPONSES, tags=["search"])
    @capacity.threaded
    def search_base64(body: SearchBase64) -> JSONResponse:
        """Search with an image in Base64."""
        return find(sources.from_base64(body.base64), body)


def _register_delete(api: FastAPI, search: ImageSearch, capacity: Capacity) -> None:
    @api.post("/image/sim/del/id", responses=DELETE_RESPONSES, tags=["delete"])
    @capacity.threaded
    def delete_id(body: DeleteIds) -> JSONResponse:
        """Delete images by the `id` of their hits."""
        return _delete_response(
            search.delete_ids([_parse_id(item) for item in _parse_items(body.id)])
        )

    @api.post("/image/sim/del/key", responses=DELETE_RESPONSES, tags=["delete"])
    @capacity.threaded
    def delete_key(body: DeleteKeys) -> JSONResponse:
        """Delete all images with these keys."""
        return _delete_response(search.delete_keys(_parse_items(body.key)))


def _server_timing(seconds: Mapping[str, float]) -> str:
    """`decode;dur=4.1, embed;dur=7.4`: milliseconds, as browsers and `eval latency` read them.

    Source: W3C, Server Timing, https://www.w3.org/TR/server-timing/.
    """
    return ", ".join(f"{stage};dur={1000 * value:.3f}" for stage, value in seconds.items())


def _hit_data(hit: Hit) -> dict[str, str | int | float | None]:
    record = hit.record
    return {
        "key": record.key,
        "filepath": record.filepath,
        "id": record.id,
        "score": round(hit.score, 6),
        "rarity": hit.rarity,
        "width": record.width,
        "height": record.height,
        "size": record.size,
        "added_at": record.added_at,
        **hit.match.as_dict(),
    }


def _parse_items(joined: str | Iterable[str | int]) -> list[str]:
    """The items of `a,b,c` or of a list. Raises InvalidValue for none, and for too many."""
    items = joined.split(",") if isinstance(joined, str) else [str(item) for item in joined]
    items = [item for item in items if item]
    if not 1 <= len(items) <= MAX_ITEMS:
        raise InvalidValue(f"{len(items)} items were given; from 1 to {MAX_ITEMS} are allowed.")
    return items


def _parse_id(text: str) -> int:
    try:
        return parse_integer(text)
    except ValueError as error:
        raise InvalidValue(f"{text[:40]!r} is not an id: ids are integers.") from error


def _delete_response(count: int) -> JSONResponse:
    if not count:
        raise NotFound("No image in the gallery matches.")
    return success("del", count)

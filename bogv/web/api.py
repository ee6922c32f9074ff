"""The documented REST API: nine routes, their envelope, and health.

A FastAPI of its own, so that everything below its mount, an unknown path or a wrong method too,
is answered with the envelope.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from typing import Annotated, Any

from fastapi import Depends, FastAPI, File, Form, Request, UploadFile
from fastapi.responses import JSONResponse
from fastapi.security import APIKeyHeader
from fastapi_offline import FastAPIOffline
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from bogv import __version__
from bogv.canary import Canary
from bogv.config import Settings
from bogv.errors import InvalidValue, NotFound
from bogv.logs import RequestLog
from bogv.records import Hit
from bogv.service import MAX_LIMIT, ImageSearch
from bogv.sources.sources import Sources
from bogv.web.access import Door
from bogv.web.capacity import Load, Shedding
from bogv.web.envelope import MESSAGES, Answers, Unexpected, handle_errors, route_of, success
from bogv.web.guard import Guard
from bogv.web.headers import PagePolicy
from bogv.web.health import Health
from bogv.web.integers import Integer, integer
from bogv.web.prometheus import Metrics, metrics_route

MAX_ITEMS = 10_000  # ids or keys in one delete

Limit = Annotated[
    int,
    Field(ge=1, le=MAX_LIMIT, description="How many hits at most."),
    BeforeValidator(integer),
]


class _Model(BaseModel):
    # An id that a client took from a hit is a number; it may send it as one.
    model_config = ConfigDict(coerce_numbers_to_str=True)


_KEY = Field(None, description="Your own primary key; left out: the MD5 of the image's bytes.")
_IMG_PATH = Field(None, description="A path that you want back; it is stored, never opened.")
_URL = Field(description="An http or https URL.", examples=["https://example.com/cat.jpg"])
_PATH = Field(
    description="An absolute path on the server, below BOGV_IMAGE_ROOTS.",
    examples=["/images/cat.jpg"],
)


class AddUrl(_Model):
    url: str = _URL
    key: str | None = _KEY
    imgPath: str | None = _IMG_PATH  # noqa: N815 - the documented name


class AddPath(_Model):
    path: str = _PATH
    key: str | None = _KEY
    imgPath: str | None = _IMG_PATH  # noqa: N815


class SearchUrl(_Model):
    url: str = _URL
    limit: Limit = 10


class SearchPath(_Model):
    path: str = _PATH
    limit: Limit = 10


class SearchBase64(_Model):
    base64: str = Field(
        description="The image in Base64, with or without `data:image/png;base64,` before it.",
        examples=["data:image/png;base64,iVBORw0KGgo…"],
    )
    limit: Limit = 10


class DeleteIds(_Model):
    id: str | Annotated[list[Integer], Field(max_length=MAX_ITEMS)] = Field(
        description="Ids joined by commas; or, beyond the document, a list.",
        examples=["445085583623111,445085583623112"],
    )


class DeleteKeys(_Model):
    key: str | Annotated[list[str], Field(max_length=MAX_ITEMS)] = Field(
        description="Keys joined by commas; or, for keys that hold a comma, a list.",
        examples=["f7342ace9ab836f65248ff7e47cb83ea"],
    )


class HitOut(BaseModel):
    key: str
    filepath: str
    id: int = Field(description="Below 2^53.")
    score: float = Field(description="Cosine similarity, 0 to 1.")
    width: int
    height: int
    size: int = Field(description="Bytes.")
    added_at: int = Field(description="Milliseconds since 1970.")


class ErrorOut(BaseModel):
    type: str
    detail: str
    request_id: str = Field(description="Also in the header X-Request-ID and in the server's log.")


class Failure(BaseModel):
    msg: str
    code: int = 500
    data: None = None
    error: ErrorOut


def _responses(kind: str, model: type[BaseModel], example: Any) -> dict[int | str, dict[str, Any]]:
    """The answers of a route for the OpenAPI file: the success, and a failure of each class."""
    done, failed = MESSAGES[kind]
    ok = {"msg": done, "code": 200, "data": example}
    responses: dict[int | str, dict[str, Any]] = {
        200: {"model": model, "content": {"application/json": {"example": ok}}}
    }
    for status, (name, detail) in _FAILURES.items():
        failure = {"msg": failed, "code": 500, "data": None}
        failure["error"] = {"type": name, "detail": detail, "request_id": "9f2c4e1b7a60d358"}
        responses[status] = {
            "model": Failure,
            "content": {"application/json": {"example": failure}},
        }
    return responses


_FAILURES = {
    400: ("invalid-base64", "The text is not Base64: Incorrect padding."),
    401: ("unauthorized", "The token is missing or wrong."),
    403: ("path-not-allowed", "The path lies outside the folders that may be read."),
    404: ("not-found", "No image in the gallery matches."),
    405: ("method-not-allowed", "Method Not Allowed."),
    413: ("too-large", "The image has 30,000,000 bytes; the limit is 20,971,520 bytes."),
    415: ("not-an-image", "The bytes are no image of a known format."),
    422: ("invalid-value", "limit: Input should be less than or equal to 1000."),
    429: ("too-many-requests", "There were too many requests from this address."),
    502: ("fetch-failed", "The URL answered with status 404."),
    503: ("database-unavailable", "Milvus doesn't answer."),
}


class AddedOut(BaseModel):
    msg: str
    code: int
    data: bool


class HitsOut(BaseModel):
    msg: str
    code: int
    data: list[HitOut]


class DeletedOut(BaseModel):
    msg: str
    code: int
    data: int = Field(description="Images that were there and are gone.")


class HealthOut(BaseModel):
    msg: str
    code: int
    data: dict[str, str | int]


_HIT = {
    "key": "f7342ace9ab836f65248ff7e47cb83ea",
    "filepath": "/usr/data/app/file/xxx.jpg",
    "id": 445085583623111,
    "score": 0.9731,
    "width": 640,
    "height": 480,
    "size": 48213,
    "added_at": 1767225600000,
}
_ADD = _responses("add", AddedOut, True)
_SEARCH = _responses("search", HitsOut, [_HIT])
_DEL = _responses("del", DeletedOut, 3)


def create_api(
    settings: Settings,
    search: ImageSearch,
    sources: Sources,
    door: Door | None = None,
    canary: Canary | None = None,
) -> FastAPI:
    """The API, to be mounted at `/api`.

    door: the demo's as well; by default one of its own. canary: started and stopped by the caller.
    """
    door = door or Door.of(settings)
    api = FastAPIOffline(
        title="bogv",
        version=__version__,
        description="Search images by image: add, search, delete.",
        redoc_url=None,
        redirect_slashes=False,  # a redirect is no envelope
        # For the OpenAPI file alone: Guard asks for the token, before any body is read.
        dependencies=[Depends(APIKeyHeader(name="token", auto_error=False))],
    )
    answer = Answers(always_200=settings.http_status == "200")
    handle_errors(api, answer)
    load = Load(settings.max_queue)
    metrics = Metrics(load)
    metrics.watch(search, sources, canary)
    health = Health(search, canary)
    _add_routes(api, search, sources, load)
    _search_routes(api, search, sources, load, metrics)
    _delete_routes(api, search, load)
    _health_route(api, health, door)
    metrics_route(api, health, metrics)
    # From the inside out: what is added last is asked first.
    api.add_middleware(Shedding, load=load, answer=answer)
    # Base64 takes 4 bytes for 3; the rest is for the other fields and the multipart frame.
    api.add_middleware(
        Guard, door=door, max_body=settings.max_upload * 4 // 3 + 65536, answer=answer
    )
    api.add_middleware(Unexpected, answer=answer)
    api.add_middleware(RequestLog, route_of=route_of(api), finished=metrics.request)
    api.add_middleware(PagePolicy)
    return api


# Routes


async def _no_empty_limit(request: Request) -> None:
    """FastAPI takes an empty field of a form for one that was left out. Raises InvalidValue."""
    form = await request.form()  # read before, and kept by the request
    if form.get("limit") == "":
        raise InvalidValue("limit: Input should be an integer.")


def _add_routes(api: FastAPI, search: ImageSearch, sources: Sources, load: Load) -> None:
    def add(image: bytes, key: str | None, path: str | None, origin: str) -> JSONResponse:
        search.add(image, key or None, path or "", origin)
        return success("add", True)

    @api.post("/image/sim/add/file", responses=_ADD, tags=["add"])
    @load.threaded
    def add_file(
        file: Annotated[UploadFile, File(description="The image.")],
        key: Annotated[str | None, Form(description=_KEY.description)] = None,
        imgPath: Annotated[str | None, Form(description=_IMG_PATH.description)] = None,  # noqa: N803
    ) -> JSONResponse:
        """Add an uploaded image."""
        return add(file.file.read(), key, imgPath, file.filename or "")

    # A coroutine: a thread that waits for somebody else's server is one fewer for the rest.
    @api.post("/image/sim/add/url", responses=_ADD, tags=["add"])
    async def add_url(body: AddUrl) -> JSONResponse:
        """Add the image behind a URL."""
        image = await sources.fetch(body.url)
        return await load.run(add, image, body.key, body.imgPath, body.url)

    @api.post("/image/sim/add/path", responses=_ADD, tags=["add"])
    @load.threaded
    def add_path(body: AddPath) -> JSONResponse:
        """Add an image that lies on the server."""
        return add(sources.from_path(body.path), body.key, body.imgPath, body.path)


def _search_routes(
    api: FastAPI, search: ImageSearch, sources: Sources, load: Load, metrics: Metrics
) -> None:
    def find(image: bytes, limit: int) -> JSONResponse:
        result = search.search(image, limit)
        start = time.perf_counter()
        response = success("search", [_hit(hit) for hit in result.hits])
        seconds = {**result.seconds, "serialise": time.perf_counter() - start}
        metrics.stage("search", "serialise", seconds["serialise"])
        response.headers["Server-Timing"] = _server_timing(seconds)
        return response

    @api.post("/image/sim/search/file", responses=_SEARCH, tags=["search"])
    @load.threaded
    def search_file(
        file: Annotated[UploadFile, File(description="The query image.")],
        limit: Annotated[Limit, Form()] = 10,
        _: None = Depends(_no_empty_limit),
    ) -> JSONResponse:
        """Search with an uploaded image."""
        return find(file.file.read(), limit)

    @api.post("/image/sim/search/url", responses=_SEARCH, tags=["search"])
    async def search_url(body: SearchUrl) -> JSONResponse:
        """Search with the image behind a URL."""
        return await load.run(find, await sources.fetch(body.url), body.limit)

    @api.post("/image/sim/search/path", responses=_SEARCH, tags=["search"])
    @load.threaded
    def search_path(body: SearchPath) -> JSONResponse:
        """Search with an image that lies on the server."""
        return find(sources.from_path(body.path), body.limit)

    @api.post("/image/sim/search/base64", responses=_SEARCH, tags=["search"])
    @load.threaded
    def search_base64(body: SearchBase64) -> JSONResponse:
        """Search with an image in Base64."""
        return find(sources.from_base64(body.base64), body.limit)


def _delete_routes(api: FastAPI, search: ImageSearch, load: Load) -> None:
    @api.post("/image/sim/del/id", responses=_DEL, tags=["delete"])
    @load.threaded
    def delete_id(body: DeleteIds) -> JSONResponse:
        """Delete images by the `id` of their hits."""
        return _deleted(search.delete_ids([_id(item) for item in _items(body.id)]))

    @api.post("/image/sim/del/key", responses=_DEL, tags=["delete"])
    @load.threaded
    def delete_key(body: DeleteKeys) -> JSONResponse:
        """Delete all images under these keys."""
        return _deleted(search.delete_keys(_items(body.key)))


def _health_route(api: FastAPI, health: Health, door: Door) -> None:
    example = {"msg": MESSAGES["health"][0], "code": 200, "data": {"status": "ok", "count": 372}}
    responses: dict[int | str, dict[str, Any]] = {
        200: {"model": HealthOut, "content": {"application/json": {"example": example}}},
        405: {"model": Failure},
        429: {"model": Failure},
        503: {"model": Failure},
    }

    # The token, or none: it is answered without, and tells more with it.
    either: dict[str, Any] = {"security": [{}]}

    @api.get("/health", responses=responses, tags=["health"], openapi_extra=either)
    async def told(request: Request) -> JSONResponse:
        """Whether the database answers, and, to those who have the token, what is served.

        `degraded` is no failure: bogv serves, but the recall canary misses some images.
        """
        everything = door.has_token(request.scope)
        return success("health", await health.told(everything=everything))


def _server_timing(seconds: Mapping[str, float]) -> str:
    """`decode;dur=4.1, embed;dur=7.4`: milliseconds, as browsers and `eval latency` read them.

    Source: W3C, Server Timing, https://www.w3.org/TR/server-timing/.
    """
    return ", ".join(f"{stage};dur={1000 * value:.3f}" for stage, value in seconds.items())


def _hit(hit: Hit) -> dict[str, str | int | float]:
    record = hit.record
    return {
        "key": record.key,
        "filepath": record.filepath,
        "id": record.id,
        "score": round(hit.score, 6),
        "width": record.width,
        "height": record.height,
        "size": record.size,
        "added_at": record.added_at,
    }


def _items(joined: str | Iterable[str | int]) -> list[str]:
    """`a,b,c`, or a list, to its items. Raises InvalidValue for none, and for too many."""
    items = joined.split(",") if isinstance(joined, str) else [str(item) for item in joined]
    items = [item for item in items if item]
    if not 1 <= len(items) <= MAX_ITEMS:
        raise InvalidValue(f"{len(items)} were named; it must be from 1 to {MAX_ITEMS}.")
    return items


def _id(text: str) -> int:
    try:
        return integer(text)
    except ValueError as error:
        raise InvalidValue(f"{text[:40]!r} is no id: ids are integers.") from error


def _deleted(count: int) -> JSONResponse:
    if not count:
        raise NotFound("No image in the gallery matches.")
    return success("del", count)

"""The API's request and response bodies, with their descriptions and examples for OpenAPI."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field
from pydantic_core import PydanticCustomError

from bogv.records import ORIENTATION_NAMES, MatchKind
from bogv.service import MAX_LIMIT
from bogv.web.envelope import MESSAGES

MAX_ITEMS = 10_000  # ids or keys in one delete request

_INTEGER = re.compile(r"\s*[+-]?\d{1,30}\s*", re.ASCII)


def parse_integer(value: object) -> int:
    """An integer, or a string of one. Stricter than pydantic, which also accepts 1.0, true and
    `1_0`. Raises ValueError."""
    if type(value) is int:
        return value
    if isinstance(value, str) and _INTEGER.fullmatch(value):
        return int(value)
    raise PydanticCustomError("integer", "Input should be an integer")


def parse_boolean(value: object) -> bool:
    """A boolean, or `true` or `false` of a form. Stricter than pydantic, which also accepts 1, `on`
    and `yes`. Raises ValueError."""
    if isinstance(value, bool):
        return value
    if value in ("true", "false"):
        return value == "true"
    raise PydanticCustomError("boolean", "Input should be true or false")


Integer = Annotated[int, BeforeValidator(parse_integer)]

Limit = Annotated[
    int,
    Field(ge=1, le=MAX_LIMIT, description="The maximum number of hits."),
    BeforeValidator(parse_integer),
]

Verify = Annotated[
    bool,
    Field(description="Whether to compare the first 12 hits point by point: finds parts, too."),
    BeforeValidator(parse_boolean),
]


def _reject_booleans(value: object) -> object:
    if isinstance(value, bool):
        raise PydanticCustomError("number", "Input should be a number")
    return value


MaxRarity = (
    Annotated[
        float,
        Field(
            gt=0,
            le=1,
            description="Only hits whose score at most this share of the gallery's pairs reach.",
        ),
        BeforeValidator(_reject_booleans),
    ]
    | None
)


class _Model(BaseModel):
    # Clients may send the id of a hit as the number that it is there. A field that no one reads is
    # rejected: it is a misspelt one, and the answer would not be the one asked for.
    model_config = ConfigDict(coerce_numbers_to_str=True, extra="forbid")


KEY = Field(None, description="Your own primary key; by default the MD5 of the image's bytes.")
IMG_PATH = Field(None, description="A path to return with hits; it is stored, never opened.")
_URL = Field(description="An http or https URL.", examples=["https://example.com/cat.jpg"])
_PATH = Field(
    description="An absolute path on the server, below BOGV_IMAGE_ROOTS.",
    examples=["/images/cat.jpg"],
)


class AddUrl(_Model):
    url: str = _URL
    key: str | None = KEY
    imgPath: str | None = IMG_PATH  # noqa: N815 - the documented name


class AddPath(_Model):
    path: str = _PATH
    key: str | None = KEY
    imgPath: str | None = IMG_PATH  # noqa: N815


class SearchOptions(_Model):
    """Which hits a search returns, whatever its query comes from."""

    limit: Limit = 10
    verify: Verify = False
    max_rarity: MaxRarity = None


class SearchUrl(SearchOptions):
    url: str = _URL


class SearchPath(SearchOptions):
    path: str = _PATH


class SearchBase64(SearchOptions):
    base64: str = Field(
        description="The image in Base64, with or without `data:image/png;base64,` before it.",
        examples=["data:image/png;base64,iVBORw0KGgo…"],
    )


class DeleteIds(_Model):
    id: str | Annotated[list[Integer], Field(max_length=MAX_ITEMS)] = Field(
        description="Comma-separated ids, or a list.",
        examples=["445085583623111,445085583623112"],
    )


class DeleteKeys(_Model):
    key: str | Annotated[list[str], Field(max_length=MAX_ITEMS)] = Field(
        description="Comma-separated keys; or, for keys that contain commas, a list.",
        examples=["f7342ace9ab836f65248ff7e47cb83ea"],
    )


class MatchOut(BaseModel):
    match: MatchKind = Field(description="What relates it to the query, or to the new image.")
    distance: int | None = Field(
        description="Bits that differ between the perceptual hashes, of 256; null: above 70."
    )
    inliers: int | None = Field(description="Points that agree; null: not verified.")
    orientation: str | None = Field(
        description="What turns the query into the hit, clockwise; null: not known.",
        examples=list(ORIENTATION_NAMES),
    )


class HitOut(MatchOut):
    key: str
    filepath: str
    id: int = Field(description="Below 2^53.")
    score: float = Field(
        description="Cosine similarity, 0 to 1; with BOGV_QUERY_EXPANSION, to the expanded query."
    )
    rarity: float | None = Field(
        description="Share of the gallery's pairs that are at least as alike; null: not known."
    )
    width: int
    height: int
    size: int = Field(description="Bytes.")
    added_at: int = Field(description="Milliseconds since 1970, UTC.")


class VerdictOut(BaseModel):
    """Whether the gallery has the query's picture."""

    match: Literal["exact", "copy", "part", "none"]
    id: int | None = Field(description="Of the hit that proves it.")
    false_positive_rate: float = Field(
        description="Upper bound of the probability that a search of this gallery for a picture"
        " that it doesn't have says otherwise."
    )
    complete: bool = Field(description="false: some images have no hash yet, so it may have more.")


class ErrorOut(BaseModel):
    type: str
    detail: str
    request_id: str = Field(description="Also in the X-Request-ID header and the server's log.")


class Failure(BaseModel):
    msg: str
    code: int = 500
    data: None = None
    error: ErrorOut


def _responses(
    kind: str, model: type[BaseModel], example: Any, **more: Any
) -> dict[int | str, dict[str, Any]]:
    """A route's responses for OpenAPI: the success, and a failure of each status.

    more: examples of the fields beside `data`.
    """
    done, failed = MESSAGES[kind]
    ok = {"msg": done, "code": 200, "data": example, **more}
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
    403: ("path-not-allowed", "The path is outside of the allowed folders."),
    404: ("not-found", "No image in the gallery matches."),
    405: ("method-not-allowed", "Method Not Allowed."),
    413: ("too-large", "The image has 30,000,000 bytes; the limit is 20,971,520 bytes."),
    415: ("not-an-image", "The bytes are no image of a known format."),
    422: ("invalid-value", "limit: Input should be less than or equal to 1000."),
    429: ("too-many-requests", "Too many requests from this address."),
    502: ("fetch-failed", "The URL answered with status 404."),
    503: ("database-unavailable", "Milvus doesn't answer."),
}


class NearDuplicateOut(MatchOut):
    id: int
    key: str


class AddedOut(BaseModel):
    msg: str
    code: int
    data: bool
    id: int = Field(description="Of the image; below 2^53.")
    near_duplicate_of: NearDuplicateOut | None = Field(
        description="For a new image: the same picture, which was there before."
    )


class HitsOut(BaseModel):
    msg: str
    code: int
    data: list[HitOut]
    verdict: VerdictOut


class DeletedOut(BaseModel):
    msg: str
    code: int
    data: int = Field(description="The number of images deleted.")


class HealthOut(BaseModel):
    msg: str
    code: int
    data: dict[str, str | int]


_HIT = {
    "key": "f7342ace9ab836f65248ff7e47cb83ea",
    "filepath": "/usr/data/app/file/xxx.jpg",
    "id": 445085583623111,
    "score": 0.9731,
    "rarity": 0.0002,
    "width": 640,
    "height": 480,
    "size": 48213,
    "added_at": 1767225600000,
    "match": "copy",
    "distance": 6,
    "inliers": None,
    "orientation": "mirrored",
}
_DUPLICATE = {"id": 445085583623110, "key": "cat"} | {
    name: _HIT[name] for name in ("match", "distance", "inliers", "orientation")
}
_VERDICT = {"match": "copy", "id": _HIT["id"], "false_positive_rate": 0.0048, "complete": True}
ADD_RESPONSES = _responses("add", AddedOut, True, id=_HIT["id"], near_duplicate_of=_DUPLICATE)
SEARCH_RESPONSES = _responses("search", HitsOut, [_HIT], verdict=_VERDICT)
DELETE_RESPONSES = _responses("del", DeletedOut, 3)

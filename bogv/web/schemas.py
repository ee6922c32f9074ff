"""The API's request and response bodies, with their descriptions and examples for OpenAPI."""

from __future__ import annotations

import re
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field
from pydantic_core import PydanticCustomError

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


Integer = Annotated[int, BeforeValidator(parse_integer)]

Limit = Annotated[
    int,
    Field(ge=1, le=MAX_LIMIT, description="The maximum number of hits."),
    BeforeValidator(parse_integer),
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
    # Clients may send the id of a hit as the number that it is there.
    model_config = ConfigDict(coerce_numbers_to_str=True)


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


class SearchUrl(_Model):
    url: str = _URL
    limit: Limit = 10
    max_rarity: MaxRarity = None


class SearchPath(_Model):
    path: str = _PATH
    limit: Limit = 10
    max_rarity: MaxRarity = None


class SearchBase64(_Model):
    base64: str = Field(
        description="The image in Base64, with or without `data:image/png;base64,` before it.",
        examples=["data:image/png;base64,iVBORw0KGgo…"],
    )
    limit: Limit = 10
    max_rarity: MaxRarity = None


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


class HitOut(BaseModel):
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


class ErrorOut(BaseModel):
    type: str
    detail: str
    request_id: str = Field(description="Also in the X-Request-ID header and the server's log.")


class Failure(BaseModel):
    msg: str
    code: int = 500
    data: None = None
    error: ErrorOut


def _responses(kind: str, model: type[BaseModel], example: Any) -> dict[int | str, dict[str, Any]]:
    """A route's responses for OpenAPI: the success, and a failure of each status."""
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
}
ADD_RESPONSES = _responses("add", AddedOut, True)
SEARCH_RESPONSES = _responses("search", HitsOut, [_HIT])
DELETE_RESPONSES = _responses("del", DeletedOut, 3)

"""Every error that bogv raises on purpose.

Each class has a machine-readable name (`type`) and an HTTP status (`status`); its message is one
clear sentence. Errors of other libraries are translated into these at the call that raises them
(`raise … from`), and nowhere else.

    BogvError                          internal-error        500
    ├── InvalidRequest                 invalid-request       400
    │   ├── InvalidBase64              invalid-base64        400
    │   └── InvalidUrl                 invalid-url           400
    ├── Unauthorized                   unauthorized          401
    ├── PathNotAllowed                 path-not-allowed      403
    ├── UrlNotAllowed                  url-not-allowed       403
    ├── ForeignSite                    foreign-site          403
    ├── NotFound                       not-found             404
    │   └── FileMissing                file-not-found        404
    ├── TooLarge                       too-large             413
    │   ├── TooManyPixels              too-many-pixels       413
    │   └── TooCostly                  too-costly            413
    ├── NotAnImage                     not-an-image          415
    ├── DamagedImage                   damaged-image         422
    ├── InvalidValue                   invalid-value         422
    ├── TooManyRequests                too-many-requests     429
    ├── FetchFailed                    fetch-failed          502
    └── Unavailable                    unavailable           503
        ├── Overloaded                 overloaded            503
        ├── DatabaseUnavailable        database-unavailable  503
        ├── GalleryMismatch            gallery-mismatch      503
        ├── GalleryInUse               gallery-in-use        503
        ├── StorageUnavailable         storage-unavailable   503
        ├── WeightsUnavailable         weights-unavailable   503
        └── EngineFailed               engine-failed         503
"""

from __future__ import annotations


class BogvError(Exception):
    """The base class of all errors that bogv raises on purpose."""

    type = "internal-error"
    status = 500


class InvalidRequest(BogvError):
    """The request is malformed."""

    type = "invalid-request"
    status = 400


class InvalidBase64(InvalidRequest):
    """The text is not Base64."""

    type = "invalid-base64"


class InvalidUrl(InvalidRequest):
    """The text is not an http or https URL."""

    type = "invalid-url"


class Unauthorized(BogvError):
    """The token is missing or wrong."""

    type = "unauthorized"
    status = 401


class PathNotAllowed(BogvError):
    """The path lies outside the folders that may be read."""

    type = "path-not-allowed"
    status = 403


class UrlNotAllowed(BogvError):
    """The URL leads to a private, loopback or otherwise non-public address."""

    type = "url-not-allowed"
    status = 403


class ForeignSite(BogvError):
    """A page of another site made its visitor's browser send the request (CSRF)."""

    type = "foreign-site"
    status = 403


class NotFound(BogvError):
    """The requested image or page doesn't exist."""

    type = "not-found"
    status = 404


class FileMissing(NotFound):
    """There is no such file."""

    type = "file-not-found"


class TooLarge(BogvError):
    """More bytes than the limit."""

    type = "too-large"
    status = 413


class TooManyPixels(TooLarge):
    """More pixels than the limit."""

    type = "too-many-pixels"


class TooCostly(TooLarge):
    """Decoding the image exceeds the limit of time or memory."""

    type = "too-costly"


class NotAnImage(BogvError):
    """The bytes are not an image of a supported format."""

    type = "not-an-image"
    status = 415


class DamagedImage(BogvError):
    """The bytes begin like an image but can't be decoded completely."""

    type = "damaged-image"
    status = 422


class InvalidValue(BogvError):
    """A value is out of range or too long."""

    type = "invalid-value"
    status = 422


class TooManyRequests(BogvError):
    """A client sent too many requests, or too many wrong tokens."""

    type = "too-many-requests"
    status = 429

    def __init__(self, message: str, seconds: float) -> None:
        """seconds: until the client may try again."""
        super().__init__(message)
        self.seconds = seconds


class FetchFailed(BogvError):
    """Fetching a URL failed: unknown host, connection refused, time-out, a status but 200."""

    type = "fetch-failed"
    status = 502


class Unavailable(BogvError):
    """A resource that bogv needs is unavailable at present."""

    type = "unavailable"
    status = 503


class Overloaded(Unavailable):
    """Too many requests at once (BOGV_MAX_QUEUE)."""

    type = "overloaded"


class DatabaseUnavailable(Unavailable):
    """Milvus doesn't answer, or rejected the call."""

    type = "database-unavailable"


class GalleryMismatch(Unavailable):
    """The gallery was made with other weights."""

    type = "gallery-mismatch"


class GalleryInUse(Unavailable):
    """Another process has the Milvus Lite folder open."""

    type = "gallery-in-use"


class StorageUnavailable(Unavailable):
    """A file can't be written or read: a full disk, missing permissions, a lost mount."""

    type = "storage-unavailable"


class WeightsUnavailable(Unavailable):
    """The weights can't be found, downloaded or verified."""

    type = "weights-unavailable"


class EngineFailed(Unavailable):
    """Running the network failed: out of memory, a lost GPU."""

    type = "engine-failed"


def reason(error: Exception) -> str:
    """The operating system's message without the path, which clients must not see."""
    return getattr(error, "strerror", None) or type(error).__name__

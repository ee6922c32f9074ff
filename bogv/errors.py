"""Every error that bogv raises on purpose.

Each class has a name for machines (`type`) and the HTTP status that tells its class; its message
is one clear sentence. Errors of other libraries are translated into these once, where they enter
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
    """The root: catch it to catch everything that bogv raises on purpose."""

    type = "internal-error"
    status = 500


class InvalidRequest(BogvError):
    """The request can't be understood."""

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
    """The URL leads to a private, loopback or otherwise fenced address."""

    type = "url-not-allowed"
    status = 403


class ForeignSite(BogvError):
    """A page of another site had its visitor's browser send this."""

    type = "foreign-site"
    status = 403


class NotFound(BogvError):
    """Nothing in the gallery matches."""

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
    """Decoding takes more time or memory than an image may have."""

    type = "too-costly"


class NotAnImage(BogvError):
    """The bytes are no image of a known format."""

    type = "not-an-image"
    status = 415


class DamagedImage(BogvError):
    """The bytes begin like an image and can't be decoded to the end."""

    type = "damaged-image"
    status = 422


class InvalidValue(BogvError):
    """A value is of the right kind and out of its range."""

    type = "invalid-value"
    status = 422


class TooManyRequests(BogvError):
    """A client came too often, or gave too many wrong tokens."""

    type = "too-many-requests"
    status = 429

    def __init__(self, message: str, seconds: float) -> None:
        """seconds: how long to wait."""
        super().__init__(message)
        self.seconds = seconds


class FetchFailed(BogvError):
    """The server behind a URL gave no image: unknown host, refused, timed out, not 200."""

    type = "fetch-failed"
    status = 502


class Unavailable(BogvError):
    """Something that bogv needs can't be had at present."""

    type = "unavailable"
    status = 503


class Overloaded(Unavailable):
    """More requests at once than bogv takes (BOGV_MAX_QUEUE)."""

    type = "overloaded"


class DatabaseUnavailable(Unavailable):
    """Milvus doesn't answer, or refused what was asked."""

    type = "database-unavailable"


class GalleryMismatch(Unavailable):
    """The gallery was made with other weights."""

    type = "gallery-mismatch"


class GalleryInUse(Unavailable):
    """Another process has the Milvus Lite folder open."""

    type = "gallery-in-use"


class StorageUnavailable(Unavailable):
    """A file can't be written or read: a full disk, missing rights, a lost mount."""

    type = "storage-unavailable"


class WeightsUnavailable(Unavailable):
    """The weights can't be found, fetched or trusted."""

    type = "weights-unavailable"


class EngineFailed(Unavailable):
    """The network could not be run: out of memory, a lost GPU."""

    type = "engine-failed"


def reason(error: Exception) -> str:
    """What the operating system says, without the path: callers may not know where things lie."""
    return getattr(error, "strerror", None) or type(error).__name__

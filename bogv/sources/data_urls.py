"""Decoding of Base64, with or without the prefix of a data URL."""

from __future__ import annotations

import base64
import binascii
import re

from bogv.errors import InvalidBase64, TooLarge
from bogv.sources.limits import check_size

# `data:image/png;base64,`, or just `data:image/png;`, as the API documents it. Base64 contains
# neither comma nor semicolon, so the image begins after the last of them.
_PREFIX = re.compile(r"\s*data:[^,;]{0,100}(?:[,;][^,;]{0,100}){0,9}[,;]", re.IGNORECASE)
_BLANKS = b" \t\n\r\v\f"
_STANDARD = bytes.maketrans(b"-_", b"+/")


def decode_base64(text: str, max_bytes: int) -> bytes:
    """Decode Base64, standard or URL-safe, with or without padding; line breaks are ignored.

    A prefix such as `data:image/png;base64,` or `data:image/png;` is dropped. Raises
    InvalidBase64, TooLarge.
    """
    try:
        # One pass over bytes: `str.split` at each blank would take seconds and hundreds of MB.
        body = _PREFIX.sub("", text, count=1).encode("ascii").translate(_STANDARD, _BLANKS)
    except UnicodeEncodeError as error:
        raise InvalidBase64("The text is not Base64: it has characters outside ASCII.") from error
    if len(body) > (max_bytes + 3) * 4 // 3 + 4:
        raise TooLarge(f"The image is larger than the limit of {max_bytes:,} bytes.")
    body = body.rstrip(b"=")
    try:
        data = base64.b64decode(body + b"=" * (-len(body) % 4), validate=True)
    except (binascii.Error, ValueError) as error:
        raise InvalidBase64(f"The text is not Base64: {error}.") from error
    return check_size(data, max_bytes)

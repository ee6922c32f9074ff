"""Removal of the login from URLs (`https://user:password@host`), so it isn't shown or stored."""

from __future__ import annotations

import re
from urllib.parse import unquote, urlsplit

# Source: RFC 3986, section 3.2: the authority ends at the first `/`, `?` or `#`, its login at the
# last `@` before that.
_LOGIN = re.compile(r"(\b[A-Za-z][A-Za-z0-9+.-]*://)[^\s/?#]*@")
_LOGIN_OF_URL = re.compile(r"^(\s*[A-Za-z][A-Za-z0-9+.-]*://)[^/?#]*@")


def strip_login(url: str) -> str:
    """The URL without its login, otherwise unchanged."""
    return _LOGIN_OF_URL.sub(r"\1", url)


def redact(text: str) -> str:
    """A text, such as an error message, without the logins of the URLs in it."""
    return _LOGIN.sub(r"\1", text)


def split_login(url: str) -> tuple[str, str, str]:
    """Split a URL into the URL without its login, the user and the password, "" if missing.

    Raises ValueError, without the URL in its message.
    """
    try:
        parts = urlsplit(url)
        stripped = parts._replace(netloc=parts.netloc.rpartition("@")[2])
        _ = parts.port  # raises ValueError for an invalid port
    except ValueError:
        raise ValueError("no valid host and port") from None
    if "@" in stripped.geturl():  # as after an unescaped / in the password, which ends the netloc
        raise ValueError("an @ outside the login")
    return stripped.geturl(), unquote(parts.username or ""), unquote(parts.password or "")

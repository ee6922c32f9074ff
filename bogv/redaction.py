"""The login in a URL (`https://user:password@host`): used where needed, not told or stored."""

from __future__ import annotations

import re
from urllib.parse import unquote, urlsplit

# Source: RFC 3986, section 3.2: the authority ends at the first `/`, `?` or `#`, its login at the
# last `@` before that.
_LOGIN = re.compile(r"(\b[A-Za-z][A-Za-z0-9+.-]*://)[^\s/?#]*@")
_LOGIN_OF_URL = re.compile(r"^(\s*[A-Za-z][A-Za-z0-9+.-]*://)[^/?#]*@")


def without_login(url: str) -> str:
    """The URL without its login, and otherwise as it was written."""
    return _LOGIN_OF_URL.sub(r"\1", url)


def redacted(text: str) -> str:
    """A text, such as an error's, without the logins of the URLs in it."""
    return _LOGIN.sub(r"\1", text)


def split_login(url: str) -> tuple[str, str, str]:
    """A URL without its login, the user and the password; "" for what isn't there.

    Raises ValueError, which does not say what the URL was.
    """
    try:
        parts = urlsplit(url)
        told = parts._replace(netloc=parts.netloc.rpartition("@")[2])
        _ = parts.port  # raises where it is no port
    except ValueError:
        raise ValueError("no host and port") from None
    if "@" in told.geturl():  # a password with a / in it ends the host
        raise ValueError("an @ that ends no login")
    return told.geturl(), unquote(parts.username or ""), unquote(parts.password or "")

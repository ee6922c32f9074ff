"""By which name a request asks for this server, and from which site's page it comes.

Where no token is asked for, whoever runs a script in a visitor's browser is let in as its user is.
Two ways lead there. A page of another site has the browser send a form (CSRF): then its `Origin`
is not the `Host` that it asks. Or its own name is made to lead here (DNS rebinding): then both are
that name, which is none of this server's.
"""

from __future__ import annotations

import logging
import re
import socket
from collections.abc import Iterable
from ipaddress import ip_address

from starlette.datastructures import Headers
from starlette.types import Scope

from bogv.errors import ForeignSite

log = logging.getLogger(__name__)

# No name server of the internet answers for these, nor for a name without a dot, such as that of
# a container: nobody elsewhere can make them lead here. Sources: RFC 6761, 6762 and 8375; ICANN's
# resolution 2024.07.29.06.
PRIVATE_DOMAINS = (".localhost", ".local", ".home.arpa", ".internal", ".test")
SAFE = frozenset({"GET", "HEAD", "OPTIONS"})

_HOST = re.compile(r"(\[[0-9a-f:.]+\]|[^\[\]:/@?#\s\\,]+)(?::(\d{0,5}))?")
_ORIGIN = re.compile(r"https?://(.+)", re.IGNORECASE)


class Sites:
    """The names of this server."""

    def __init__(self, names: Iterable[str] | None = ()) -> None:
        """names: those besides its private ones, `*.example.com` for all below it. None: any."""
        self._any = names is None
        self._names = {_name(name) for name in [*(names or ()), socket.gethostname()]}
        self._told = False

    def check(self, scope: Scope, reads_too: bool = False) -> None:
        """Raises ForeignSite for what a page of another site had its visitor's browser send.

        What is no browser sends no `Origin`, and goes on. Browsers send it with all that isn't
        read, and with what a script reads elsewhere; `Sec-Fetch-Site` with everything, but to
        https and localhost alone. reads_too: go by that for a read as well.
        Sources: WHATWG, Fetch, section 3.2; W3C, Fetch Metadata Request Headers.
        """
        headers = Headers(scope=scope)
        host = headers.get("host", "")
        if host and not self._is_ours(host):
            self._tell(host)
            raise ForeignSite(f"{host[:100]!r} is no name of this server: see BOGV_ALLOWED_HOSTS.")
        if scope["method"] == "OPTIONS":  # a browser asks what it may; the answer says: nothing
            return
        if any(not agree(origin, host) for origin in headers.getlist("origin")):
            raise ForeignSite("The request comes from a page of another site (Origin and Host).")
        foreign = headers.get("sec-fetch-site") in {"cross-site", "same-site"}
        if foreign and (reads_too or scope["method"] not in SAFE):
            raise ForeignSite("The request comes from a page of another site.")

    def _is_ours(self, host: str) -> bool:
        if self._any or is_private(host):
            return True
        parsed = parse(host)
        return parsed is not None and any(_covers(each, parsed[0]) for each in self._names)

    def _tell(self, host: str) -> None:
        if not self._told:
            self._told = True
            log.warning(
                "A request asked for %r; its name can be allowed (BOGV_ALLOWED_HOSTS)", host
            )


def is_private(host: str) -> bool:
    """Whether nobody outside can make the name of a `Host` lead here: an address, and the like."""
    parsed = parse(host)
    if parsed is None:
        return False
    name, _ = parsed
    return "." not in name or _is_address(name) or name.endswith(PRIVATE_DOMAINS)


def agree(origin: str, host: str) -> bool:
    """Whether a page of that `Origin` comes from this `Host`; `null` and what can't be read don't.

    Of the scheme nothing is asked: behind TLS, Host doesn't tell it. So 80 and 443 are one port.
    """
    found = _ORIGIN.fullmatch(origin)
    page = found and parse(found[1])
    return bool(page) and page == parse(host)


def parse(host: str) -> tuple[str, str] | None:
    """`Example.com.:443` to its name in lower case and its port, "" for 80 and 443."""
    found = _HOST.fullmatch(host.lower())
    if found is None:
        return None
    port = (found[2] or "").lstrip("0")
    return _name(found[1]), "" if port in {"80", "443"} else port


def _covers(allowed: str, name: str) -> bool:
    return name == allowed or (allowed.startswith("*.") and name.endswith(allowed[1:]))


def _name(text: str) -> str:
    name = text.lower().strip("[]").removesuffix(".")
    return str(ip_address(name)) if _is_address(name) else name


def _is_address(name: str) -> bool:
    try:
        ip_address(name)
    except ValueError:
        return False
    return True

"""Protection against cross-site request forgery and DNS rebinding.

Without a token, a script in a user's browser has the user's access, and there are two ways to run
one. A page of another site has the browser send a form (CSRF): its `Origin` differs from the
`Host`. Or the page's own name is made to resolve to this server (DNS rebinding): then both are that
name, which is not one of this server's.
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

# No public name server answers for these, nor for a name without a dot, such as a container's:
# nobody outside can make them resolve to this server. Sources: RFC 6761, 6762 and 8375; ICANN's
# resolution 2024.07.29.06.
PRIVATE_DOMAINS = (".localhost", ".local", ".home.arpa", ".internal", ".test")
SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})

_HOST = re.compile(r"(\[[0-9a-f:.]+\]|[^\[\]:/@?#\s\\,]+)(?::(\d{0,5}))?")
_ORIGIN = re.compile(r"https?://(.+)", re.IGNORECASE)


class CsrfProtection:
    """Allows requests by host name and origin."""

    def __init__(self, names: Iterable[str] | None = ()) -> None:
        """names: allowed hosts besides private ones, `*.example.com` for all subdomains. None: any
        host."""
        self._any = names is None
        self._names = {_normalize(name) for name in [*(names or ()), socket.gethostname()]}
        self._warned = False

    def check(self, scope: Scope, check_reads: bool = False) -> None:
        """Raises ForeignSite for a request that a page of another site made.

        Requests without an `Origin` pass: they come from no browser, or are reads of the same site.
        Browsers send it with every request that is not a read, and with a script's reads of another
        site; and `Sec-Fetch-Site` with all requests, but to https and localhost alone.
        check_reads: apply `Sec-Fetch-Site` to reads too.
        Sources: WHATWG, Fetch, section 3.2; W3C, Fetch Metadata Request Headers.
        """
        headers = Headers(scope=scope)
        host = headers.get("host", "")
        if host and not self._is_allowed(host):
            self._warn_once(host)
            raise ForeignSite(
                f"{host[:100]!r} is not an allowed host name; see BOGV_ALLOWED_HOSTS."
            )
        if scope["method"] == "OPTIONS":  # a preflight request; its answer allows nothing
            return
        if any(not same_origin(origin, host) for origin in headers.getlist("origin")):
            raise ForeignSite("The request comes from a page of another site (Origin and Host).")
        is_foreign = headers.get("sec-fetch-site") in {"cross-site", "same-site"}
        if is_foreign and (check_reads or scope["method"] not in SAFE_METHODS):
            raise ForeignSite("The request comes from a page of another site.")

    def _is_allowed(self, host: str) -> bool:
        if self._any or is_private_host(host):
            return True
        parsed = parse_host(host)
        return parsed is not None and any(_matches(each, parsed[0]) for each in self._names)

    def _warn_once(self, host: str) -> None:
        if not self._warned:
            self._warned = True
            log.warning(
                "Refused a request to the host name %r; to allow it, set BOGV_ALLOWED_HOSTS", host
            )


def is_private_host(host: str) -> bool:
    """Whether a `Host` is an address, or a name that nobody outside can make resolve here."""
    parsed = parse_host(host)
    if parsed is None:
        return False
    name, _ = parsed
    return "." not in name or _is_address(name) or name.endswith(PRIVATE_DOMAINS)


def same_origin(origin: str, host: str) -> bool:
    """Whether an `Origin` is that of the `Host`; False for `null` and what can't be parsed.

    The scheme is ignored: behind a proxy with TLS it is not known. So ports 80 and 443 are equal.
    """
    match = _ORIGIN.fullmatch(origin)
    parsed = match and parse_host(match[1])
    return bool(parsed) and parsed == parse_host(host)


def parse_host(host: str) -> tuple[str, str] | None:
    """`Example.com.:443` as its name in lower case and its port, which is "" for 80 and 443."""
    match = _HOST.fullmatch(host.lower())
    if match is None:
        return None
    port = (match[2] or "").lstrip("0")
    return _normalize(match[1]), "" if port in {"80", "443"} else port


def _matches(allowed: str, name: str) -> bool:
    return name == allowed or (allowed.startswith("*.") and name.endswith(allowed[1:]))


def _normalize(text: str) -> str:
    name = text.lower().strip("[]").removesuffix(".")
    return str(ip_address(name)) if _is_address(name) else name


def _is_address(name: str) -> bool:
    try:
        ip_address(name)
    except ValueError:
        return False
    return True

"""The façade over the sources of a client's images: paths, URLs and Base64."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from bogv.errors import BogvError
from bogv.sources.data_urls import decode_base64
from bogv.sources.paths import AllowedPaths, open_without_links, read_file
from bogv.sources.urls import fetch


class Sources:
    """Reads the images that clients name, as far as they are allowed to."""

    def __init__(
        self,
        roots: Iterable[Path],
        max_bytes: int,
        allow_private_urls: bool = False,
        private: Iterable[Path] = (),
    ) -> None:
        """roots: the folders that may be read. private: files and folders that may not be read,
        even below a root."""
        self.max_bytes = max_bytes
        self.observe: Callable[[str], None] | None = None
        """Called with the error's type for each path and URL that can't be read."""
        self._paths = AllowedPaths(roots, private)
        self._allow_private_urls = allow_private_urls

    def resolve(self, path: str | Path) -> Path:
        """The path with its links resolved, if it is below a root.

        Raises PathNotAllowed, outside the roots whether or not the path exists.
        """
        with self._observe_errors():
            return self._paths.resolve(path)

    def is_private(self, path: Path) -> bool:
        """Whether a path is private, or below a private one."""
        return self._paths.is_private(path)

    def from_path(self, path: str) -> bytes:
        """The bytes of a file below a root. Raises what `resolve` and `read_file` raise."""
        with self._observe_errors():
            return read_file(self._paths.resolve(path), self.max_bytes, open_without_links)

    def from_base64(self, text: str) -> bytes:
        """Raises InvalidBase64, TooLarge."""
        return decode_base64(text, self.max_bytes)

    def from_url(self, url: str) -> bytes:
        """As `fetch`, for synchronous callers.

        After a time-out, it still waits until a running name resolution has ended.
        """
        return asyncio.run(self.fetch(url))

    async def fetch(self, url: str) -> bytes:
        """The body of an http or https URL, within FETCH_SECONDS in total.

        Raises InvalidUrl, UrlNotAllowed, FetchFailed, TooLarge.
        """
        with self._observe_errors():
            return await fetch(url, self.max_bytes, self._allow_private_urls)

    @contextmanager
    def _observe_errors(self) -> Iterator[None]:
        try:
            yield
        except BogvError as error:
            if self.observe is not None:
                self.observe(error.type)
            raise

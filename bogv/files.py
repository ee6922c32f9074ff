"""Writing files atomically, downloading them, and their digests."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import httpx
from tqdm import tqdm

_BLOCK = 1 << 20  # bytes
_TIMEOUT = httpx.Timeout(60, connect=10)  # seconds without a byte


@contextmanager
def atomic_write(target: Path) -> Iterator[Path]:
    """A path to write to, whose file replaces `target` if the block ends without an error.

    So no other process sees an incomplete file, and an error leaves none. The path has the name of
    `target`, in a hidden folder beside it, which only the kill of the process can leave behind.
    Parent folders are created. Raises OSError.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(prefix=".partial-", dir=target.parent) as folder:
        partial = Path(folder, target.name)
        yield partial
        partial.replace(target)


def download(
    url: str,
    target: Path,
    verify: Callable[[Path], None],
    *,
    label: str,
    size: int | None = None,
    progress: bool = True,
) -> None:
    """Download a file, with a progress bar; it becomes `target` only if `verify` raises nothing.

    label: of the bar. size: in bytes; None: what the server says. Raises httpx.HTTPError, OSError.
    """
    # The bytes as they are stored: their digest is not that of what a server compresses on the way.
    headers = {"Accept-Encoding": "identity"}
    with httpx.stream(
        "GET", url, headers=headers, timeout=_TIMEOUT, follow_redirects=True
    ) as response:
        response.raise_for_status()
        total = size or int(response.headers.get("Content-Length", 0)) or None
        # The folder is created only now: one that stays empty would keep Docker from filling a
        # volume there.
        with atomic_write(target) as partial:
            bar = tqdm(
                desc=label, total=total, unit="B", unit_scale=True, unit_divisor=1024,
                disable=not progress,
            )  # fmt: skip
            with partial.open("wb") as file, bar:
                # Raw: some servers declare a .tar.gz gzip-encoded, and it would be unpacked.
                for block in response.iter_raw(_BLOCK):
                    file.write(block)
                    bar.update(len(block))
            verify(partial)


def file_digest(path: Path, algorithm: str = "sha256") -> str:
    """The hexadecimal digest of a file, by an algorithm that hashlib names. Raises OSError."""
    digest = hashlib.new(algorithm, usedforsecurity=False)
    with path.open("rb") as file:
        while block := file.read(_BLOCK):
            digest.update(block)
    return digest.hexdigest()

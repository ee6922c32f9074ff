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
    """Yield a temporary path, whose file replaces `target` if the block ends without an error.

    Other processes never see an incomplete file, and an error leaves none. The temporary file has
    the name of `target`, in a hidden folder beside it, which remains only if the process is killed.
    Creates parent folders. Raises OSError.
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

    label: of the bar. size: in bytes; None: from Content-Length. Raises httpx.HTTPError, OSError.
    """
    # Without compression: the digest is of the stored file.
    headers = {"Accept-Encoding": "identity"}
    with httpx.stream(
        "GET", url, headers=headers, timeout=_TIMEOUT, follow_redirects=True
    ) as response:
        response.raise_for_status()
        total = size or int(response.headers.get("Content-Length", 0)) or None
        # The folder is created only now: Docker copies an image's files only into empty volumes.
        with atomic_write(target) as partial:
            bar = tqdm(
                desc=label, total=total, unit="B", unit_scale=True, unit_divisor=1024,
                disable=not progress,
            )  # fmt: skip
            with partial.open("wb") as file, bar:
                # Raw: some servers send a .tar.gz as gzip-encoded, and httpx would decompress it.
                for block in response.iter_raw(_BLOCK):
                    file.write(block)
                    bar.update(len(block))
            verify(partial)


def file_digest(path: Path, algorithm: str = "sha256") -> str:
    """The hexadecimal digest of a file. algorithm: a name that hashlib knows. Raises OSError."""
    digest = hashlib.new(algorithm, usedforsecurity=False)
    with path.open("rb") as file:
        while block := file.read(_BLOCK):
            digest.update(block)
    return digest.hexdigest()

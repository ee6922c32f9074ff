"""Install a locked requirements file: each package in its pinned version, verified by hash.

    python tools/install.py requirements.txt

TORCH_INDEX_URL names another index for torch and torchvision, such as that of the CPU builds: for
Linux, the default index has CUDA builds only. These two packages are then pinned by version, not
by hash, because the lock has the hashes of the default index only, and the CUDA packages are
skipped. pip accepts the CPU build 2.14.1+cpu where the lock requires 2.14.1.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

_TORCH = re.compile(r"^torch(?:vision)?==\S+", re.MULTILINE)
_CUDA = re.compile(r"^(?:cuda-|nvidia-|triton==).*\n(?: .*\n)*", re.MULTILINE)


def without_cuda(lock: str) -> str:
    """The text of a lock without the CUDA packages that torch depends on."""
    return _CUDA.sub("", lock)


def install(lock: Path, torch_index: str | None) -> None:
    """Install `lock` into this interpreter's environment.

    Raises subprocess.CalledProcessError if pip fails.
    """
    if not torch_index:
        _pip("--require-hashes", "-r", str(lock))
        return
    text = lock.read_text("utf-8")
    # Without dependencies: the lock has them.
    _pip("--no-deps", "--index-url", torch_index, *_TORCH.findall(text))
    with tempfile.TemporaryDirectory() as folder:
        rest = Path(folder) / lock.name
        rest.write_text(without_cuda(text), "utf-8")
        _pip("--require-hashes", "-r", str(rest))


def _pip(*arguments: str) -> None:
    command = [sys.executable, "-m", "pip", "install", "--disable-pip-version-check", *arguments]
    subprocess.run(command, check=True)  # noqa: S603, the command is pip


if __name__ == "__main__":
    try:
        install(Path(sys.argv[1]), os.environ.get("TORCH_INDEX_URL"))
    except subprocess.CalledProcessError as failed:  # pip has printed the error
        sys.exit(failed.returncode)

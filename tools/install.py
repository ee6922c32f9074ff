"""Install a locked requirements file: every package in its version, checked against its hash.

    python tools/install.py requirements.txt

TORCH_INDEX_URL names another index for torch and torchvision, such as the one of the CPU builds:
the default index has builds for NVIDIA cards alone on Linux. These two are then held by their
version, not by a hash, since the lock knows only the default index' files, and what only CUDA needs
is left out. pip takes the CPU build 2.14.1+cpu for the 2.14.1 that the lock asks for.
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
    """The text of a lock without the packages that torch has for NVIDIA cards."""
    return _CUDA.sub("", lock)


def install(lock: Path, torch_index: str | None) -> None:
    """Install `lock` into this interpreter's environment.

    Raises subprocess.CalledProcessError if pip fails.
    """
    if not torch_index:
        _pip("--require-hashes", "-r", str(lock))
        return
    text = lock.read_text("utf-8")
    # Without what they depend on: that is in the lock.
    _pip("--no-deps", "--index-url", torch_index, *_TORCH.findall(text))
    with tempfile.TemporaryDirectory() as folder:
        rest = Path(folder) / lock.name
        rest.write_text(without_cuda(text), "utf-8")
        _pip("--require-hashes", "-r", str(rest))


def _pip(*arguments: str) -> None:
    command = [sys.executable, "-m", "pip", "install", "--disable-pip-version-check", *arguments]
    subprocess.run(command, check=True)  # noqa: S603, pip alone


if __name__ == "__main__":
    try:
        install(Path(sys.argv[1]), os.environ.get("TORCH_INDEX_URL"))
    except subprocess.CalledProcessError as failed:  # pip has said why
        sys.exit(failed.returncode)

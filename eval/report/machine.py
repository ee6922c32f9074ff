"""The environment of a result: the machine, the packages, the revision."""

from __future__ import annotations

import hashlib
import platform
import shutil
import subprocess
from collections.abc import Iterable
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from os import cpu_count
from pathlib import Path
from typing import TypedDict

import bogv

ROOT = Path(__file__).parents[2]
PACKAGES = (
    *("faiss-cpu", "milvus-lite", "numpy", "openvino", "pandas", "pillow", "pymilvus"),
    *("scikit-learn", "torch", "torchvision"),
)
EMBEDDING_PACKAGES = ("openvino", "pillow", "torch")
"""The packages that decode images and run the network."""


class Environment(TypedDict):
    """The environment of a result, by the names of its fields."""

    revision: str | None
    machine: dict[str, str | int]
    packages: dict[str, str]


def describe_environment() -> Environment:
    """The revision, the machine and the packages, for a result."""
    return Environment(
        revision=git_revision(), machine=describe_machine(), packages=package_versions()
    )


def describe_machine() -> dict[str, str | int]:
    """System, processor, cores and Python; nothing that identifies the owner."""
    return {
        "system": platform.platform(),
        "processor": _processor(),
        "cores": cpu_count() or 1,
        "python": platform.python_version(),
    }


def package_versions(names: Iterable[str] = PACKAGES) -> dict[str, str]:
    """The versions of packages that may affect figures; those not installed are omitted."""
    versions = {"bogv": bogv.__version__}
    for name in names:
        try:
            versions[name] = version(name)
        except PackageNotFoundError:
            continue
    return versions


def embedding_packages() -> dict[str, str]:
    """The versions on which embeddings depend."""
    return package_versions(EMBEDDING_PACKAGES)


@cache
def git_revision() -> str | None:
    """The git revision; None without git. Where tracked files differ from it, `-dirty-` and a hash
    of the differences follow, so that two states of a changed tree are told apart.

    Asked once: a process runs what it imported, whatever is edited meanwhile.
    """
    if not (ROOT / ".git").exists() or not (revision := _git("rev-parse", "HEAD").decode().strip()):
        return None
    changes = _git("diff", "HEAD", "--no-ext-diff", "--binary")
    return f"{revision}-dirty-{hashlib.sha256(changes).hexdigest()[:8]}" if changes else revision


def _git(*arguments: str) -> bytes:
    """What git prints about the checkout; nothing where it fails or isn't there."""
    git = shutil.which("git")
    if git is None:
        return b""
    command = [git, *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, check=False).stdout  # noqa: S603


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text("utf-8").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()

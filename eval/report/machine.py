"""The environment of a result: the machine, the packages, the revision."""

from __future__ import annotations

import platform
import shutil
import subprocess
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


def package_versions() -> dict[str, str]:
    """The versions of packages that may affect figures; those not installed are omitted."""
    versions = {"bogv": bogv.__version__}
    for name in PACKAGES:
        try:
            versions[name] = version(name)
        except PackageNotFoundError:
            continue
    return versions


def git_revision() -> str | None:
    """The git revision, with -dirty behind it where files differ from it; None without git."""
    git = shutil.which("git")
    if git is None or not (ROOT / ".git").exists():
        return None
    command = [git, "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)  # noqa: S603
    return done.stdout.strip() or None


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text("utf-8").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()

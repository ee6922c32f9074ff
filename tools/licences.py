"""Write the table of docs/licences.md: each package of requirements.txt, its versions and licence.

    python tools/licences.py

A licence comes from the installed package's metadata. For a package that isn't installed, because
it is for other systems or versions of Python, the page keeps the licence that was entered by hand.
"""

from __future__ import annotations

import re
from importlib.metadata import PackageNotFoundError, metadata
from pathlib import Path

ROOT = Path(__file__).parents[1]
LOCK = ROOT / "requirements.txt"
PAGE = ROOT / "docs" / "licences.md"
HEAD = "| package | version | licence |\n|---|---|---|\n"  # the text above it is written by hand
NOT_STATED = "not stated in its metadata"


def pins(lock: str) -> dict[str, list[str]]:
    """The versions of each package of a locked requirements file, in its order."""
    versions: dict[str, list[str]] = {}
    for name, version in re.findall(r"^([\w.-]+)==(\S+)", lock, re.MULTILINE):
        versions.setdefault(name, []).append(version)
    return versions


def rows(page: str) -> dict[str, tuple[str, str]]:
    """Versions and licence of each package in the page's table."""
    lines = (line.strip("| ").split(" | ") for line in page.partition(HEAD)[2].splitlines())
    return {name: (versions, licence) for name, versions, licence in lines}


def installed_licence(name: str) -> str | None:
    """The installed package's licence: an SPDX expression, else the free text if it is a name and
    not the whole licence, else the classifiers. None if the package isn't installed."""
    try:
        found = metadata(name)
    except PackageNotFoundError:
        return None
    if "License-Expression" in found:
        return found["License-Expression"]
    text = found["License"].strip() if "License" in found else ""
    if text and "\n" not in text:
        return text.removeprefix("OSI Approved :: ")
    classifiers = found.get_all("Classifier") or []
    kinds = [each.rsplit(" :: ", 1)[-1] for each in classifiers if each.startswith("License ::")]
    return ", ".join(kinds) or NOT_STATED


def table(lock: str, page: str) -> str:
    """The rows for `lock`. Raises LookupError for a package whose licence is unknown."""
    known = rows(page)
    text = ""
    for name, versions in pins(lock).items():
        licence = installed_licence(name) or known.get(name, (None, None))[1]
        if licence is None:
            raise LookupError(f"{name} isn't installed: add its row to {PAGE.name} by hand")
        text += f"| {name} | {', '.join(versions)} | {licence} |\n"
    return text


if __name__ == "__main__":
    text = PAGE.read_text("utf-8")
    above = text.partition(HEAD)[0]
    PAGE.write_text(above + HEAD + table(LOCK.read_text("utf-8"), text), "utf-8")

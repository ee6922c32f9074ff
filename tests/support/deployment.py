"""compose.yaml and the Dockerfile, parsed."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[2]
COMPOSE_TEXT = (ROOT / "compose.yaml").read_text("utf-8")
COMPOSE: dict[str, Any] = yaml.safe_load(COMPOSE_TEXT)
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
DOCKERFILE = (ROOT / "Dockerfile").read_text("utf-8").replace("\\\n", " ")
VARIABLE = re.compile(r"\$\{(\w+)(:[-?+])?([^}]*)\}")  # name, operator, default, message or value


def instructions(name: str) -> list[str]:
    """The arguments of every instruction of that name in the Dockerfile, in order."""
    return re.findall(rf"^{name}\s+(.+)$", DOCKERFILE, re.MULTILINE)


def expanded(text: str, **given: str) -> str:
    """As compose reads it with an .env of `given` alone."""

    def value(found: re.Match[str]) -> str:
        name, operator, other = found.groups()
        if operator == ":+":
            return other if given.get(name) else ""
        return given.get(name) or (other if operator == ":-" else "")

    return VARIABLE.sub(value, text)

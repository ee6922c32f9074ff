"""What finds the results of a pool, as a text: `--pooling gem --size 448`, options of `run`."""

from __future__ import annotations

import shlex
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from bogv.config import Engine, Precision
from eval.embedding.settings import OWN_SETTINGS, EmbeddingSettings
from eval.errors import WorkbenchError
from eval.retrieval.search import Backend

OWN = "bogv's own"
"""The name of a setting without an option."""


class Setting(BaseModel):
    """The options of `run` that change what is found."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str = OWN
    """The text that it was given as."""
    weights: str = "auto"
    engine: Engine = "auto"
    precision: Precision = "auto"
    backend: Backend = "exact"
    embedding: EmbeddingSettings = OWN_SETTINGS


_DIRECT = ("weights", "engine", "precision", "backend")
_NAMES = (*_DIRECT, *EmbeddingSettings.model_fields)


def parse_setting(text: str, weights: str = "auto") -> Setting:
    """A setting of its text; '' is bogv's own. weights: where the text names none.

    Raises WorkbenchError for what is no such option, and for an invalid value.

    >>> parse_setting("--pooling gem --size=448").embedding.tag
    'gem-448'
    """
    given = _split(text)
    embedding: dict[str, Any] = {name: given[name] for name in given if name not in _DIRECT}
    if "scales" in embedding:
        embedding["scales"] = embedding["scales"].split(",")
    direct = {name: given[name] for name in given if name in _DIRECT}
    try:
        return Setting.model_validate(
            {
                "name": " ".join(text.split()) or OWN,
                "weights": weights,
                **direct,
                "embedding": embedding,
            }
        )
    except ValidationError as error:
        fault = error.errors()[0]
        option = next((str(part) for part in reversed(fault["loc"]) if part in _NAMES), "")
        message = fault["msg"].removeprefix("Value error, ")
        raise WorkbenchError(f"--setting {text!r}: {option}: {message}") from error


def _split(text: str) -> dict[str, str]:
    """The options' values by their names, as fields are named."""
    try:
        words = [
            part
            for word in shlex.split(text)
            for part in (word.split("=", 1) if word.startswith("--") else [word])
        ]
    except ValueError as error:  # a quote without its end
        raise WorkbenchError(f"--setting {text!r}: {error}.") from error
    names = [word.removeprefix("--").replace("-", "_") for word in words[::2]]
    if len(words) % 2 or not all(word.startswith("--") for word in words[::2]):
        raise WorkbenchError(f"--setting {text!r} must be options with their values: --size 448.")
    if unknown := [name for name in names if name not in _NAMES]:
        known = ", ".join(f"--{name.replace('_', '-')}" for name in _NAMES)
        raise WorkbenchError(f"--setting takes {known}, not --{unknown[0].replace('_', '-')}.")
    return dict(zip(names, words[1::2], strict=True))

"""Integers as they are sent: no fraction, no boolean, no `1_0`, all of which pydantic takes."""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import BeforeValidator
from pydantic_core import PydanticCustomError

_TEXT = re.compile(r"\s*[+-]?\d{1,30}\s*", re.ASCII)


def integer(value: object) -> int:
    """An integer, or the text of one. Raises ValueError."""
    if type(value) is int:
        return value
    if isinstance(value, str) and _TEXT.fullmatch(value):
        return int(value)
    raise PydanticCustomError("integer", "Input should be an integer")


Integer = Annotated[int, BeforeValidator(integer)]

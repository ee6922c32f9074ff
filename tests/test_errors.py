from __future__ import annotations

import re
from collections.abc import Iterator

from bogv import errors
from bogv.errors import BogvError

STATUSES = {400, 401, 403, 404, 413, 415, 422, 429, 500, 502, 503}


def below(kind: type[BogvError]) -> Iterator[type[BogvError]]:
    """A class and all its subclasses."""
    yield kind
    for each in kind.__subclasses__():
        yield from below(each)


def test_the_docstring_shows_the_class_hierarchy() -> None:
    drawn = re.findall(
        r"^[ │├└─]+(\w+) +([a-z0-9-]+) +(\d{3})$", errors.__doc__ or "", re.MULTILINE
    )
    assert drawn == [(kind.__name__, kind.type, str(kind.status)) for kind in below(BogvError)]


def test_each_error_has_a_unique_type_and_a_documented_status() -> None:
    kinds = list(below(BogvError))
    assert len({kind.type for kind in kinds}) == len(kinds)
    assert {kind.status for kind in kinds} <= STATUSES

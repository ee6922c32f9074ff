"""Relevance judgements of one's own gallery: pools of results, and a person's grades, as files.

    <BOGV_DATA_DIR>/judge/<name>/
        pool.json           queries and, for each, the images to judge, in a shuffled order
        thumbnails/<n>.webp of both
        judgements.qrels    query 0 image grade

`python -m eval judge` makes pools and scores their judgements. A pool does not say which setting
found an image, so that the judge can't know either.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Annotated, Final, Literal, NamedTuple, get_args
from urllib.parse import quote, unquote

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from bogv.errors import InvalidValue, NotFound, StorageUnavailable, reason
from bogv.files import atomic_write

POOL, QRELS, THUMBNAILS = "pool.json", "judgements.qrels", "thumbnails"

Grade = Literal[0, 1, 2]
NOT: Final = 0
PARTLY: Final = 1
RELEVANT: Final = 2


class Pair(NamedTuple):
    """A query and one of its results, by their ids."""

    query: str
    image: str


class PooledQuery(BaseModel):
    """A query, and the images to judge for it, in the order in which they are shown."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    query: str
    images: list[str] = Field(min_length=1)


class Pool(BaseModel):
    """What is to be judged: pool.json."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    schema_version: Literal[1] = 1
    seed: int
    """Of the order of queries and images."""
    queries: list[PooledQuery] = Field(min_length=1)
    thumbnails: dict[str, Annotated[str, Field(pattern=r"^[0-9]+\.webp$")]]
    """The file of each query and image, by id."""

    @model_validator(mode="after")
    def _check_pairs(self) -> Pool:
        if len(set(self.pairs)) < len(self.pairs):
            raise ValueError("an image is to be judged twice for the same query")
        if missing := {name for pair in self.pairs for name in pair} - set(self.thumbnails):
            raise ValueError(f"there is no thumbnail of {min(missing)!r}")
        return self

    @cached_property
    def pairs(self) -> list[Pair]:
        """All pairs, query by query, in the order in which they are shown."""
        return [Pair(each.query, image) for each in self.queries for image in each.images]


class PoolFolder:
    """A pool and its judgements. Any number of threads and processes may judge at once."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def read_pool(self) -> Pool:
        """The pool. Raises NotFound; StorageUnavailable for one that can't be read."""
        try:
            return Pool.model_validate_json((self.path / POOL).read_bytes())
        except (FileNotFoundError, NotADirectoryError) as error:
            raise NotFound(f"There is no pool {self.path.name!r}.") from error
        except OSError as error:
            raise StorageUnavailable(f"{POOL} can't be read: {reason(error)}.") from error
        except ValidationError as error:
            fault = error.errors()[0]
            where = ".".join(map(str, fault["loc"])) or "the file"
            raise StorageUnavailable(f"{POOL} is damaged: {where}: {fault['msg']}.") from error

    def read_judgements(self) -> dict[Pair, Grade]:
        """The grade of each judged pair, the one judged last at the end.

        Where a file from elsewhere has a pair twice, its last line counts. Raises
        StorageUnavailable for a file that can't be read.
        """
        try:
            lines = (self.path / QRELS).read_text("ascii").splitlines()
        except FileNotFoundError:
            return {}
        except (OSError, UnicodeDecodeError) as error:
            raise StorageUnavailable(f"{QRELS} can't be read: {reason(error)}.") from error
        grades: dict[Pair, Grade] = {}
        for number, line in enumerate(lines, 1):
            pair, grade = _parse_line(line, number)
            grades.pop(pair, None)
            grades[pair] = grade
        return grades

    def judge(self, pair: Pair, grade: Grade) -> None:
        """Store a judgement, which replaces an earlier one of the pair.

        The file is replaced as a whole, so that a crash leaves either the old or the new one.
        Raises InvalidValue for another grade; StorageUnavailable.
        """
        if grade not in get_args(Grade):
            raise InvalidValue(f"A grade is 0, 1 or 2, not {grade!r}.")
        with self._locked():
            grades = self.read_judgements()
            grades.pop(pair, None)
            self._write({**grades, pair: grade})

    def undo(self) -> Pair | None:
        """Remove the last judgement, and return its pair; None if there is none.

        Raises StorageUnavailable.
        """
        with self._locked():
            grades = self.read_judgements()
            if not grades:
                return None
            pair, _ = grades.popitem()
            self._write(grades)
            return pair

    def _write(self, grades: Mapping[Pair, Grade]) -> None:
        lines = (
            f"{escape_id(pair.query)} 0 {escape_id(pair.image)} {grade}\n"
            for pair, grade in grades.items()
        )
        try:
            with (
                atomic_write(self.path / QRELS) as partial,
                partial.open("w", encoding="ascii", newline="\n") as file,
            ):
                file.writelines(lines)
                file.flush()
                os.fsync(file.fileno())  # a power failure must not leave an empty file
        except OSError as error:
            raise StorageUnavailable(f"{QRELS} can't be written: {reason(error)}.") from error

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """Hold a flock(2) on the folder, which the kernel releases however a process ends."""
        try:
            folder = os.open(self.path, os.O_RDONLY | os.O_DIRECTORY)
        except OSError as error:
            raise NotFound(f"There is no pool {self.path.name!r}.") from error
        try:
            fcntl.flock(folder, fcntl.LOCK_EX)
            yield
        finally:
            os.close(folder)


def list_pools(folder: Path) -> list[str]:
    """The names of the pools in a folder: those judged last first, then the others by name.

    Raises StorageUnavailable.
    """
    try:
        names = sorted(path.parent.name for path in folder.glob(f"*/{POOL}"))
        return sorted(names, key=lambda name: -_judged_at(folder / name))
    except OSError as error:
        raise StorageUnavailable(f"The pools can't be listed: {reason(error)}.") from error


def _judged_at(pool: Path) -> float:
    """Seconds since 1970; 0 for a pool without judgements."""
    qrels = pool / QRELS
    return qrels.stat().st_mtime if qrels.exists() else 0.0


def _parse_line(line: str, number: int) -> tuple[Pair, Grade]:
    fields = line.split()
    grade = next((each for each in get_args(Grade) if fields[3:] == [str(each)]), None)
    if grade is None:
        raise StorageUnavailable(
            f"{QRELS}, line {number}, is not `query 0 image grade` with a grade of 0, 1 or 2."
        )
    return Pair(unescape_id(fields[0]), unescape_id(fields[2])), grade


def escape_id(name: str) -> str:
    """An id without blanks, in ASCII: percent-encoded as in URLs (RFC 3986), of its UTF-8 bytes.

    TREC's formats separate fields by blanks.

    >>> escape_id("class 0/鞋 100%.jpg")
    'class%200/%E9%9E%8B%20100%25.jpg'
    """
    return quote(name, safe="/!$&'()*+,;=:@", errors="surrogateescape")


def unescape_id(name: str) -> str:
    """The id that `escape_id` escaped.

    >>> unescape_id("class%200/a.jpg")
    'class 0/a.jpg'
    """
    return unquote(name, errors="surrogateescape")

"""Paging through records, newest first. Milvus can't sort, so records are read in time windows."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from bogv.errors import InvalidValue
from bogv.records import Cursor, Record

MAX_ROWS = 16_384  # Milvus' limit on the rows that a query returns
_END = 2**63  # later than any time that the database can store
_MINUTE = 60_000  # ms
_TEXT_WINDOW = 1_000  # rows read at once when looking for text

Query = Callable[[str, int, str], list[Record]]
"""Returns records, in any order, for a filter, a limit and a consistency level."""


class Pager:
    """Lists one gallery in the order of `added_at`.

    These times are from the clocks of several machines, which may be wrong, as may this one's: rows
    with a time in the future are listed first, and no row is skipped. Thread-safe.
    """

    def __init__(self, query: Query) -> None:
        self._query = query
        self._latest = 0  # `added_at` of the newest row seen: a hint for the first window

    def note_added(self, added_at: int) -> None:
        """Update the hint after rows were added. added_at: milliseconds since 1970."""
        self._latest = max(self._latest, added_at)

    def newest(self, before: Cursor | None, size: int, text: str = "") -> list[Record]:
        """At most `size` records older than `before`, newest first, with `text` in key or filepath.

        Milvus can't search for substrings (2.3 supports only prefixes), so they are matched here,
        ignoring case: a rare text means reading every row.
        """
        found: list[Record] = []
        needle = text.casefold()
        for rows in self._windows(before, max(4 * size, _TEXT_WINDOW if text else 0)):
            matching = [row for row in rows if not needle or _contains(row, needle)]
            found += sorted(matching, key=lambda row: (-row.added_at, -row.id))
            if len(found) >= size:
                break
        return found[:size]

    def _windows(self, before: Cursor | None, limit: int) -> Iterator[list[Record]]:
        """All rows before the cursor in time windows, newest first, of at most `limit` rows each.

        Windows limit the rows read: Milvus Lite takes 0.16 ms for each row that it reads or counts.
        Rows of the same millisecond share a window, however many there are.
        """
        window = self._first_window(before)
        consistency = "Strong"  # first query only: later ones see at least the same rows
        hint_is_due = before is None
        while window.end > 0:
            max_rows = limit + 1 if window.is_divisible else MAX_ROWS
            rows = self._query(_filter(window, before), max_rows, consistency)
            consistency = "Session"
            if len(rows) > limit and window.is_divisible:
                window.shorten()
                continue
            if hint_is_due and rows:
                self._latest, hint_is_due = max(row.added_at for row in rows), False
            yield rows
            window.move_back(sparse=len(rows) < limit // 4)

    def _first_window(self, before: Cursor | None) -> _Window:
        if before is not None:
            end = before.added_at + 1
            return _Window(max(end - _MINUTE, 0), end)
        # Everything after the newest row seen, including rows with a time in the future.
        start = min(self._latest + 1, _END - 1) if self._latest else int(time.time() * 1000)
        return _Window(start, _END)


@dataclass
class _Window:
    """A time window from `start` (included) to `end` (excluded), milliseconds since 1970.

    Its length adapts to the density of rows: images are added in bursts with long gaps between.
    """

    start: int
    end: int
    _span: int = _MINUTE
    """The length of the next window."""
    _crowded: int = 0
    """The start of the last window that had too many rows; 0: there was none."""

    @property
    def is_divisible(self) -> bool:
        return self.end - self.start > 1

    def shorten(self) -> None:
        """Keep the newer part of a window with too many rows."""
        self._crowded = self.start
        if self.end == _END:  # the rows are near the start
            self.start = min(self.start + self._span, _END - 1)
            self._span *= 4
        else:
            self._span = max((self.end - self.start) // 4, 1)
            self.start = self.end - self._span

    def move_back(self, sparse: bool) -> None:
        """Move to the time before. sparse: the window had few rows, so the next may be longer."""
        if sparse and self.end < _END:
            self._span *= 4
        self.end = self.start
        if self.end > self._crowded > 0:
            self._span = min(self._span, max((self.end - self._crowded) // 2, 1))
        self.start = max(self.end - self._span, 0)


def _filter(window: _Window, before: Cursor | None) -> str:
    """A filter for the rows of a window that are older than the cursor."""
    terms = [f"added_at >= {window.start}"]
    if window.end < _END:
        terms.append(f"added_at < {window.end}")
    if before is not None:
        at, record_id = before.added_at, before.id
        terms.append(f"(added_at < {at} or (added_at == {at} and id < {record_id}))")
    return " and ".join(terms)


def _contains(record: Record, needle: str) -> bool:
    return needle in record.key.casefold() or needle in record.filepath.casefold()


def check_cursor(cursor: Cursor) -> None:
    """Raises InvalidValue for one that no page gave."""
    if not (0 <= cursor.added_at < 2**63 and 0 <= cursor.id < 2**63):
        raise InvalidValue("The cursor is invalid: pass the `next` of an earlier page.")

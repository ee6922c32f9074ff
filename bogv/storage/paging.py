"""Pages of records, newest first, from a database that can't sort: windows of time, sorted here."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from bogv.records import Cursor, Record

MAX_ROWS = 16_384  # Milvus' own limit to what one query returns
_END = 2**63  # after every moment that the database can hold
_MINUTE = 60_000  # ms
_TEXT_WINDOW = 1_000  # rows read at once when looking for text

Query = Callable[[str, int, str], list[Record]]
"""Records, in any order, by a filter, a limit of rows and a consistency."""


class Pager:
    """Pages of one gallery, in the order of `added_at`.

    That is by the clocks of many machines, and neither theirs nor this one's is relied on: rows
    whose clock was ahead come first, and hide no others. Safe in threads.
    """

    def __init__(self, query: Query) -> None:
        self._query = query
        self._latest = 0  # `added_at` of the newest row seen: a hint where to look first

    def note_added(self, added_at: int) -> None:
        """Remember that a row was added. added_at: milliseconds since 1970."""
        self._latest = max(self._latest, added_at)

    def newest(self, before: Cursor | None, size: int, text: str = "") -> list[Record]:
        """At most `size` records older than `before`, newest first, with `text` in key or filepath.

        Milvus can't look for text everywhere (2.3 knows prefixes alone), so that is done here,
        case ignored: a rare text reads the key and filepath of every row.
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
        """All rows before the cursor, in windows of time, newest first, of at most `limit` rows.

        Windows, because Milvus Lite takes 0.16 ms for every row that it reads or counts. Rows of
        one millisecond share a window, however many they are.
        """
        window = self._first_window(before)
        consistency = "Strong"  # once: the next queries see what the first one saw
        hint_is_due = before is None
        while window.end > 0:
            most = limit + 1 if window.is_divisible else MAX_ROWS
            rows = self._query(_filter(window, before), most, consistency)
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
        # All after the newest row seen, also what a clock that is far ahead has written.
        start = min(self._latest + 1, _END - 1) if self._latest else int(time.time() * 1000)
        return _Window(start, _END)


@dataclass
class _Window:
    """The time from `start` until before `end`, milliseconds since 1970.

    Its length follows the density of rows: galleries fill in bursts with long gaps between them.
    """

    start: int
    end: int
    _span: int = _MINUTE
    """The length to be tried next."""
    _crowded: int = 0
    """After this moment are known to be more rows than a window may have; 0: not known."""

    @property
    def is_divisible(self) -> bool:
        return self.end - self.start > 1

    def shorten(self) -> None:
        """Keep the newer part: there are too many rows in the whole."""
        self._crowded = self.start
        if self.end == _END:  # then the rows are near the start
            self.start = min(self.start + self._span, _END - 1)
            self._span *= 4
        else:
            self._span = max((self.end - self.start) // 4, 1)
            self.start = self.end - self._span

    def move_back(self, sparse: bool) -> None:
        """Go on to the time before. sparse: there were few rows, so more may be read at once."""
        if sparse and self.end < _END:
            self._span *= 4
        self.end = self.start
        if self.end > self._crowded > 0:
            self._span = min(self._span, max((self.end - self._crowded) // 2, 1))
        self.start = max(self.end - self._span, 0)


def _filter(window: _Window, before: Cursor | None) -> str:
    """The rows of a window that are older than the cursor, in Milvus' filter language."""
    terms = [f"added_at >= {window.start}"]
    if window.end < _END:
        terms.append(f"added_at < {window.end}")
    if before is not None:
        at, record_id = before.added_at, before.id
        terms.append(f"(added_at < {at} or (added_at == {at} and id < {record_id}))")
    return " and ".join(terms)


def _contains(record: Record, needle: str) -> bool:
    return needle in record.key.casefold() or needle in record.filepath.casefold()

"""Records newest first, out of a database that can't sort: read in windows of time, sorted here."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

from bogv.records import Cursor, Record

MAX_ROWS = 16_384  # Milvus' own limit to what one query returns
_END = 2**63  # after every moment that the database can hold
_MINUTE = 60_000  # ms
_TEXT_WINDOW = 1_000  # rows read at once when looking for text

Query = Callable[[str, int, str], list[Record]]
"""Records, in any order, by a filter, a limit of rows and a consistency."""


class Pager:
    """Pages of one gallery, by the moments at which its rows say that they were added.

    Those are of the clocks of many machines, and no clock is relied on, here or there: rows that
    one wrote which was ahead come first, and hide no others. Safe in threads.
    """

    def __init__(self, query: Query) -> None:
        self._query = query
        self._latest = 0  # the newest row seen: where to look first, nothing more

    def added(self, moment: int) -> None:
        """Told of a row that was added: `moment` in milliseconds since 1970."""
        self._latest = max(self._latest, moment)

    def newest(self, before: Cursor | None, size: int, text: str = "") -> list[Record]:
        """At most `size` records older than `before`, newest first, with `text` in key or filepath.

        Milvus can't look for text everywhere (2.3 knows prefixes alone), so that is done here,
        case ignored: a rare text reads the key and filepath of every row.
        """
        found: list[Record] = []
        needle = text.casefold()
        for rows in self._windows(before, max(4 * size, _TEXT_WINDOW if text else 0)):
            matching = [row for row in rows if not needle or _mentions(row, needle)]
            found += sorted(matching, key=lambda row: (-row.added_at, -row.id))
            if len(found) >= size:
                break
        return found[:size]

    def _windows(self, before: Cursor | None, limit: int) -> Iterator[list[Record]]:
        """All rows before the cursor, in windows of time, newest first, of at most `limit` rows.

        Windows, because Milvus Lite takes 0.16 ms for every row that it reads or counts. Their
        length follows the density: galleries fill in bursts with long gaps between them. Nearly
        all rows have a millisecond of their own, so a window can always be made short enough.
        """
        span = _MINUTE
        if (
            before is None
        ):  # all that came after the newest row seen, if it were in a thousand years
            older, end = "", _END
            start = min(self._latest + 1, _END - 1) if self._latest else int(time.time() * 1000)
        else:
            at, record_id = before.added_at, before.id
            older = f"(added_at < {at} or (added_at == {at} and id < {record_id})) and "
            end, start = at + 1, max(at + 1 - span, 0)
        dense = 0  # from here to the end there are known to be more than `limit` rows
        first = before is None
        consistency = "Strong"  # once: what has been seen by one query is seen by the next
        while end > 0:
            upper = f" and added_at < {end}" if end < _END else ""
            most = limit + 1 if end - start > 1 else MAX_ROWS
            rows = self._query(f"{older}added_at >= {start}{upper}", most, consistency)
            consistency = "Session"
            if len(rows) > limit and end - start > 1:
                dense = start
                if end == _END:  # then the rows are near the start
                    start, span = min(start + span, _END - 1), 4 * span
                else:
                    span = max((end - start) // 4, 1)
                    start = end - span
                continue
            if first and rows:
                first, self._latest = False, max(row.added_at for row in rows)
            yield rows
            if end < _END and len(rows) < limit // 4:
                span *= 4
            end = start
            if end > dense > 0:
                span = min(span, max((end - dense) // 2, 1))
            start = max(end - span, 0)


def _mentions(record: Record, needle: str) -> bool:
    return needle in record.key.casefold() or needle in record.filepath.casefold()

"""Removes what killed processes have left behind."""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextlib import AbstractContextManager

from bogv.storage.milvus import ROWS_PER_CALL, MilvusStore
from bogv.storage.thumbnails import Thumbnails

log = logging.getLogger(__name__)


def sweep(
    store: MilvusStore,
    thumbnails: Thumbnails,
    write_lock: Callable[[], AbstractContextManager[None]],
    remove: Callable[[list[int]], None],
    min_age: float,
) -> int:
    """Remove hashes and thumbnails without rows, which killed processes have left behind.

    write_lock: excludes adds of this process between their two writes. remove: removes the hashes
    and thumbnails of ids. min_age: seconds; those of younger thumbnails are kept, because another
    server may be about to write their rows. Returns how many were kept. Only the ids in the intent
    logs of killed processes are looked up, not the whole gallery. Raises StorageUnavailable,
    DatabaseUnavailable.
    """
    all_kept = 0
    for abandoned in thumbnails.abandoned_logs():
        thumbnails.remove_partial_files(abandoned)
        kept = 0
        for start in range(0, len(abandoned.ids), ROWS_PER_CALL):
            ids = abandoned.ids[start : start + ROWS_PER_CALL]
            with write_lock():
                existing = {record.id for record in store.get(ids)}
                orphans = [each for each in ids if each not in existing]
                young = thumbnails.younger(orphans, min_age)
                remove([each for each in orphans if each not in young])
            kept += len(young)
        log.info("Swept after a crash: %d images looked up", len(abandoned.ids))
        if not kept:
            abandoned.path.unlink(missing_ok=True)
        all_kept += kept
    return all_kept

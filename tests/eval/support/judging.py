"""A labelled folder, and a script that judges by its labels."""

from __future__ import annotations

from pathlib import Path

from bogv.judgements import NOT, RELEVANT, Pair, PoolFolder
from tests.support.fakes import encoded, picture


def confusable(root: Path, classes: int = 5, size: int = 8) -> Path:
    """Folders of classes; every third image shows what another class shows."""
    for number in range(classes * size):
        label, shown = number % classes, (number + (number % 3 == 0)) % classes
        path = root / f"class {label}" / f"{number:02d}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(encoded(picture(shown), "JPEG", quality=95 - 2 * number))
    return root


def same_label(pair: Pair) -> bool:
    return pair.query.split("/")[0] == pair.image.split("/")[0]


def judge_by_labels(folder: Path, pairs: int | None = None) -> PoolFolder:
    """Judge a pool, or its first pairs, as the folders' names have it."""
    pool = PoolFolder(folder)
    for pair in pool.read_pool().pairs[:pairs]:
        pool.judge(pair, RELEVANT if same_label(pair) else NOT)
    return pool

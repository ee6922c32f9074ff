"""A labelled folder, and a script that judges by its labels."""

from __future__ import annotations

from pathlib import Path

from bogv.embedding.weights import UNTRAINED
from bogv.judgements import NOT, RELEVANT, Pair, PoolFolder
from eval.judging.pooling import PooledSetting
from eval.judging.result import Judged, ScoredSetting, SettingComparison
from eval.judging.scoring import METRICS
from eval.report.results import Mean, weights_part
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


def judged_result(complete: bool = False) -> Judged:
    """A result of two settings; unless it is complete, with something to warn of."""
    names = [f"{metric}@{k}" for metric in METRICS for k in (1, 2)]
    settings = [
        PooledSetting(label="A", name="own", weights=weights_part(UNTRAINED, "feed")),
        PooledSetting(label="B", name="--crop pad", weights=weights_part("custom", "beef")),
    ]
    if complete:
        settings[0] = settings[0].model_copy(update={"weights": settings[1].weights})
    missing = 0 if complete else 3
    return Judged(
        command="python -m eval judge score mine",
        n=5,
        seed=0,
        metrics={
            f"{name}/{label}": Mean(value=value, ci95=(0.1, 0.5), units=5, method="bootstrap-t")
            for name in names
            for label, value in (("A", 0.25), ("B", 0.15))
        },
        revision=None,
        machine={"cores": 2},
        packages={"bogv": "1"},
        seconds={},
        pool="mine",
        dataset="folder",
        k=[1, 2],
        depth=2,
        queries=5 + missing,
        pairs=9 + missing,
        grades={"relevant": 4, "partly": 3, "not": 2},
        foreign=missing,
        without_relevant=missing,
        settings=[
            ScoredSetting(
                setting=each,
                bounds=dict.fromkeys(names, (0.25, 0.4)),
                unjudged={"1": 0, "2": missing if each.label == "B" else 0},
            )
            for each in settings
        ],
        comparisons=[
            SettingComparison(
                a="A",
                b="B",
                metric="precision@2",
                difference=-0.1,
                ci95=(-0.2, 0.0),
                p=0.25,
                detectable=0.2,
            )
        ],
    )

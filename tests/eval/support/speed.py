"""Results of `speed`, made up."""

from __future__ import annotations

from bogv.embedding.embedder import Embedder
from eval.report.results import weights_part
from eval.speed.result import (
    BulkAdd,
    Goal,
    Line,
    PrecisionPart,
    Sample,
    Speed,
    Stages,
    make_line,
)
from eval.speed.setting import Setting
from tests.support.fakes import fake_embedder


class FakeSetting(Setting):
    """With an embedder in no time."""

    def embedder(self) -> Embedder:
        return fake_embedder(self.weights.fingerprint)


def rounds(*values: float, others: float | None = 0.01) -> list[Sample]:
    """The figures of some rounds."""
    return [Sample(value, others) for value in values]


UNMEASURED = make_line("memory", "MB", [], goal=Goal(of="bogv", at_most=5))


def made(weights: str = "untrained", others: float | None = 0.01, *more: Line) -> Speed:
    stages = {"read and MD5": 0.5, "decode and resize": 4.0, "thumbnail": -0.1, "embed": 12.0}
    lines = [
        make_line(
            "adding",
            "images/s",
            rounds(80, 82, 78, others=others),
            baseline=rounds(10, 10, 10),
            goal=Goal(of="ratio", at_least=7),
        ),
        make_line("overhead", "ms", rounds(6.5), goal=Goal(of="bogv", at_most=5)),
        *more,
    ]
    return Speed(
        weights=weights_part(weights, "abc"),
        command="python -m eval speed",
        n=8,
        seed=0,
        metrics={
            "search_p50_ms@c1": {"value": 20.25, "ci95": (19.5, 21)},
            "search_p99_ms@c1": {"value": 31.5, "ci95": (27, 44)},
        },
        revision=None,
        machine={"processor": "abacus", "cores": 2},
        packages={},
        seconds={},
        engine="openvino cpu bf16",
        precision="auto",
        images="samples",
        large=2,
        gallery=10_000,
        searches=4,
        soak=5,
        rounds=3,
        cores=2,
        others=others,
        adds=[BulkAdd(what="640 × 480", images=8, batches=1, rates=[80, 82, 78], fill_share=0.07)],
        precisions=[
            PrecisionPart(
                precision="fp32",
                missing=None,
                engine="openvino cpu f32",
                rate=20,
                rates=(19, 22),
                single_ms=55.5,
                cosine_mean=1,
                cosine_min=1,
                others=0.02,
            ),
            PrecisionPart(precision="int8", missing="There is no int8 model of these weights yet"),
        ],
        stages=[Stages(what="640 × 480", images=8, cpu_ms=stages, bound=122)],
        lines=lines,
    )

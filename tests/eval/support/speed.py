"""Results of `speed`, made up."""

from __future__ import annotations

from bogv.embedding.embedder import Embedder
from eval.report.results import weights_part
from eval.speed.result import Goal, Speed, Stages, make_line
from eval.speed.setting import Setting
from tests.support.fakes import fake_embedder


class FakeSetting(Setting):
    """With an embedder in no time."""

    def embedder(self) -> Embedder:
        return fake_embedder(self.weights.fingerprint)


def made(weights: str = "untrained", others: float | None = 0.01) -> Speed:
    stages = {"read and MD5": 0.5, "decode and resize": 4.0, "thumbnail": -0.1, "embed": 12.0}
    lines = [
        make_line("adding", "images/s", 80, baseline=10, goal=Goal(of="ratio", at_least=7)),
        make_line("overhead", "ms", 6.5, goal=Goal(of="bogv", at_most=5)),
        make_line("memory", "MB", None, goal=Goal(of="bogv", at_most=5)),
    ]
    return Speed(
        weights=weights_part(weights, "abc"),
        command="python -m eval speed",
        n=8,
        seed=0,
        metrics={},
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
        cores=2,
        others=others,
        stages=[Stages(what="640 × 480", images=8, cpu_ms=stages, bound=122)],
        lines=lines,
    )

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import numpy as np

from bogv.embedding.weights import DIMENSION, resolve
from eval.speed.baseline import Baseline
from tests.support.fakes import encoded, picture


def test_the_usual_way_finds_an_image_that_it_added(tmp_path: Path) -> None:
    paths = []
    for seed in range(3):
        paths.append(tmp_path / f"{seed}.jpg")
        paths[-1].write_bytes(encoded(picture(seed), "JPEG"))
    rows = np.random.default_rng(0).random((700, DIMENSION), np.float32)
    with closing(Baseline(resolve("untrained"), tmp_path / "gallery")) as usual:
        for path in paths:
            usual.add(path)
        usual.fill(rows)
        found = usual.search(paths[1].read_bytes(), limit=4)
        assert len(found) == 4
        assert found[0]["entity"]["filepath"] == str(paths[1])
        assert found[0]["distance"] > 1 - 1e-5
    assert len(list((tmp_path / "gallery").glob("*.webp"))) == 3

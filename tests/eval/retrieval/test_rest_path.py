from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from eval.data.datasets import Dataset
from eval.data.items import Item
from eval.embedding.embed import Embedded
from eval.errors import WorkbenchError
from eval.retrieval.rest_path import rank_over_rest
from eval.retrieval.search import rank_exactly
from tests.eval.support.retrieval import DECODER
from tests.support.fakes import encoded, fake_embedder, picture


def test_the_service_ranks_as_exact_search_does(dataset: Dataset, embedded: Embedded) -> None:
    alike = list(rank_over_rest(dataset, fake_embedder(), DECODER, progress=False))
    for found, expected in zip(alike, rank_exactly(dataset, embedded.vectors), strict=True):
        assert found.query == expected.query
        assert set(found.found.tolist()) == set(range(16))
        assert np.allclose(found.scores, expected.scores, atol=1e-5)


def test_images_of_the_same_bytes_stay_as_many_as_they_are(dataset: Dataset) -> None:
    data = encoded(picture(7))
    items = [*dataset.items[:4], *(Item(f"x{n}", "twin", lambda: data) for n in range(3))]
    twins = replace(dataset, items=items, queries=[6], gallery=list(range(7)))
    [found] = rank_over_rest(twins, fake_embedder(), DECODER, progress=False)
    assert sorted(found.found.tolist()) == list(range(7))
    assert set(found.found[:3].tolist()) == {4, 5, 6}


def test_the_settings_of_this_machine_do_not_touch_the_service(
    dataset: Dataset, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("TOKEN", "secret")
    monkeypatch.setenv("BOGV_DATA_DIR", str(tmp_path / "mine"))
    monkeypatch.setenv("MILVUS_HOST", "203.0.113.1")
    asked = replace(dataset, queries=[0])
    assert len(list(rank_over_rest(asked, fake_embedder(), DECODER, progress=False))) == 1
    assert not (tmp_path / "mine").exists()


@pytest.mark.parametrize(
    ("index", "message"),
    [(3, "refuses the image '0003': .*no image"), (0, "refuses the query '0000': .*no image")],
)
def test_an_image_that_the_service_refuses_is_named(
    dataset: Dataset, index: int, message: str
) -> None:
    items = list(dataset.items)
    items[index] = replace(items[index], read=lambda: b"no image")
    broken = replace(dataset, items=items, queries=[0], gallery=[1, 2, 3])
    with pytest.raises(WorkbenchError, match=message):
        list(rank_over_rest(broken, fake_embedder(), DECODER, progress=False))

from __future__ import annotations

from pathlib import Path

import pytest

from bogv.errors import WeightsUnavailable
from eval.embedding.settings import EmbeddingSettings
from eval.sweep import loading
from tests.eval.support.sweep import fake_networks, make_loading


def test_a_network_is_loaded_once_for_settings_that_share_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake_networks(monkeypatch)
    load = make_loading(tmp_path).embedder
    own = load("auto", EmbeddingSettings())
    assert load("auto", EmbeddingSettings(crop="pad", post="pca:8")) is own
    assert load("auto", EmbeddingSettings(pooling="gem")) is not own
    assert load("fp32", EmbeddingSettings()) is not own


def test_no_more_than_a_few_networks_are_kept() -> None:
    assert loading._load.cache_parameters()["maxsize"] == loading.KEPT


def test_int8_without_its_model_says_how_to_make_it(tmp_path: Path) -> None:
    with pytest.raises(WeightsUnavailable, match="python -m bogv quantize"):
        make_loading(tmp_path).embedder("int8", EmbeddingSettings())

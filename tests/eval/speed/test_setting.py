from __future__ import annotations

from dataclasses import replace

import pytest

from bogv.config import Settings
from bogv.embedding.weights import Weights
from eval.speed.setting import Setting


def test_a_server_has_the_same_settings_and_nothing_else_of_the_users(
    setting: Setting, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MILVUS_HOST", "example.com")
    monkeypatch.setenv("BOGV_ENGINE", "torch")
    monkeypatch.setenv("IMAGE_INC_PATH", "/photos")
    for name, value in setting.environment.items():
        monkeypatch.setenv(name, value)
    settings = Settings()
    assert settings.milvus_host is None
    assert settings.image_inc_path is None
    assert (settings.engine, settings.precision, settings.weights) == ("auto", "auto", "w.pth")
    assert (settings.max_upload, settings.max_pixels) == (10**6, 10**7)
    untrained = replace(setting, weights=Weights("untrained", None, "f"))
    assert untrained.environment["BOGV_WEIGHTS"] == "untrained"

from __future__ import annotations

from eval.embedding.settings import OWN_SETTINGS
from eval.sweep.settings import SweptSettings, short_rerank


def test_a_setting_is_called_by_what_differs_from_bogvs_own() -> None:
    assert SweptSettings().title == "default"
    assert SweptSettings(pooling="gem", size=448, precision="fp32").title == "gem, 448 px, fp32"
    several = SweptSettings(scales=(1, 0.7071), crop="pad", tta="flip", post="pca:8")
    assert several.title == "scales 0.7071, 1, pad, flip, pca:8"
    assert SweptSettings(post="pca:8", fit_on="digits").title == "pca:8, fitted on digits"
    assert SweptSettings(pooling="gem", name="mine").title == "mine"


def test_a_re_ranking_is_named_with_the_parameters_that_were_changed() -> None:
    assert short_rerank("none") == "none"
    assert short_rerank("aqe:n=10,alpha=3") == "aqe"
    assert SweptSettings(rerank="kreciprocal:lambda=0.5").title == "kreciprocal:lambda=0.5"


def test_a_view_is_the_same_for_settings_that_embed_alike() -> None:
    own = SweptSettings()
    assert own.view == SweptSettings(post="pca:8", rerank="dba", name="mine").view
    assert (
        len({s.view for s in (own, SweptSettings(tta="flip"), SweptSettings(precision="fp32"))})
        == 3
    )


def test_a_run_gets_all_but_precision_and_name() -> None:
    assert SweptSettings(precision="fp32", name="mine").embedding == OWN_SETTINGS
    assert SweptSettings(crop="pad").embedding.crop == "pad"


def test_the_values_that_differ_are_named() -> None:
    changed = SweptSettings(crop="pad", precision="fp32", name="mine").changed(SweptSettings())
    assert changed == ["crop", "precision"]

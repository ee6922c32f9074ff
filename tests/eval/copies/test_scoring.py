"""Figures from tables made by hand."""

from __future__ import annotations

from typing import Any

import pandas as pd
import pytest

from eval.copies.scoring import operating_curve, score
from eval.copies.tables import summarise_searches
from tests.eval.support.copies import table


def search(number: int, edit: str, **more: Any) -> dict[str, Any]:
    return {"query": f"{number} ({edit})", "source": str(number), "edit": edit, **more}


@pytest.fixture
def pairs() -> pd.DataFrame:
    """Of four photos, a crop: two found as parts, one of them by hash; with the original taken
    out, one is said to be a part of another thing, one of a thing with its label."""
    found = {"right": True, "there": True}
    absent = {"there": False}
    return table(
        search(0, "crop", **found, kind="copy", hash=240.0, network=0.9, all=4.9),
        search(1, "crop", **found, kind="part", geometry=30.0, network=0.3, all=2.7),
        search(2, "crop", **found, network=0.2, all=0.2),
        search(3, "crop", there=True, network=0.4, all=0.4),
        search(0, "crop", **absent, network=0.5, all=0.5),
        search(1, "crop", **absent, kind="part", geometry=11.0, network=0.6, all=2.5),
        search(2, "crop", **absent, kind="part", excused=True, network=0.99, all=2.9),
        search(3, "none", **found, kind="exact", hash=257.0, network=1.0, all=6.0),
        search(3, "none", **absent, network=0.1, all=0.1),
    )


def test_figures_are_of_edits_with_their_original_and_of_searches_without(
    pairs: pd.DataFrame,
) -> None:
    means = score(pairs, summarise_searches(pairs), seed=0)
    values = {name: mean.value for name, mean in means.items()}
    assert (values["recall_copy"], values["recall_part"]) == (0.25, 0.5)
    assert values["recall_part/crop"] == values["recall_part/crop:50"] == 0.5
    assert values["recall_copy/none"] == 1
    assert values["recall_part/candidates"] == pytest.approx(2 / 3)
    assert (values["false_copy"], values["false_part"]) == (0, 0.25)
    assert values["false_part_any_label"] == 0.5
    assert means["false_part"].units == 4


def test_the_control_and_excused_images_are_in_no_ranked_list(pairs: pd.DataFrame) -> None:
    values = {k: v.value for k, v in score(pairs, summarise_searches(pairs), seed=0).items()}
    assert values["hash:micro_ap"] == values["hash:recall@p99"] == 0.25
    assert values["all:recall@p99"] == 0.5  # before the false part
    assert values["network:recall@p99"] == 0.25
    assert values["gain:recall@p99"] == 0.25
    assert values["all:recall@p99/crop:50"] == 0.5


def test_the_roc_curve_counts_searches(pairs: pd.DataFrame) -> None:
    false, found = operating_curve(pairs, summarise_searches(pairs), "all")
    steps = list(zip(false.tolist(), found.tolist(), strict=True))
    assert steps[:3] == [(0, 0.25), (0, 0.5), (0.25, 0.5)]
    assert steps[-1] == (0.75, 0.75)

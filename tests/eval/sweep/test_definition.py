from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from eval.errors import WorkbenchError
from eval.sweep import definition
from eval.sweep.definition import make_definition, plan_settings, read_definition

ONE = {"datasets": [{"id": "clothing"}]}


def titles(**more: Any) -> list[str]:
    settings, _ = plan_settings(make_definition({**ONE, **more}, "test"))
    return [each.title for each in settings]


def test_the_committed_sweep_varies_each_setting_by_itself() -> None:
    found = read_definition(Path(definition.__file__).parent / "default.yaml")
    settings, left_out = plan_settings(found)
    assert [each.id for each in found.datasets] == ["clothing", "grocery"]
    assert not left_out
    assert settings[0].title == "default"
    assert all(len(each.changed(settings[0])) == 1 for each in settings[1:])
    varied = {name for each in settings for name in each.changed(settings[0])}
    assert varied == set(settings[0].values()) - {"fit_on", "backbone"}


def test_changes_are_made_one_at_a_time_around_the_baseline() -> None:
    values = {"pooling": ["gap", "gem"], "size": [224, 448]}
    assert titles(settings=values) == ["default", "gem", "448 px"]
    around = titles(settings=values, baseline={"crop": "pad"})
    assert around == ["pad", "gem, pad", "448 px, pad"]


def test_a_grid_has_all_combinations_once() -> None:
    values = {"pooling": ["gap", "gem"], "size": [224, 448], "post": ["none", "none", "pca:8"]}
    found = titles(settings=values, design="grid")
    assert len(found) == len(set(found)) == 8
    assert found[0] == "default"


def test_combinations_that_no_run_can_have_are_left_out_with_the_reason() -> None:
    values = {"size": [224, 448], "scales": [[1], [0.7071, 1, 1.4142]]}
    settings, left_out = plan_settings(
        make_definition({**ONE, "settings": values, "design": "grid"}, "test")
    )
    assert len(settings) == 3
    [combination] = left_out
    assert combination.name == "448 px, scales 0.7071, 1, 1.4142"
    assert "at 448 px, the scales give inputs of" in combination.reason


def test_a_list_of_settings_has_names_and_the_baseline_first() -> None:
    settings = [{"pooling": "gem"}, {"name": "ours"}, {"name": "large", "size": 448}]
    assert titles(settings=settings) == ["ours", "gem", "large"]
    assert titles(settings=settings, baseline={"size": 448}) == ["large", "gem", "ours"]


@pytest.mark.parametrize(
    ("values", "fault"),
    [
        ({"settings": {"pooling": ["gm"]}}, "settings.values.pooling.0: Input should be 'gap'"),
        ({"settings": {"poolng": ["gap"]}}, "settings.values.poolng: Extra inputs"),
        ({"settings": {}}, "name at least one value"),
        ({"settings": {"rerank": ["aq"]}}, "there is no re-ranking 'aq'"),
        ({"settings": [{"size": 100}]}, "settings.list.0.size"),
        ({"settings": [{}], "design": "grid"}, "a list of settings has none"),
        ({"settings": [{}], "seeds": []}, "seeds: "),
        ({"settings": [{}], "datasets": []}, "datasets: "),
        ({"settings": [{}], "datasets": [{"id": "a", "limit": 1}]}, "datasets.0.limit: "),
        ({"settings": [{}], "datasets": [{"id": "a"}, {"id": "a"}]}, "each dataset once"),
        ({}, "settings: Field required"),
    ],
)
def test_a_fault_is_named_with_its_place(values: dict[str, Any], fault: str) -> None:
    with pytest.raises(WorkbenchError, match=r"^mine\.yaml: ") as error:
        make_definition({**ONE, **values}, "mine.yaml")
    assert fault in str(error.value)


def test_another_network_is_not_swept() -> None:
    settings = [{}, {"backbone": "torchvision:resnet18"}]
    with pytest.raises(WorkbenchError, match="run torchvision:resnet18 by `run`"):
        make_definition({**ONE, "settings": settings}, "mine.yaml")


@pytest.mark.parametrize("text", ["datasets: [", "- 1", "", "datasets: \x00"])
def test_a_file_that_is_no_definition_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(text)
    with pytest.raises(WorkbenchError, match=r"mine\.yaml"):
        read_definition(path)
    with pytest.raises(WorkbenchError, match="can't be read"):
        read_definition(tmp_path / "none.yaml")


def test_different_settings_of_one_name_are_refused() -> None:
    settings = [{"name": "a", "size": 448}, {"name": "a", "crop": "pad"}]
    with pytest.raises(WorkbenchError, match="have one name: a"):
        titles(settings=settings)

from __future__ import annotations

import doctest

import pytest

from eval.errors import WorkbenchError
from eval.judging import setting
from eval.judging.setting import OWN, parse_setting


def test_the_examples_hold() -> None:
    failed, tried = doctest.testmod(setting)
    assert (failed, tried > 0) == (0, True)


def test_an_empty_text_is_bogvs_own() -> None:
    found = parse_setting(" ", weights="untrained")
    assert (found.name, found.weights, found.backend) == (OWN, "untrained", "exact")
    assert found.embedding.is_own


def test_options_of_run_are_read() -> None:
    text = "--weights '/my weights.pth' --backend=milvus --scales 0.7071,1 --post pca:8  --tta flip"
    found = parse_setting(text, weights="auto")
    assert (found.weights, found.backend) == ("/my weights.pth", "milvus")
    assert found.embedding.scales == (0.7071, 1.0)
    assert found.embedding.tag == "x0.7071-x1-flip-pca8"
    assert found.name.endswith("--post pca:8 --tta flip")
    assert parse_setting("--rerank aqe:n=5").embedding.rerank == "aqe:n=5,alpha=3"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("--size", "options with their values"),
        ("size 448", "options with their values"),
        ("--k 5", "not --k"),
        ("--backend flat", "backend: "),
        ("--scales x", "scales: "),
        ("--post pca", "post: "),
        ("--rerank qe", "rerank: "),
        ("--crop 'pad", "quotation"),
    ],
)
def test_what_is_no_setting_is_one_clear_error(text: str, message: str) -> None:
    with pytest.raises(WorkbenchError, match=message):
        parse_setting(text)

from __future__ import annotations

import pytest
from pydantic import ValidationError

from eval.embedding.settings import EmbeddingSettings
from eval.rerank.setting import Diffusion, KReciprocal, parse_rerank


@pytest.mark.parametrize(
    ("text", "complete"),
    [
        ("aqe", "aqe:n=10,alpha=3"),
        ("aqe:alpha=0.5,n=0", "aqe:n=0,alpha=0.5"),
        ("dba:n=3", "dba:n=3"),
        ("kreciprocal:lambda=0.1", "kreciprocal:k1=20,k2=6,lambda=0.1"),
        ("diffusion", "diffusion:k=50,kq=10,alpha=0.99,gamma=3,top=1000,iterations=20"),
    ],
)
def test_a_method_is_completed_with_its_defaults(text: str, complete: str) -> None:
    method = parse_rerank(text)
    assert method is not None
    assert method.text == complete
    assert parse_rerank(complete) == method
    assert EmbeddingSettings(rerank=text).rerank == complete


def test_none_is_no_method() -> None:
    assert parse_rerank("none") is None
    assert EmbeddingSettings(rerank="none") == EmbeddingSettings()


def test_values_are_numbers_of_their_parameters() -> None:
    method = parse_rerank("kreciprocal:k1=7,k2=1,lambda=1")
    assert isinstance(method, KReciprocal)
    assert (method.k1, method.k2, method.weight) == (7, 1, 1.0)
    other = parse_rerank("diffusion:top=5,gamma=0")
    assert isinstance(other, Diffusion)
    assert (other.top, other.gamma) == (5, 0.0)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "there are none, aqe, dba, kreciprocal, diffusion"),
        ("AQE", "there is no re-ranking 'AQE'"),
        ("aqe:", "not permitted"),
        ("aqe:n", "n: Input should be a valid integer"),
        ("aqe:n=-1", "greater than or equal to 0"),
        ("aqe:n=1.5", "n: Input should be a valid integer"),
        ("aqe:n=1,n=2", "a parameter twice"),
        ("aqe:alpha=nan", "alpha: Input should be a finite number"),
        ("dba:alpha=3", "alpha: Extra inputs are not permitted. Its parameters, with their"),
        ("kreciprocal:lambda=2", "lambda: Input should be less than or equal to 1"),
        ("kreciprocal:k1=0", "k1: Input should be greater than or equal to 1"),
        ("diffusion:alpha=1", "alpha: Input should be less than 1"),
    ],
)
def test_what_means_nothing_is_one_clear_error(text: str, reason: str) -> None:
    with pytest.raises(ValueError, match=reason) as raised:
        parse_rerank(text)
    assert "\n" not in str(raised.value)
    with pytest.raises(ValidationError):
        EmbeddingSettings(rerank=text)

"""Fixtures that several files here use."""

from __future__ import annotations

import pytest

from eval.ann import measure as measuring
from eval.ann.measure import measure
from eval.ann.result import Ann
from tests.eval.support.ann import CELLS, FLAT, here, options, source


@pytest.fixture(scope="package")
def found() -> Ann:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(measuring, "run_in_process", here)
        return measure(source(), options(FLAT, CELLS))

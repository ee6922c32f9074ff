"""Fixtures that several files here use."""

from __future__ import annotations

import numpy as np
import pytest

from bogv.imaging.decode import network_input
from bogv.records import Pixels
from tests.support.fakes import picture


@pytest.fixture(scope="module")
def pixels() -> Pixels:
    return np.stack([network_input(picture(seed)) for seed in range(3)])

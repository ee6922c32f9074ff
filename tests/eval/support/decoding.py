"""A decoder whose code was changed."""

from __future__ import annotations

import pytest
from PIL import Image

from bogv.imaging import sandbox


def with_filter(monkeypatch: pytest.MonkeyPatch, resampling: Image.Resampling) -> None:
    """Decoding processes that start from now on resize with another filter than they ask for."""
    change = (
        "from PIL import Image; resize = Image.Image.resize; Image.Image.resize = "
        "lambda image, size, resample=None, box=None, reducing_gap=None:"
        f" resize(image, size, {int(resampling)}, box); "
    )
    imports, path, rest = sandbox._WORKER_PROGRAM.split("; ", 2)
    monkeypatch.setattr(sandbox, "_WORKER_PROGRAM", f"{imports}; {path}; {change}{rest}")

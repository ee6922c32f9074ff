"""The settings that a sweep varies, and their names."""

from __future__ import annotations

from typing import Any

from pydantic import model_validator

from bogv.config import Precision
from eval.embedding.settings import OWN_BACKBONE, OWN_SETTINGS, EmbeddingSettings
from eval.rerank.setting import parse_rerank

DEFAULT = "default"
"""The name of bogv's own settings."""


class SweptSettings(EmbeddingSettings):
    """One setting of a sweep: what `run` can vary, with a name."""

    precision: Precision = "auto"
    name: str = ""
    """In tables and plots; empty: what differs from bogv's own."""

    @model_validator(mode="after")
    def _check_network(self) -> SweptSettings:
        if self.backbone != OWN_BACKBONE:
            raise ValueError(f"a sweep varies bogv's own network; run {self.backbone} by `run`.")
        return self

    @property
    def title(self) -> str:
        """The name, else one made of what differs from bogv's own: `gem, 448 px, pca:128`."""
        return self.name or ", ".join(self._differences()) or DEFAULT

    @property
    def embedding(self) -> EmbeddingSettings:
        """Those of a run, which has the precision apart."""
        return EmbeddingSettings.model_validate(self.model_dump(exclude={"precision", "name"}))

    @property
    def view(self) -> str:
        """A name for all that the cost of embedding an image depends on."""
        steps = {"post": "none", "fit_on": "gallery", "rerank": "none", "name": ""}
        return self.model_copy(update=steps).model_dump_json()

    def values(self) -> dict[str, Any]:
        """All but the name."""
        return self.model_dump(exclude={"name"})

    def changed(self, other: SweptSettings) -> list[str]:
        """The names of the values in which it differs from another."""
        mine, theirs = self.values(), other.values()
        return [name for name in mine if mine[name] != theirs[name]]

    def _differences(self) -> list[str]:
        texts = {
            "pooling": self.pooling,
            "size": f"{self.size} px",
            "scales": f"scales {self._scales(', ')}",
            "crop": self.crop,
            "tta": self.tta,
            "post": self.post,
            "fit_on": f"fitted on {self.fit_on}",
            "rerank": short_rerank(self.rerank),
            "precision": self.precision,
        }
        own = {**OWN_SETTINGS.model_dump(), "precision": "auto"}
        return [texts[name] for name, value in self.values().items() if value != own[name]]


def short_rerank(text: str) -> str:
    """A re-ranking without the parameters that have their default.

    >>> short_rerank("aqe:n=5,alpha=3")
    'aqe:n=5'
    """
    method = parse_rerank(text)
    if method is None:
        return text
    own = type(method)().model_dump()
    given = [f"{k}={v:g}" for k, v in method.model_dump().items() if v != own[k]]
    return f"{method.name}:{','.join(given)}" if given else method.name

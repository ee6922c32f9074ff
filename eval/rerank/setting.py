"""The text of `--rerank`: `none`, or a method with its parameters, as `aqe:n=10,alpha=3`.

`eval.retrieval.rerank` has the methods, with their formulas and sources.
"""

from __future__ import annotations

from typing import Annotated, ClassVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from bogv.embedding.query_expansion import ALPHA

Number = Annotated[float, Field(ge=0, le=100, allow_inf_nan=False)]
Share = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]
Count = Annotated[int, Field(ge=0, le=10_000)]
AtLeastOne = Annotated[int, Field(ge=1, le=10_000)]


class Parameters(BaseModel):
    """The parameters of a method."""

    model_config = ConfigDict(extra="forbid", frozen=True, serialize_by_alias=True)
    name: ClassVar[str]

    @property
    def text(self) -> str:
        """The method with all of its parameters: `aqe:n=10,alpha=3`."""
        values = self.model_dump().items()
        return f"{self.name}:{','.join(f'{name}={value:g}' for name, value in values)}"


class AlphaQueryExpansion(Parameters):
    """Search again with the query and its nearest neighbours, weighted by cosine^alpha."""

    name: ClassVar[str] = "aqe"
    n: Count = 10
    """Neighbours."""
    alpha: Number = ALPHA


class DatabaseAugmentation(Parameters):
    """Each vector of the gallery is averaged with its nearest neighbours, weighted by rank."""

    name: ClassVar[str] = "dba"
    n: Count = 10
    """Neighbours."""


class KReciprocal(Parameters):
    """k-reciprocal encoding: neighbours in common, by a Jaccard distance."""

    name: ClassVar[str] = "kreciprocal"
    k1: AtLeastOne = 20
    """Neighbours that may be reciprocal."""
    k2: AtLeastOne = 6
    """Images, itself the first, whose encodings are averaged; 1: none is."""
    weight: Share = Field(default=0.3, alias="lambda")
    """Of the original distance in the final one."""


class Diffusion(Parameters):
    """Diffusion on the graph of mutual neighbours, truncated to the top of each ranking."""

    name: ClassVar[str] = "diffusion"
    k: Count = 50
    """Neighbours of an image in the graph."""
    kq: AtLeastOne = 10
    """Neighbours of the query where the diffusion begins."""
    alpha: Annotated[float, Field(ge=0, lt=1, allow_inf_nan=False)] = 0.99
    gamma: Number = 3.0
    """Exponent of the cosines."""
    top: AtLeastOne = 1000
    """Ranks that are ordered anew; what lies below stays."""
    iterations: AtLeastOne = 20
    """At most, of conjugate gradients."""


RerankMethod = AlphaQueryExpansion | DatabaseAugmentation | KReciprocal | Diffusion
_METHODS: dict[str, type[RerankMethod]] = {
    "aqe": AlphaQueryExpansion,
    "dba": DatabaseAugmentation,
    "kreciprocal": KReciprocal,
    "diffusion": Diffusion,
}


def parse_rerank(text: str) -> RerankMethod | None:
    """The method and its parameters; None for `none`. Raises ValueError, which says what's wrong.

    >>> parse_rerank("aqe:alpha=2").text
    'aqe:n=10,alpha=2'
    """
    if text == "none":
        return None
    name, colon, rest = text.partition(":")
    method = _METHODS.get(name)
    if method is None:
        raise ValueError(f"there is no re-ranking {text!r}; there are none, {', '.join(_METHODS)}.")
    given = [part.partition("=") for part in rest.split(",")] if colon else []
    values = {key: value for key, _, value in given}
    if len(values) != len(given):
        raise ValueError(f"{text!r} gives a parameter twice.")
    try:
        return method.model_validate(values)
    except ValidationError as error:
        fault = error.errors()[0]
        where = ".".join(str(part) for part in fault["loc"])
        takes = method().text
        raise ValueError(
            f"{text!r}: {where or 'the parameter'}: {fault['msg']}. Its parameters, with their"
            f" defaults: {takes}."
        ) from error


def _complete(text: str) -> str:
    method = parse_rerank(text)
    return "none" if method is None else method.text


Rerank = Annotated[str, AfterValidator(_complete)]
"""The setting as text, all parameters named."""

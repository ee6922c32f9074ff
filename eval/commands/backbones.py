"""Options of `run` for other networks than bogv's, and what can't be combined with them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from eval.backbones.load import load_backbone
from eval.embedding.backbone import Backbone
from eval.embedding.settings import OWN_BACKBONE, VECTORS
from eval.embedding.stored import StoredVectors
from eval.embedding.vector_file import read_vectors

BackboneOption = Annotated[
    str,
    typer.Option(
        help="bogv, or another network: torchvision:NAME, timm:NAME, open_clip:MODEL/PRETRAINED."
    ),
]
VectorsOption = Annotated[
    Path | None,
    typer.Option(help="Vectors of any other network: .parquet, .npz (ids, vectors) or .npy."),
]
VectorsIdsOption = Annotated[
    Path | None, typer.Option(help="For --vectors FILE.npy: a text file with an id a line.")
]


@dataclass(frozen=True)
class OtherNetwork:
    """What is compared with bogv's own network: a library's, or a file of vectors."""

    name: str
    """As the settings have it."""
    weights: str
    vectors: Path | None = None
    ids: Path | None = None

    @classmethod
    def of(
        cls, backbone: str, vectors: Path | None, ids: Path | None, given: dict[str, str]
    ) -> OtherNetwork | None:
        """None for bogv's own. given: --weights, --engine and --precision by their names.

        Raises typer.BadParameter where the options contradict each other.
        """
        if vectors is None and ids is not None:
            raise typer.BadParameter("--vectors-ids needs --vectors.")
        if vectors is not None:
            if backbone != OWN_BACKBONE:
                raise typer.BadParameter("--backbone and --vectors exclude each other.")
            _refuse(given, dict.fromkeys(given, ("auto",)), "--vectors: no network is run")
            return cls(VECTORS, given["weights"], vectors, ids)
        if backbone == VECTORS:
            raise typer.BadParameter("--backbone takes a network; name the file by --vectors.")
        if backbone == OWN_BACKBONE:
            return None
        possible = {"engine": ("auto", "torch"), "precision": ("auto", "fp32")}
        _refuse(given, possible, "--backbone: other networks than bogv's run on torch in fp32")
        return cls(backbone, given["weights"])

    def load(self) -> Backbone | StoredVectors:
        """Raises WorkbenchError."""
        if self.vectors is not None:
            return read_vectors(self.vectors, self.ids)
        return load_backbone(self.name, self.weights)


def _refuse(given: dict[str, str], possible: Mapping[str, Sequence[str]], why: str) -> None:
    for name, values in possible.items():
        if given[name] not in values:
            raise typer.BadParameter(f"--{name} {given[name]} can't be used with {why}.")

"""`list` and `fetch`."""

from __future__ import annotations

from typing import Annotated

import typer

from eval.commands.shared import Json, Root, print_json
from eval.data.catalogue import DatasetError, Spec, read_catalogue, root_of
from eval.data.fetch import fetch as fetch_dataset


def list_command(as_json: Json = False) -> None:
    """List the datasets that can be measured on, and which are here."""
    specs = read_catalogue()
    if as_json:
        print_json(
            [{**each.model_dump(by_alias=True), "here": _is_here(each)} for each in specs.values()]
        )
        return
    print(f"{'id':18} {'tier':6} {'kind':9} {'protocol':14} {'headline':13} {'images':>9}  here")
    for spec in specs.values():
        images = f"{spec.counts.images:,}" if spec.counts.images else "any"
        print(
            f"{spec.id:18} {spec.tier:6} {spec.kind:9} {spec.protocol:14} {spec.headline:13}"
            f" {images:>9}  {'yes' if _is_here(spec) else 'no'}"
        )


def fetch(
    dataset: Annotated[str, typer.Argument(help="Its id; `list` has them.")], root: Root = None
) -> None:
    """Download a dataset, check it and unpack it; or say where to get it and where to put it."""
    folder = fetch_dataset(dataset, root)
    print(folder or f"{dataset} needs no files.")


def _is_here(spec: Spec) -> bool:
    """Whether its folder exists; only loading it shows whether it is complete."""
    try:
        folder = root_of(spec)
    except DatasetError:
        return False
    return folder is None or folder.is_dir()

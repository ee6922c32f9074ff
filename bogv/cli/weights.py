"""The commands `quantize` and `weights`."""

from __future__ import annotations

import random
import sys
from pathlib import Path
from typing import Annotated

import typer
from tqdm import tqdm

from bogv.cli.results import Json, print_json
from bogv.config import read_settings
from bogv.embedding.inventory import take_inventory
from bogv.embedding.quantize import MIN_IMAGES
from bogv.embedding.quantize import quantize as make_int8
from bogv.embedding.weights import resolve
from bogv.errors import BogvError
from bogv.imaging.decoder import Decoder
from bogv.sources.folders import find_images
from bogv.sources.paths import read_file


def quantize(
    paths: Annotated[
        list[Path],
        typer.Argument(help="Calibration images, like those to search; folders are recursive."),
    ],
    images: Annotated[
        int, typer.Option(min=MIN_IMAGES, help="Maximum number of images to use.")
    ] = 300,
    seed: Annotated[int, typer.Option(min=0, help="Seed for sampling the images.")] = 0,
) -> None:
    """Make the int8 model: several times as fast on CPUs without bf16, slightly less accurate.

    Needs nncf. Its embeddings need a gallery of their own: see docs/configuration.md.
    """
    settings = read_settings()
    base = resolve(settings.weights, precision="fp32", models=settings.models_dir)
    files = find_images(paths)
    sample = random.Random(seed).sample(files, min(images, len(files)))  # noqa: S311
    decoder = Decoder(settings.max_upload, settings.max_pixels, settings.decode_seconds)
    pixels = []
    for path in tqdm(sample, "Reading", unit="image"):
        try:
            data = read_file(path, settings.max_upload)
            pixels.append(decoder.decode(data).pixels)
        except BogvError as error:
            print(f"  skipped: {path}: {error}", file=sys.stderr)
    model = make_int8(base, pixels, settings.cache_dir, settings.models_dir)
    print(
        f"{model.weights.int8}\n{model.weights.name}, fingerprint {model.weights.fingerprint}\n"
        f"cosine to full precision on held-out images: mean {model.cosine_mean:.5f},"
        f" minimum {model.cosine_min:.5f}\none image at a time: {model.speedup:.1f} times as fast"
        "\nSet BOGV_PRECISION=int8 and start a new gallery."
    )


def weights(
    fetch: Annotated[
        bool, typer.Option(help="Download them if there are none on this machine.")
    ] = True,
    as_json: Json = False,
) -> None:
    """Tell which ResNet50 weights are here; download and verify them if there are none.

    Exit status 1 if there are none in the end; then it says what to copy where.
    """
    settings = read_settings()
    inventory = take_inventory(settings.weights, settings.models_dir, fetch)
    if as_json:
        print_json(inventory.values)
    else:
        print("\n".join(inventory.lines))
    if inventory.used is None:
        raise typer.Exit(1)

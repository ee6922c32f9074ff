"""The command line: `python -m bogv --help`.

It belongs to the machine's owner: it reads any path, and its settings are the server's. With
Milvus Lite it can't run beside a server on the same data folder.
"""

from __future__ import annotations

import io
import json
import logging
import random
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer
from pydantic import ValidationError
from tqdm import tqdm

from bogv import logs
from bogv.bootstrap import open_search, serve
from bogv.config import Settings, read_settings
from bogv.embedding.quantize import LEAST
from bogv.embedding.quantize import quantize as make_int8
from bogv.embedding.weights import fetch, resolve
from bogv.errors import BogvError
from bogv.imaging.decoder import Decoder
from bogv.records import Added, Record
from bogv.service import ImageSearch
from bogv.sources.folders import KeyFrom, find_images, new_images
from bogv.sources.paths import read_file
from bogv.sources.samples import make_samples

app = typer.Typer(
    help="Search images by image. Settings come from the environment: see docs/configuration.md.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

Json = Annotated[bool, typer.Option("--json", help="Print JSON, for machines.")]


@app.command("serve")
def serve_command() -> None:
    """Serve the demo and the REST API until interrupted."""
    settings, listeners = _listen()
    serve(settings, open_search(settings), listeners)


@app.command()
def demo(
    images: Annotated[
        Path | None, typer.Option(help="Start with the images of this folder, not the samples.")
    ] = None,
) -> None:
    """Fill the gallery with sample images if it is empty, then serve."""
    settings, listeners = _listen()
    search = open_search(settings)
    try:
        if images is not None:
            found = find_images([images])
            _remove_below(search, settings.samples_dir)
            _add(search, found, "md5")
        elif search.stats().count == 0:
            _add(search, make_samples(settings.samples_dir), "stem")
    except BaseException:
        search.close()
        raise
    serve(settings, search, listeners)


@app.command()
def add(
    paths: Annotated[list[Path], typer.Argument(help="Images, and folders to walk.")],
    key_from: Annotated[KeyFrom, typer.Option(help="What each image's key is made from.")] = "md5",
    as_json: Json = False,
) -> None:
    """Add images. What is in already is passed over: run it again after an interruption.

    Exit status 1 if any image failed; the rest are added all the same.
    """
    with _gallery() as search:
        verdicts = _add(search, find_images(paths), key_from)
    failed = [added for added in verdicts if added.status == "failed"]
    counts = {
        status: sum(added.status == status for added in verdicts)
        for status in ("created", "updated", "unchanged", "failed")
    }
    if as_json:
        _print_json({**counts, "images": [_added_json(added) for added in verdicts]})
    else:
        print(", ".join(f"{count} {status}" for status, count in counts.items()))
        for added in failed:
            print(f"  failed: {added.filepath}: {added.error}", file=sys.stderr)
    if failed:
        raise typer.Exit(1)


@app.command()
def search(
    image: Annotated[Path, typer.Argument(help="The query image.")],
    limit: Annotated[int, typer.Option(min=1, max=1000, help="How many hits at most.")] = 10,
    as_json: Json = False,
) -> None:
    """Find the most similar images."""
    with _gallery() as gallery:
        hits = gallery.search(read_file(image, gallery.decoder.max_bytes), limit).hits
    if as_json:
        _print_json([{**asdict(hit.record), "score": round(hit.score, 6)} for hit in hits])
        return
    for hit in hits:
        print(f"{hit.score:.4f}  {_line(hit.record)}")
    if not hits:
        print("The gallery is empty.")


@app.command()
def delete(
    ids: Annotated[list[int] | None, typer.Option("--id", help="An id; repeat for more.")] = None,
    keys: Annotated[
        list[str] | None,
        typer.Option("--key", help="A key, whole, commas and all; repeat for more."),
    ] = None,
) -> None:
    """Delete images by id or by key. Exit status 1 if none matched."""
    if not ids and not keys:
        raise typer.BadParameter("name at least one --id or --key")
    with _gallery() as search:
        deleted = search.delete_ids(ids or []) + search.delete_keys(keys or [])
    print(f"{deleted} deleted")
    if not deleted:
        raise typer.Exit(1)


@app.command("list")
def list_command(
    text: Annotated[str, typer.Option(help="Only what has this in its key or filepath.")] = "",
    limit: Annotated[int, typer.Option(min=1, help="How many at most.")] = 100,
    as_json: Json = False,
) -> None:
    """List the gallery, newest first."""
    with _gallery() as search:
        records = _newest(search, text, limit)
    if as_json:
        _print_json([asdict(record) for record in records])
        return
    for record in records:
        print(_line(record))


@app.command()
def stats(as_json: Json = False) -> None:
    """How many images there are, and what they were made with."""
    with _gallery() as search:
        values = asdict(search.stats())
    if as_json:
        _print_json(values)
        return
    for name, value in values.items():
        print(f"{name:12} {value}")


@app.command()
def quantize(
    paths: Annotated[list[Path], typer.Argument(help="Images like yours, and folders to walk.")],
    images: Annotated[int, typer.Option(min=LEAST, help="How many to take, at most.")] = 300,
    seed: Annotated[int, typer.Option(min=0, help="Of the sample.")] = 0,
) -> None:
    """Make the int8 model: several times as fast on CPUs without bf16, and a little less exact.

    Needs nncf. A gallery made with it is one of its own: see docs/configuration.md.
    """
    settings = read_settings()
    base = resolve(settings.weights, precision="fp32")
    files = find_images(paths)
    some = random.Random(seed).sample(files, min(images, len(files)))  # noqa: S311
    decoder = Decoder(settings.max_upload, settings.max_pixels, settings.decode_seconds)
    pixels = []
    for path in tqdm(some, "Reading", unit="image"):
        try:
            data = read_file(path, settings.max_upload)
            pixels.append(decoder.decode(data).pixels)
        except BogvError as error:
            print(f"  passed over: {path}: {error}", file=sys.stderr)
    made = make_int8(base, pixels, settings.cache_dir, settings.models_dir)
    print(
        f"{made.weights.int8}\n{made.weights.name}, fingerprint {made.weights.fingerprint}\n"
        f"cosine to full precision, on images held out: {made.cosine_mean:.5f} in the mean,"
        f" {made.cosine_least:.5f} at worst\none image at a time: {made.speedup:.1f} times as fast"
        "\nSet BOGV_PRECISION=int8 and begin a new gallery."
    )


@app.command()
def weights() -> None:
    """Fetch and verify the ResNet50 weights, and say where they are."""
    print(fetch())


def _listen() -> tuple[Settings, list[socket.socket]]:
    """The server's settings and sockets, with its logging configured."""
    from bogv.web.connections import listen  # imports fastapi and uvicorn

    settings = read_settings()
    logs.configure(settings.log_format)
    return settings, listen(settings.host, settings.port)


@contextmanager
def _gallery() -> Iterator[ImageSearch]:
    search = open_search(read_settings())
    try:
        yield search
    finally:
        search.close()


def _add(search: ImageSearch, files: list[Path], key_from: KeyFrom) -> list[Added]:
    images = new_images(files, search.decoder.max_bytes, key_from)
    seconds: dict[str, float] = {}
    bar = tqdm(search.add_many(images, seconds), "Adding", total=len(files), unit="image")
    verdicts = []
    for added in bar:
        verdicts.append(added)
        if seconds:  # what holds the others back: the stage that is at work the longest
            slowest = max(seconds, key=seconds.__getitem__)
            bar.set_postfix_str(f"slowest stage: {slowest}", refresh=False)
    return verdicts


def _newest(search: ImageSearch, text: str, limit: int) -> list[Record]:
    records: list[Record] = []
    page = search.page(None, min(limit, 500), text)
    records += page.records
    while page.next is not None and len(records) < limit:
        page = search.page(page.next, 500, text)
        records += page.records
    return records[:limit]


def _remove_below(search: ImageSearch, folder: Path) -> None:
    """Take out what was added from a folder."""
    found = _newest(search, str(folder), sys.maxsize)
    inside = [each.id for each in found if Path(each.filepath).is_relative_to(folder)]
    search.delete_ids(inside)


def _added_json(added: Added) -> dict[str, Any]:
    values = {name: getattr(added, name) for name in ("status", "filepath", "id", "key")}
    if added.error is not None:
        values["error"] = {"type": added.error.type, "detail": str(added.error)}
    return values


def _line(record: Record) -> str:
    return f"{record.id:16}  {record.key}  {record.filepath}"


def _print_json(value: Any) -> None:
    print(json.dumps(value, ensure_ascii=False, indent=2))


def main(arguments: list[str] | None = None) -> None:
    """Run the command line, by default with the process' arguments; an error is one line."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # names of files that are no UTF-8
    logging.basicConfig(level="INFO", format="%(levelname)s %(name)s: %(message)s")
    for name in logs.QUIET:
        logging.getLogger(name).setLevel("WARNING")
    try:
        app(arguments, prog_name="bogv")
    except (BogvError, OSError, ImportError) as error:
        sys.exit(f"bogv: {error}")
    except ValidationError as error:
        lines = [f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors()]
        sys.exit("bogv: " + "; ".join(lines))


if __name__ == "__main__":
    main()

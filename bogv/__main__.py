"""The command line: `python -m bogv --help`.

It is for the machine's owner: it reads any path, and takes its settings from the same variables as
the server. With Milvus Lite, it can't run while a server uses the same data folder.
"""

from __future__ import annotations

import io
import logging
import socket
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer
from pydantic import ValidationError
from tqdm import tqdm

from bogv import logs
from bogv.bootstrap import open_search, serve
from bogv.calibration.calibrator import EDITED_IMAGES, RATE, CalibrationOptions
from bogv.calibration.false_positives import Same
from bogv.cli.calibration import describe_calibration
from bogv.cli.duplicates import Listing, ScanBar
from bogv.cli.results import (
    Json,
    added_as_json,
    count_noun,
    describe_match,
    describe_near_duplicate,
    describe_rarity,
    describe_record,
    describe_verdict,
    hit_as_json,
    print_json,
)
from bogv.cli.weights import quantize, weights
from bogv.config import Settings, read_settings
from bogv.duplicates.duplicates import DuplicateKind, Rule
from bogv.errors import BogvError
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

EMPTY = "The gallery is empty."


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
            found = _find_images([images])
            _delete_below(search, settings.samples_dir)
            _add(search, found, "md5")
        elif search.stats().count == 0:
            _add(search, make_samples(settings.samples_dir), "stem")
    except BaseException:
        search.close()
        raise
    serve(settings, search, listeners)


@app.command()
def add(
    paths: Annotated[
        list[Path], typer.Argument(help="Image files, and folders to search recursively.")
    ],
    key_from: Annotated[KeyFrom, typer.Option(help="What each image's key is made from.")] = "md5",
    skip_duplicates: Annotated[
        bool,
        typer.Option("--skip-duplicates", help="Leave out copies of images that are there."),
    ] = False,
    as_json: Json = False,
) -> None:
    """Add images. Images already in the gallery are skipped: rerun it after an interruption.

    Exit status 1 if any image failed; the others are still added. 2 if there is no image to add.
    """
    found = _find_images(paths)
    with _open_gallery() as search:
        results = _add(search, found, key_from, skip_duplicates)
    failed = [added for added in results if added.status == "failed"]
    counts = {
        status: sum(added.status == status for added in results)
        for status in ("created", "updated", "unchanged", "skipped", "failed")
        if status != "skipped" or skip_duplicates
    }
    if as_json:
        print_json({**counts, "images": [added_as_json(added) for added in results]})
    else:
        print(", ".join(f"{count} {status}" for status, count in counts.items()))
        for added in results:
            if added.near_duplicate_of is not None:
                print(f"  {describe_near_duplicate(added, added.near_duplicate_of)}")
        for added in failed:
            print(f"  failed: {added.filepath}: {added.error}", file=sys.stderr)
    if failed:
        raise typer.Exit(1)


@app.command()
def search(
    image: Annotated[Path, typer.Argument(help="The query image.")],
    limit: Annotated[int, typer.Option(min=1, max=1000, help="Maximum number of hits.")] = 10,
    min_score: Annotated[float, typer.Option(min=0, max=1, help="Lowest score of a hit.")] = 0.0,
    max_rarity: Annotated[
        float | None,
        typer.Option(
            min=0, max=1, help="Highest share of the gallery's pairs that are as alike, as 0.001."
        ),
    ] = None,
    verify: Annotated[
        bool, typer.Option("--verify", help="Compare the first 12 point by point: finds parts too.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Find the most similar images, and tell whether the picture is there."""
    with _open_gallery() as gallery:
        gallery.rarity.refresh()
        data = read_file(image, gallery.decoder.max_bytes)
        result = gallery.search(data, limit, min_score, verify, max_rarity)
    if as_json:
        print_json([hit_as_json(hit) for hit in result.hits])
        return
    for hit in result.hits:
        match = f"{describe_match(hit.match):28}"
        print(f"{hit.score:.4f}  {describe_rarity(hit):14}  {match}  {describe_record(hit.record)}")
    if not result.hits:
        print("No image of the gallery is as similar." if min_score or max_rarity else EMPTY)
    else:
        print(describe_verdict(result))


@app.command("calibrate")
def calibrate_command(
    false_positive_rate: Annotated[
        float, typer.Option(help="Of searches for a picture that isn't there.")
    ] = RATE,
    images: Annotated[
        int | None,
        typer.Option(min=1, help="Images to leave out at most. By default as many as needed."),
    ] = None,
    edited: Annotated[
        int, typer.Option(min=1, help="Images to edit, each in fifty ways.")
    ] = EDITED_IMAGES,
    same: Annotated[
        Same, typer.Option(help="What images share that show the same thing: they don't count.")
    ] = "key",
    seed: Annotated[int, typer.Option(min=0, help="Of the images and the edits.")] = 0,
    as_json: Json = False,
) -> None:
    """Measure from which values on pictures are copies, on the gallery's own images.

    Searches with images that are left out give the thresholds; searches with edited ones tell which
    copies they find. It is kept with the gallery, and used from the next start on.
    """
    options = CalibrationOptions(false_positive_rate, images, edited, seed, same)
    with _open_gallery() as search:
        found = search.calibrator.run(options, _show_progress)
    if as_json:
        print(found.model_dump_json(indent=2))
    else:
        print("\n".join(describe_calibration(found)))


@app.command()
def delete(
    ids: Annotated[list[int] | None, typer.Option("--id", help="An id; repeat for more.")] = None,
    keys: Annotated[
        list[str] | None,
        typer.Option("--key", help="A key, taken literally (commas too); repeat for more."),
    ] = None,
) -> None:
    """Delete images by id or by key. Exit status 1 if none matched."""
    if not ids and not keys:
        raise typer.BadParameter("give at least one --id or --key")
    with _open_gallery() as search:
        deleted = search.delete_ids(ids or []) + search.delete_keys(keys or [])
    print(f"{deleted} deleted")
    if not deleted:
        raise typer.Exit(1)


@app.command()
def duplicates(
    match: Annotated[
        DuplicateKind,
        typer.Option(
            help="The weakest match: equal files, edited copies, or parts of a picture too."
        ),
    ] = "copy",
    delete: Annotated[bool, typer.Option("--delete", help="Delete all but one of each.")] = False,
    keep: Annotated[Rule | None, typer.Option(help="Which one of each is kept.")] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Delete without asking.")] = False,
    as_json: Json = False,
) -> None:
    """Find images that are in the gallery several times, and delete all but one of each.

    An interrupted scan goes on where it ended. On a terminal, --delete asks first.
    """
    if delete and keep is None:
        raise typer.BadParameter("--delete needs --keep largest or --keep oldest")
    settings = read_settings()
    with _open_gallery() as search:
        with ScanBar() as bar:
            scan = search.duplicates(settings.duplicates_dir).scan(match, bar.show)
        listing = Listing(scan, keep or "largest")
        if not as_json:
            print("\n".join(listing.lines()))
        for line in listing.limits():
            print(line, file=sys.stderr)
        deleted = None
        if (
            delete
            and listing.others
            and (yes or _confirm(f"Delete {count_noun(listing.others, 'image')}?"))
        ):
            deleted = search.delete_duplicates(listing.ids_of_others, listing.ids_of_kept)
    if as_json:
        print_json(listing.as_json(deleted))
    elif delete:
        print(f"{deleted or 0} deleted")


@app.command("list")
def list_command(
    text: Annotated[
        str, typer.Option(help="Only images with this text in their key or filepath.")
    ] = "",
    limit: Annotated[int, typer.Option(min=1, help="Maximum number of images.")] = 100,
    as_json: Json = False,
) -> None:
    """List the gallery, newest first."""
    with _open_gallery() as search:
        records = _newest(search, text, limit)
    if as_json:
        print_json([asdict(record) for record in records])
        return
    for record in records:
        print(describe_record(record))


@app.command()
def stats(as_json: Json = False) -> None:
    """Show the number of images, the database, the weights and the engine."""
    with _open_gallery() as search:
        values = asdict(search.stats())
    if as_json:
        print_json(values)
        return
    for name, value in values.items():
        print(f"{name:15} {value}")


app.command()(quantize)
app.command()(weights)


def _listen() -> tuple[Settings, list[socket.socket]]:
    """Read the settings, configure logging, and open the server's sockets."""
    from bogv.web.connections import listen  # imports fastapi and uvicorn

    settings = read_settings()
    logs.configure(settings.log_format)
    return settings, listen(settings.host, settings.port)


@contextmanager
def _open_gallery() -> Iterator[ImageSearch]:
    search = open_search(read_settings())
    try:
        yield search
    finally:
        search.close()


def _find_images(paths: list[Path]) -> list[Path]:
    """Raises typer.Exit, with status 2, if there is none: most likely it is the wrong folder."""
    found = find_images(paths)
    if not found:
        print(f"bogv: No images in {', '.join(map(str, paths))}.", file=sys.stderr)
        raise typer.Exit(2)
    return found


def _confirm(question: str) -> bool:
    """Ask on a terminal; a script has decided already."""
    return not sys.stdin.isatty() or typer.confirm(question, err=True)


def _add(
    search: ImageSearch, files: list[Path], key_from: KeyFrom, skip_duplicates: bool = False
) -> list[Added]:
    images = new_images(files, search.decoder.max_bytes, key_from)
    seconds: dict[str, float] = {}
    adding = search.add_many(images, seconds, skip_duplicates)
    bar = tqdm(adding, "Adding", total=len(files), unit="image")
    results = []
    for added in bar:
        results.append(added)
        if seconds:
            slowest = max(seconds, key=seconds.__getitem__)
            bar.set_postfix_str(f"slowest stage: {slowest}", refresh=False)
    return results


def _show_progress(results: Iterable[Any], what: str, total: int) -> Iterable[Any]:
    return tqdm(results, what, total=total, unit="search")


def _newest(search: ImageSearch, text: str, limit: int) -> list[Record]:
    records: list[Record] = []
    page = search.page(None, min(limit, 500), text)
    records += page.records
    while page.next is not None and len(records) < limit:
        page = search.page(page.next, 500, text)
        records += page.records
    return records[:limit]


def _delete_below(search: ImageSearch, folder: Path) -> None:
    """Delete the images that were added from a folder."""
    found = _newest(search, str(folder), sys.maxsize)
    inside = [each.id for each in found if Path(each.filepath).is_relative_to(folder)]
    search.delete_ids(inside)


def main(arguments: list[str] | None = None) -> None:
    """Run the command line, by default with the process' arguments; errors print one line."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # for file names that aren't UTF-8
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

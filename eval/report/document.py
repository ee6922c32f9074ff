"""Reports, as report.md and as one self-contained report.html.

A report is made once, from sections, and written in both formats. All text is plain and escaped:
ids and labels may contain any characters.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from html import escape
from pathlib import Path

MARKDOWN, HTML, FIGURES = "report.md", "report.html", "figures"
WARNINGS = ("UNTRAINED", "DUPLICATES", "CLASSES", "CAUTION", "IMAGES")
"""A paragraph that begins with one of these is shown as a warning."""


@dataclass(frozen=True)
class Table:
    """A table; columns of numbers are aligned to the right, columns of text to the left."""

    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    caption: str = ""


@dataclass(frozen=True)
class Figure:
    """A plot, as returned by `eval.report.plots.render`."""

    name: str
    """Of its file, without the suffix."""
    png: bytes
    alt: str
    """The alternative text of the plot."""


@dataclass(frozen=True)
class Tile:
    """A small image with a caption."""

    image: bytes
    """JPEG."""
    caption: str
    mark: str = ""
    """`query`, `right` or `wrong`: sets the colour of the frame, and is shown beside the image."""


@dataclass(frozen=True)
class Strip:
    """Images side by side."""

    name: str
    """Of their files: <name>-<number>.jpg."""
    tiles: Sequence[Tile]
    caption: str = ""


Block = str | Table | Figure | Strip
"""A str is a paragraph of plain text."""


@dataclass(frozen=True)
class Section:
    """A heading and its content."""

    title: str
    blocks: Sequence[Block]


@dataclass(frozen=True)
class Report:
    """A whole report."""

    title: str
    lead: Sequence[str]
    """The first lines, which name the weights."""
    sections: Sequence[Section] = field(default_factory=tuple)


def write(folder: Path, report: Report) -> None:
    """Write report.md, with its images in figures/, and report.html, which needs no other file.

    Images of an earlier report that this one doesn't have are removed. Raises OSError; ValueError
    for duplicate names of images, and names that aren't plain file names.
    """
    files = _files(report)
    pictures = folder / FIGURES
    for path in pictures.glob("*.*"):
        if path.name not in files:
            path.unlink()
    for name, data in files.items():
        pictures.mkdir(exist_ok=True)
        (pictures / name).write_bytes(data)
    (folder / MARKDOWN).write_text(markdown(report), "utf-8")
    (folder / HTML).write_text(html(report), "utf-8")


def _files(report: Report) -> dict[str, bytes]:
    files: dict[str, bytes] = {}
    for section in report.sections:
        for block in section.blocks:
            for name, data in _pictures(block):
                if name in files or not re.fullmatch(r"\w[\w.@-]*", name, re.ASCII):
                    raise ValueError(f"The image name {name!r} is invalid or used twice.")
                files[name] = data
    return files


def _pictures(block: Block) -> Iterator[tuple[str, bytes]]:
    if isinstance(block, Figure):
        yield f"{block.name}.png", block.png
    elif isinstance(block, Strip):
        yield from ((f"{block.name}-{n}.jpg", tile.image) for n, tile in enumerate(block.tiles))


def plain(text: str) -> str:
    r"""One printable line: white space collapsed, other unprintable characters escaped.

    File names may contain line breaks, characters that change the direction of text, and bytes
    that aren't UTF-8, which Python represents as lone surrogates.

    >>> plain("a\n b\x00c\ud800")
    'a b\\x00c\\ud800'
    """
    printable = (
        each if each.isprintable() or each.isspace() else each.encode("unicode_escape").decode()
        for each in text
    )
    return " ".join("".join(printable).split())


# ------------------------------------------------------------------------------ Markdown

_MARKDOWN = str.maketrans(
    {character: f"\\{character}" for character in "\\*[]#~"}
    # Character references, because renderers differ on a backslash before a pipe or a backtick.
    | {character: f"&#{ord(character)};" for character in "|`$"}
    | {"&": "&amp;", "<": "&lt;", ">": "&gt;"}
)


def markdown(report: Report) -> str:
    """The report in GitHub's Markdown; images are linked as figures/<file>."""
    parts = [f"# {_md(report.title)}", *map(_markdown_paragraph, report.lead)]
    for section in report.sections:
        parts += [f"## {_md(section.title)}", *map(_markdown_block, section.blocks)]
    return "\n\n".join(parts) + "\n"


def _md(text: str) -> str:
    """Plain text, escaped for a Markdown paragraph or table cell."""
    escaped = plain(text).translate(_MARKDOWN)
    # An underscore inside a word is literal, and an interval is a link only before certain
    # characters. Both are frequent and not escaped, to keep the file readable as text.
    escaped = re.sub(r"(?<![^\W_])_|_(?![^\W_])", r"\\_", escaped)
    escaped = re.sub(r"\\\[([-+]?[\d.]+, [-+]?[\d.]+)\\\](?![(\\:])", r"[\1]", escaped)
    # At the start of a line, these would begin a list or a horizontal rule.
    return re.sub(r"^(\d*)([-+.)])(?=[\s-]|$)", r"\1\\\2", escaped)


def _markdown_paragraph(text: str) -> str:
    return f"> **{_md(text)}**" if _is_warning(text) else _md(text)


def _markdown_block(block: Block) -> str:
    if isinstance(block, str):
        return _markdown_paragraph(block)
    if isinstance(block, Figure):
        return f"![{_md(block.alt)}]({FIGURES}/{block.name}.png)"
    if isinstance(block, Table):
        return _markdown_table(block)
    return _markdown_strip(block)


def _markdown_table(table: Table) -> str:
    rule = ["---:" if right else "---" for right in _figures(table)]
    lines = [_row(map(_md, table.columns)), _row(rule)]
    lines += [_row(map(_md, row)) for row in table.rows]
    return "\n".join([*lines, *(["", _md(table.caption)] if table.caption else [])])


def _markdown_strip(strip: Strip) -> str:
    names = [name for name, _ in _pictures(strip)]
    cells = [
        f'<img src="{FIGURES}/{name}" height="120" alt="{escape(tile.mark)}"><br>'
        + _md(tile.caption)
        for name, tile in zip(names, strip.tiles, strict=True)
    ]
    head = _row(_md(tile.mark) for tile in strip.tiles)
    table = "\n".join([head, _row("---" for _ in cells), _row(cells)])
    return f"{_md(strip.caption)}\n\n{table}" if strip.caption else table


def _row(cells: Iterable[str]) -> str:
    return "| " + " | ".join(cells) + " |"


# ------------------------------------------------------------------------------ HTML


def html(report: Report) -> str:
    """One self-contained page: style, and images as data URLs."""
    lead = "".join(map(_html_paragraph, report.lead))
    body = [f"<header><h1>{_html(report.title)}</h1>{lead}</header>", _contents(report.sections)]
    for number, section in enumerate(report.sections):
        blocks = "".join(map(_html_block, section.blocks))
        body.append(f'<section id="s{number}"><h2>{_html(section.title)}</h2>{blocks}</section>')
    style = (Path(__file__).parent / "report.css").read_text("utf-8")
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{_html(report.title)}</title>\n<style>\n{style}</style></head>\n"
        "<body><main>\n" + "\n".join(body) + "\n</main></body></html>\n"
    )


def _html(text: str) -> str:
    return escape(plain(text))


def _contents(sections: Sequence[Section]) -> str:
    """Links to the sections; empty if there are few."""
    if len(sections) < 4:
        return ""
    links = (f'<a href="#s{n}">{_html(section.title)}</a>' for n, section in enumerate(sections))
    return f"<nav>{''.join(links)}</nav>"


def _html_paragraph(text: str) -> str:
    return f'<p class="warning">{_html(text)}</p>' if _is_warning(text) else f"<p>{_html(text)}</p>"


def _html_block(block: Block) -> str:
    if isinstance(block, str):
        return _html_paragraph(block)
    if isinstance(block, Figure):
        return f'<img class="plot" src="{_data("png", block.png)}" alt="{_html(block.alt)}">'
    if isinstance(block, Table):
        return _html_table(block)
    return _html_strip(block)


def _html_table(table: Table) -> str:
    classes = [' class="figure"' if right else "" for right in _figures(table)]
    head = "".join(
        f'<th scope="col"{kind}>{_html(name)}</th>'
        for kind, name in zip(classes, table.columns, strict=True)
    )
    rows = "".join(
        f"<tr>{''.join(f'<td{k}>{_html(cell)}</td>' for k, cell in zip(classes, row, strict=True))}"
        "</tr>\n"
        for row in table.rows
    )
    caption = f"<caption>{_html(table.caption)}</caption>" if table.caption else ""
    return (
        f'<div class="wide"><table>{caption}<thead><tr>{head}</tr></thead>\n'
        f"<tbody>{rows}</tbody></table></div>"
    )


def _html_strip(strip: Strip) -> str:
    tiles = "".join(
        f'<figure class="tile {escape(tile.mark)}">'
        f'<img src="{_data("jpeg", tile.image)}" alt="">'
        f"<figcaption><b>{_html(tile.mark)}</b> {_html(tile.caption)}</figcaption></figure>\n"
        for tile in strip.tiles
    )
    caption = f'<p class="caption">{_html(strip.caption)}</p>' if strip.caption else ""
    return f'<div class="strip">{caption}<div class="tiles">{tiles}</div></div>'


def _data(kind: str, data: bytes) -> str:
    return f"data:image/{kind};base64,{base64.b64encode(data).decode()}"


# ------------------------------------------------------------------------------ both

# A number, optionally followed by a unit or an interval, but not a sentence; a dash; or empty.
_FIGURE = re.compile(r"(?!.*[^\W\d_]{5})[\[(]?[+−-]?[\d.].*|[–—-]?")


def _figures(table: Table) -> list[bool]:
    """Whether each column consists of numbers, intervals and dashes; the first never does."""
    columns = [[row[at] for row in table.rows] for at in range(len(table.columns))]
    return [
        bool(at and column and all(_FIGURE.fullmatch(cell.strip()) for cell in column))
        for at, column in enumerate(columns)
    ]


def _is_warning(text: str) -> bool:
    return text.startswith(WARNINGS)

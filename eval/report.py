"""Reports: what was found, as report.md and as one self-contained report.html.

A report is put together once, from sections; both files hold the same.
"""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass, field
from html import escape
from pathlib import Path

MARKDOWN, HTML, FIGURES = "report.md", "report.html", "figures"


@dataclass(frozen=True)
class Table:
    """Figures in rows; the first column is text, the others are set to the right."""

    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    caption: str = ""


@dataclass(frozen=True)
class Figure:
    """A plot, as `eval.plots.render` gives it."""

    name: str
    """Of its file, without the suffix."""
    png: bytes
    alt: str
    """What the plot says, for those who can't see it."""


@dataclass(frozen=True)
class Tile:
    """A small picture with words below it."""

    image: bytes
    """JPEG."""
    caption: str
    mark: str = ""
    """`query`, `right` or `wrong`: the colour of its frame, and a word beside it."""


@dataclass(frozen=True)
class Strip:
    """Pictures side by side."""

    name: str
    """Of their files: <name>-<number>.jpg."""
    tiles: Sequence[Tile]
    caption: str = ""


Block = str | Table | Figure | Strip
"""A str is a paragraph of plain text."""


@dataclass(frozen=True)
class Section:
    """A heading and what stands below it."""

    title: str
    blocks: Sequence[Block]


@dataclass(frozen=True)
class Report:
    """A whole report."""

    title: str
    lead: Sequence[str]
    """The first lines, which say which weights made it."""
    sections: Sequence[Section] = field(default_factory=tuple)


def write(folder: Path, report: Report) -> None:
    """Write report.md, with its pictures in figures/, and report.html, which needs no other file.

    Raises OSError.
    """
    for name, data in _files(report).items():
        path = folder / FIGURES / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(data)
    (folder / MARKDOWN).write_text(markdown(report), "utf-8")
    (folder / HTML).write_text(html(report), "utf-8")


def markdown(report: Report) -> str:
    """The report in GitHub's Markdown; pictures are named as figures/<file>."""
    parts = [f"# {report.title}", *report.lead]
    for section in report.sections:
        parts += [f"## {section.title}", *map(_markdown_block, section.blocks)]
    return "\n\n".join(parts) + "\n"


def _files(report: Report) -> dict[str, bytes]:
    files: dict[str, bytes] = {}
    for section in report.sections:
        for block in section.blocks:
            if isinstance(block, Figure):
                files[f"{block.name}.png"] = block.png
            elif isinstance(block, Strip):
                files |= {f"{block.name}-{n}.jpg": t.image for n, t in enumerate(block.tiles)}
    return files


def _markdown_block(block: Block) -> str:
    if isinstance(block, str):
        return block
    if isinstance(block, Figure):
        return f"![{block.alt}]({FIGURES}/{block.name}.png)"
    if isinstance(block, Table):
        return _markdown_table(block)
    cells = [
        f'<img src="{FIGURES}/{block.name}-{n}.jpg" height="120" alt="{escape(tile.mark)}"><br>'
        f"{escape(tile.caption)}"
        for n, tile in enumerate(block.tiles)
    ]
    head = "|".join([""] + [tile.mark or " " for tile in block.tiles] + [""])
    rule = "|".join(["", *("---" for _ in cells), ""])
    return "\n".join([*([block.caption, ""] if block.caption else []), head, rule, _row(cells)])


def _markdown_table(table: Table) -> str:
    rule = ["---", *("---:" for _ in table.columns[1:])]
    lines = [_row(table.columns), _row(rule), *map(_row, table.rows)]
    return "\n".join([*lines, *(["", table.caption] if table.caption else [])])


def _row(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def html(report: Report) -> str:
    """One page with everything in it: style, and pictures as data URLs."""
    body = [f"<h1>{escape(report.title)}</h1>"]
    body += [f'<p class="lead">{escape(line)}</p>' for line in report.lead]
    for section in report.sections:
        blocks = "".join(map(_html_block, section.blocks))
        body.append(f"<section><h2>{escape(section.title)}</h2>{blocks}</section>")
    style = (Path(__file__).parent / "report.css").read_text("utf-8")
    return (
        '<!doctype html><html lang="en"><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width">'
        f"<title>{escape(report.title)}</title><style>{style}</style>"
        f"<main>{''.join(body)}</main></html>\n"
    )


def _html_block(block: Block) -> str:
    if isinstance(block, str):
        return f"<p>{escape(block)}</p>"
    if isinstance(block, Figure):
        return f'<img class="plot" src="{_data("png", block.png)}" alt="{escape(block.alt)}">'
    if isinstance(block, Table):
        return _html_table(block)
    tiles = "".join(
        f'<figure class="tile {tile.mark}"><img src="{_data("jpeg", tile.image)}" alt="">'
        f"<figcaption><b>{escape(tile.mark)}</b> {escape(tile.caption)}</figcaption></figure>"
        for tile in block.tiles
    )
    return f'<p>{escape(block.caption)}</p><div class="strip">{tiles}</div>'


def _html_table(table: Table) -> str:
    head = "".join(f"<th>{escape(name)}</th>" for name in table.columns)
    rows = "".join(
        f"<tr>{''.join(f'<td>{escape(cell)}</td>' for cell in row)}</tr>" for row in table.rows
    )
    caption = f"<caption>{escape(table.caption)}</caption>" if table.caption else ""
    return f"<table>{caption}<thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>"


def _data(kind: str, data: bytes) -> str:
    return f"data:image/{kind};base64,{base64.b64encode(data).decode()}"

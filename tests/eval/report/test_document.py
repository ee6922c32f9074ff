"""What reports are made of: the same in Markdown and in HTML, and nothing that text could break."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from eval.report.document import (
    Block,
    Figure,
    Report,
    Section,
    Strip,
    Table,
    Tile,
    html,
    markdown,
    plain,
    write,
)
from eval.report.plots import render

HOSTILE = "a<b>&amp; | `x` *y* _z_ [l](u) ![i](j) # $1$ ~~s~~ \\| \n - c\r\n1. d\x00\u202e\ud800"


class Page(HTMLParser):
    """The text and the tags of a page, without its style."""

    def __init__(self, source: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.cells: list[str] = []
        self.feed(source)

    def handle_starttag(self, tag: str, attrs: object) -> None:  # noqa: ARG002 - its signature
        self.tags.append(tag)
        if tag in {"h1", "h2", "p", "th", "td", "caption", "figcaption"}:
            self.cells.append("")

    def handle_data(self, data: str) -> None:
        if self.cells:
            self.cells[-1] += data


def rendered(source: str) -> Page:
    """Markdown as GitHub would show it."""
    return Page(MarkdownIt().enable(["table", "strikethrough"]).render(source))


def report_of(*blocks: Block, title: str = "Title", lead: str = "Weights: none.") -> Report:
    return Report(title, [lead], [Section("One", blocks)])


def everywhere(text: str) -> Report:
    """The text in each place that takes any."""
    table = Table([text, "figure"], [[text, "always this"]], text)
    strip = Strip("strip", [Tile(b"jpeg", text, "query")], text)
    figure = Figure("figure", b"png", text)
    return report_of(text, table, strip, figure, title=text, lead=text)


words = st.text(min_size=1).filter(lambda text: bool(plain(text)))


@given(words)
@example(HOSTILE)
@example("- item")
@example("1. item")
@example("12) item")
@example("+")
@example("---")
@example("===")
@example("[x]: http://example.com")
@example("[0.1, 0.2](u) [0.1, 0.2][r] [0.1, 0.2]: u")
@example("snake_case and _emphasis_ and __strong__")
def test_any_text_is_shown_as_it_is(text: str) -> None:
    said = plain(text)
    for page in (rendered(markdown(everywhere(text))), Page(html(everywhere(text)))):
        shown = [" ".join(cell.split()).removeprefix("query ") for cell in page.cells]
        # Title, lead, paragraph, head of a column, cell, caption of the table, of the strip and of
        # its tile.
        assert shown.count(said) == 8, shown


def test_text_is_escaped_in_html() -> None:
    tame, hostile = (everywhere(text) for text in ("word", HOSTILE))
    assert Page(html(hostile)).tags == Page(html(tame)).tags
    assert rendered(markdown(hostile)).tags == rendered(markdown(tame)).tags


def test_unprintable_characters_are_escaped(tmp_path: Path) -> None:
    assert plain("a\r\n b\t\x00\u202e\ud800") == "a b \\x00\\u202e\\ud800"
    write(tmp_path, everywhere(HOSTILE))
    for name in ("report.md", "report.html"):
        assert "\\ud800" in (tmp_path / name).read_text("utf-8").replace("\\\\", "\\")


def test_intervals_and_metrics_stay_readable_in_markdown() -> None:
    text = "hit_rate@1 is 0.39 [0.34, 0.43]; map_trapezoid -0.10 [-0.20, 0.00]"
    assert f"\n{text}\n" in markdown(report_of(text))
    assert "| 0.3898 | [0.3413, 0.4382] |" in markdown(
        report_of(Table(["metric", "mean", "interval"], [["map", "0.3898", "[0.3413, 0.4382]"]]))
    )


@pytest.mark.parametrize("word", ["UNTRAINED weights", "DUPLICATES: 2", "CAUTION: shared"])
def test_warnings_are_set_apart(word: str) -> None:
    report = report_of(f"{word} here.", lead=f"{word} first.")
    assert html(report).count('<p class="warning">') == 2
    assert f"> **{word} first.**" in markdown(report)
    assert "warning" not in re.sub(
        r"<style>.*</style>", "", html(report_of("HNSW is an index.")), flags=re.DOTALL
    )


def test_numbers_are_aligned_right_and_text_left() -> None:
    rows = [
        ["hit_rate@1", "0.5", "12.3 ms", "[0.4, 0.6]", "–", "5 images of two"],
        ["map", "-0.1", "1,024 MB", "[0.1, 0.2]", "0.3", "none"],
    ]
    table = Table(["1", "2", "3", "4", "5", "6"], rows)
    assert "| --- | ---: | ---: | ---: | ---: | --- |" in markdown(report_of(table))
    assert html(report_of(table)).count('<th scope="col" class="figure">') == 4


def test_a_column_too_few_is_an_error_and_not_a_crooked_table() -> None:
    with pytest.raises((ValueError, IndexError)):
        html(report_of(Table(["a", "b"], [["1"]])))


def test_the_page_needs_no_other_file(tmp_path: Path) -> None:
    png = render(lambda axes: axes.set_xlabel("x"), width=1, height=1)
    blocks = (Figure("plot", png, "a plot"), Strip("s", [Tile(b"j", "one", "right")], "caption"))
    write(tmp_path, report_of(*blocks))
    page = (tmp_path / "report.html").read_text("utf-8")
    assert re.findall(r'src="(?!data:)', page) == []
    assert "<link" not in page
    assert "<script" not in page
    assert (tmp_path / "figures" / "plot.png").read_bytes() == png
    assert (tmp_path / "figures" / "s-0.jpg").read_bytes() == b"j"
    for name in re.findall(r"\(?(figures/[\w.-]+)", (tmp_path / "report.md").read_text("utf-8")):
        assert (tmp_path / name).is_file()


def test_pictures_of_an_earlier_report_go(tmp_path: Path) -> None:
    write(tmp_path, report_of(Strip("s", [Tile(b"j", "a"), Tile(b"k", "b")])))
    write(tmp_path, report_of(Strip("s", [Tile(b"j", "a")])))
    assert [path.name for path in (tmp_path / "figures").iterdir()] == ["s-0.jpg"]


@pytest.mark.parametrize("names", [("a", "a"), ("../a",), ("a b",), ("",)])
def test_pictures_of_one_name_or_a_name_that_leads_elsewhere_are_refused(
    names: tuple[str, ...], tmp_path: Path
) -> None:
    blocks = [Figure(name, b"", "") for name in names]
    with pytest.raises(ValueError, match="is invalid or used twice"):
        write(tmp_path, report_of(*blocks))
    assert not list(tmp_path.iterdir())


def test_many_sections_have_a_table_of_contents() -> None:
    sections = [Section(f"Part <{number}>", []) for number in range(4)]
    page = html(Report("Title", [], sections))
    assert '<a href="#s3">Part &lt;3&gt;</a>' in page
    assert "<nav>" not in html(Report("Title", [], sections[:3]))

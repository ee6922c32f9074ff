"""README, docs/ and the other pages agree with the code and with each other."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from unittest.mock import MagicMock

import pytest
import typer
from starlette.routing import Route
from typer.testing import CliRunner

import bogv.__main__
import eval.__main__
from bogv import errors
from bogv.config import Settings
from bogv.web.api import create_api
from bogv.web.capacity import Capacity
from bogv.web.prometheus import Metrics
from tests.support.running import ROOT

PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md"), ROOT / "eval" / "README.md"])
TEXTS = {str(page.relative_to(ROOT)): page.read_text("utf-8") for page in PAGES}
README, CHINESE = TEXTS["README.md"], TEXTS["README.zh-CN.md"]
CONFIGURATION, REST = TEXTS["docs/configuration.md"], TEXTS["docs/rest-api.md"]
MAKEFILE = (ROOT / "Makefile").read_text("utf-8")
VARIABLES = {str(field.validation_alias) for field in Settings.model_fields.values()}
# Of compose.yaml, of the tests and of eval: no settings of bogv.
OTHERS = {"BOGV_BIND", "BOGV_MEMORY", "BOGV_DATASETS"}
OTHERS |= {"BOGV_MUTATIONS", "BOGV_REQUIRE_ALL", "BOGV_SOAK_SECONDS"}

each_page = pytest.mark.parametrize("name", TEXTS)


def code_blocks(text: str) -> list[str]:
    return re.findall(r"^```\w*\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)


def prose(text: str) -> str:
    """Without code."""
    return re.sub(r"`[^`]*`", "", re.sub(r"^```.*?^```$", "", text, flags=re.MULTILINE | re.DOTALL))


def anchors(text: str) -> set[str]:
    """What a link to a heading has behind its `#`, as GitHub makes it."""
    outside = re.sub(r"^```.*?^```$", "", text, flags=re.MULTILINE | re.DOTALL)
    headings = re.findall(r"^#+ (.+)$", outside, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", each.lower()).replace(" ", "-") for each in headings}


def links(text: str) -> list[str]:
    return re.findall(r"\]\(([^)\s]+)\)", text)


def error_types(kind: type[errors.BogvError] = errors.BogvError) -> Iterator[str]:
    yield kind.type
    for below in kind.__subclasses__():
        yield from error_types(below)


# Settings, commands, routes, errors and metrics


def test_every_setting_is_in_the_table_with_its_default() -> None:
    rows = dict(re.findall(r"^\| (`[A-Z_`, ]+) \| *(.*?) *\|", CONFIGURATION, re.MULTILINE))
    table = {
        name.strip("` "): default for names, default in rows.items() for name in names.split(",")
    }
    for field in Settings.model_fields.values():
        name = str(field.validation_alias)
        assert name in table, name
        default = table[name].strip("`")
        if isinstance(field.default, int | float) and default:
            assert float(default) == field.default, name
    assert set(table) == VARIABLES | {"TZ"}


@each_page
def test_a_variable_that_a_page_names_exists(name: str) -> None:
    # A setting that was removed may stand in the history.
    assert set(re.findall(r"\bBOGV_[A-Z_]+\b", TEXTS[name])) <= VARIABLES | OTHERS


def test_every_route_has_a_curl_line() -> None:
    routes = re.findall(r"^\| `/api/image/sim/(\w+/\w+)`", REST, re.MULTILINE)
    assert len(routes) == 9
    for route in routes:
        assert f"$sim/{route}\n" in REST


def test_the_pages_name_all_routes_and_no_others() -> None:
    api = create_api(Settings(), MagicMock(), MagicMock())
    routes = {f"/api{route.path}" for route in api.routes if isinstance(route, Route)}
    documented = set(re.findall(r"^\| `(?:GET )?(/api/[\w/.]+)`", REST, re.MULTILINE))
    assert documented == {
        each for each in routes if "static" not in each and not re.search("docs|openapi", each)
    }
    for text in TEXTS.values():
        named = {each.rstrip("/") for each in re.findall(r"(?<![\w.])/api/[\w/.]*\w", text)}
        assert named <= routes | {"/api/image/sim"}
        relative = re.findall(r"\$(?:sim|api)/((?:add|search|del)/\w+)", text)
        assert {f"/api/image/sim/{each}" for each in relative} <= routes


@each_page
@pytest.mark.parametrize(
    ("program", "app"), [("bogv", bogv.__main__.app), ("eval", eval.__main__.app)]
)
def test_a_command_that_a_page_names_exists(name: str, program: str, app: typer.Typer) -> None:
    for command in set(re.findall(rf"python -m {program} ([a-z]\w*)", TEXTS[name])):
        assert CliRunner().invoke(app, [command, "--help"]).exit_code == 0, command


@each_page
def test_a_make_target_that_a_page_names_exists(name: str) -> None:
    targets = set(re.findall(r"^(\w+):", MAKEFILE, re.MULTILINE))
    code = "\n".join([*re.findall(r"`([^`\n]+)`", TEXTS[name]), *code_blocks(TEXTS[name])])
    assert set(re.findall(r"\bmake (\w+)", code)) <= targets


def test_every_error_is_in_the_table() -> None:
    table = REST.partition("## Errors\n")[2].partition("\n## ")[0]
    of_the_framework = {"no-such-route", "method-not-allowed"}
    assert set(re.findall(r"`([a-z][a-z\-0-9]+)`", table)) == {*error_types()} | of_the_framework


def test_every_metric_is_in_the_table() -> None:
    families = [each.name for each in Metrics(Capacity(1)).registry.collect()]
    named = re.findall(r"`(bogv_\w+)(?:\{|`)", TEXTS["docs/operations.md"])
    assert {each.removesuffix("_total") for each in named} == {
        each for each in families if each.startswith("bogv_")
    }


# Files and links


@each_page
def test_a_link_leads_somewhere(name: str) -> None:
    for link in links(TEXTS[name]):
        if link.startswith(("http://", "https://")):
            continue
        path, _, anchor = link.partition("#")
        target = (ROOT / name).parent / path if path else ROOT / name
        assert target.exists(), link
        if anchor:
            assert anchor in anchors(target.read_text("utf-8")), link


@each_page
def test_a_file_that_a_page_names_exists(name: str) -> None:
    named = re.findall(
        r"(?<![\w/.-])((?:bogv|eval|tests|docs|tools|notebooks)/[\w./-]*\w)", TEXTS[name]
    )
    assert [each for each in named if not (ROOT / each).exists()] == []


@each_page
def test_the_tests_that_a_page_names_exist(name: str) -> None:
    """Each word of `-k` stands in a file's name, a test's, or in a parameter."""
    commands = re.findall(
        r"pytest (?:-[ms] (?:soak )?)*((?:tests[\w/.]* ?)+)(?:-k (\w+|\"[^\"]+\"))?", TEXTS[name]
    )
    missing = []
    for paths, expression in commands:
        found = [ROOT / each for each in paths.split()]
        files = [
            each for path in found for each in (path.rglob("test_*.py"), [path])[path.is_file()]
        ]
        tests = "\n".join(
            f"{file.name}\n"
            + "\n".join(re.findall(r"^.*def test_.*|^@.*", file.read_text("utf-8"), re.MULTILINE))
            for file in files
        )
        words = set(re.findall(r"\w+", expression)) - {"and", "or", "not"}
        missing += [(paths, word) for word in words if word not in tests]
    assert missing == []


def test_every_page_of_docs_is_linked_from_both_readmes() -> None:
    for text in (README, CHINESE):
        pages = {f"docs/{page.name}" for page in (ROOT / "docs").glob("*.md")}
        assert pages | {"eval/README.md", "CONTRIBUTING.md", "CHANGELOG.md"} <= set(links(text))


@pytest.mark.parametrize(
    "picture", sorted((ROOT / "docs").glob("*.png")), ids=lambda each: each.name
)
def test_a_picture_is_small_and_shown_somewhere(picture: Path) -> None:
    assert picture.stat().st_size < 400_000
    assert any(re.search(rf"!\[[^\]]+\]\(\S*{picture.name}\)", text) for text in TEXTS.values())


# The two READMEs


@pytest.mark.parametrize("text", [README, CHINESE], ids=["english", "chinese"])
def test_a_readme_is_short(text: str) -> None:
    assert len(text.splitlines()) <= 150


def test_the_readmes_have_the_same_commands_and_links() -> None:
    def commands(text: str) -> list[list[str]]:
        lines = [block.splitlines() for block in code_blocks(text)]
        return [[line.split("#")[0].rstrip() for line in block] for block in lines]

    assert commands(README) == commands(CHINESE)
    assert set(links(README)) - {"README.zh-CN.md"} == set(links(CHINESE)) - {"README.md"}
    assert README.count("\n## ") == CHINESE.count("\n## ")


def test_each_readme_links_to_the_other_at_its_top() -> None:
    assert "(README.zh-CN.md)" in README[:200]
    assert "(README.md)" in CHINESE[:200]


def test_chinese_has_full_width_punctuation() -> None:
    text = re.sub(r"\]\([^)]*\)", "]", prose(CHINESE))
    assert re.findall(r"[\u4e00-\u9fff][,;:!?()]|[,;:!?()][\u4e00-\u9fff]", text) == []

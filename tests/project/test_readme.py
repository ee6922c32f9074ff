"""The README keeps up with the code."""

from __future__ import annotations

import re
from pathlib import Path

from typer.testing import CliRunner

from bogv.__main__ import app
from bogv.config import Settings

README = (Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8")


def test_every_setting_is_in_the_table_with_its_default() -> None:
    rows = dict(re.findall(r"^\| (`[A-Z_`, ]+) \| *(.*?) *\|", README, re.MULTILINE))
    table = {
        name.strip("` "): default for names, default in rows.items() for name in names.split(",")
    }
    for field in Settings.model_fields.values():
        name = str(field.validation_alias)
        assert name in table, name
        default = table[name].strip("`")
        if isinstance(field.default, int | float) and default:
            assert float(default) == field.default, name
    assert set(table) == {str(f.validation_alias) for f in Settings.model_fields.values()} | {"TZ"}


def test_every_route_has_a_curl_line() -> None:
    routes = re.findall(r"^\| `/api/image/sim/(\w+/\w+)`", README, re.MULTILINE)
    assert len(routes) == 9
    for route in routes:
        assert f"$sim/{route}\n" in README


def test_every_command_exists() -> None:
    commands = set(re.findall(r"python -m bogv (\w+)", README))
    assert commands
    for command in commands:
        assert CliRunner().invoke(app, [command, "--help"]).exit_code == 0

"""Texts of the demo: complete in both languages, used, and safe to render."""

from __future__ import annotations

import inspect
import re
from pathlib import Path
from typing import get_args

import pytest

from bogv import errors
from bogv.duplicates.duplicates import KINDS, Stage
from bogv.errors import BogvError
from bogv.ui import strings
from bogv.ui.duplicates.cards import CHOICES
from bogv.ui.strings import (
    ERRORS,
    LOGIN_PROMPT,
    STRINGS,
    error_text,
    labels,
    language_of,
    translate,
    translate_count,
)


def _error_types(root: type[BogvError]) -> set[str]:
    return {root.type}.union(*map(_error_types, root.__subclasses__()))


@pytest.mark.parametrize("key", [*STRINGS, *ERRORS])
def test_each_text_exists_in_both_languages(key: str) -> None:
    english, chinese = STRINGS.get(key) or ERRORS[key]
    assert english.strip()
    assert not re.search("[一-鿿]", english)
    assert re.search("[一-鿿]", chinese) or key in {"id", "ids"}
    placeholders = [sorted(re.findall(r"{(\w+)}", text)) for text in (english, chinese)]
    assert placeholders[0] == placeholders[1]


def test_each_text_is_used() -> None:
    folder = Path(inspect.getfile(strings)).parent
    own = {folder / "strings.py", *(folder / "texts").glob("*.py"), *folder.rglob("texts.py")}
    files = set(folder.rglob("*.py")) - own
    assert len(files) > 10
    code = "".join(path.read_text() for path in files)
    used = set(re.findall(r"[\"'](\w+)[\"']", code))
    # Keys that the code composes: weights, counts, the stages of a search and of a scan, matches,
    # and which image is kept.
    used |= {"weights_custom", "weights_untrained", "decode", "embed", "search", "verify"}
    used |= {f"scan_{stage}" for stage in get_args(Stage)}
    used |= {f"{text}_{kind}" for text in ("find", "match_is") for kind in KINDS}
    used |= {f"keep_{choice}" for choice in CHOICES}
    used |= {key for key in STRINGS if key[-2:] in {"_1", "_n"} and key[:-2] in used}
    assert set(STRINGS) - used == set()


def test_error_texts_belong_to_existing_errors() -> None:
    assert set(ERRORS) <= _error_types(errors.BogvError)


def test_labels_contain_no_placeholders_and_no_html() -> None:
    for texts in labels().values():
        assert set(texts) == set(labels()["en"])
        assert not [text for text in texts.values() if re.search("[{}<]", text)]


@pytest.mark.parametrize(
    ("header", "language"),
    [
        ("zh-CN,zh;q=0.9,en;q=0.8", "zh"),
        ("zh-cn", "zh"),
        ("zh-TW,zh;q=0.9", "zh"),
        ("en-US,en;q=0.9,zh-CN;q=0.8", "en"),
        ("fr", "en"),
        ("", "en"),
    ],
)
def test_the_browsers_first_language_is_used(header: str, language: str) -> None:
    assert language_of(header) == language


def test_counts_select_the_singular_or_the_plural() -> None:
    assert translate_count("en", "images", 1) == "1 image"
    assert translate_count("en", "images", 1234) == "1,234 images"
    assert translate("zh", "deleted_1", count=1) == "已删除 1 张图片。"


def test_an_error_without_a_text_of_its_own_has_none() -> None:
    assert error_text("en", "no-such-type") is None


def test_the_login_prompt_names_the_token_in_both_languages() -> None:
    assert "token" in LOGIN_PROMPT
    assert "令牌" in LOGIN_PROMPT

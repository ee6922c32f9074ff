from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from eval.data.catalogue import DatasetError
from eval.data.datasets import load
from eval.data.items import Item
from eval.data.naming import label_note, printable
from tests.eval.support.datasets import picture, spec


def items(*labels: str | None) -> list[Item]:
    return [Item(str(number), label, bytes) for number, label in enumerate(labels)]


@pytest.mark.parametrize(
    "other", ["cat ", " cat", "\u00a0cat", "the  cat", "caf\u00e9", "the\tcat"]
)
def test_classes_whose_names_look_the_same_are_one_clear_error(tmp_path: Path, other: str) -> None:
    first = {"caf\u00e9": "cafe\u0301"}.get(other, " ".join(other.split()))
    for label in (first, other, "dog"):
        picture(tmp_path / label / "1.png")
    with pytest.raises(
        DatasetError, match="made-up: there are classes whose names look the same"
    ) as raised:
        load(spec(), tmp_path)
    assert ascii(first) in str(raised.value)
    assert ascii(other) in str(raised.value)


def test_classes_that_differ_by_case_are_reported_and_stay_apart() -> None:
    note = label_note(items("a", "A", "b", None, "\uff42", "c"))
    assert note is not None
    assert "'A' and 'a'; 'b' and '\\uff42'." in note
    assert label_note(items("a", "b", None)) is None


@pytest.mark.parametrize("name", [b"a/caf\xe9.png", b"caf\xe9/1.png"])
def test_a_name_that_is_not_utf_8_is_one_clear_error(tmp_path: Path, name: bytes) -> None:
    made = picture(tmp_path / "a" / "1.png")
    path = Path(os.fsdecode(os.fsencode(tmp_path) + b"/" + name))
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(made.read_bytes())
    with pytest.raises(DatasetError, match=r"name '.*caf\\udce9.*' is not UTF-8"):
        load(spec(), tmp_path)


def test_what_is_printable_can_be_written_to_any_file() -> None:
    assert json.dumps(printable("caf\udce9")).encode("utf-8") == b'"caf\\\\udce9"'
    assert printable("\u978b") == "\u978b"

"""The Judge tab: what it shows, what it stores, where it goes on."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import gradio as gr
import pytest

from bogv.judgements import NOT, PARTLY, RELEVANT, Pair, PoolFolder
from bogv.service import ImageSearch
from bogv.ui.judge import JudgeTab
from tests.support.demo import API, demo_client
from tests.support.judging import write_pool

QUERIES = {"secret-q": ["secret-b", "secret-a"], "q2": ["secret-a"]}
PAIRS = [Pair("secret-q", "secret-b"), Pair("secret-q", "secret-a"), Pair("q2", "secret-a")]


@pytest.fixture
def pool(tmp_path: Path) -> PoolFolder:
    return write_pool(tmp_path / "judge" / "mine", QUERIES)


@pytest.fixture
def tab(build_tab: Callable[[Any], Any], tmp_path: Path) -> Any:
    return build_tab(lambda _: JudgeTab(tmp_path / "judge"))


def place(card: str) -> int:
    [found] = re.findall(r'data-place="(\d+)"', card)
    return int(found)


def test_it_goes_on_with_the_first_result_without_a_grade(
    tab: Any, pool: PoolFolder, request_in_english: gr.Request
) -> None:
    pool.judge(PAIRS[0], RELEVANT)
    updates = tab.show_start(request_in_english)
    assert updates[tab.pool].value == "mine"
    assert "1 of 3 judged." in updates[tab.status]
    assert place(updates[tab.card]) == 1
    assert updates[tab.card].count("data:image/webp;base64,") == 2


def test_a_judgement_is_stored_at_once_and_the_next_result_shown(
    tab: Any, pool: PoolFolder, request_in_english: gr.Request
) -> None:
    updates = tab.judge(PARTLY, "mine", 0, request_in_english)
    assert pool.read_judgements() == {PAIRS[0]: PARTLY}
    assert place(updates[tab.card]) == 1
    # A key pressed twice judges what was on the screen twice, not the next result.
    assert place(tab.judge(NOT, "mine", 0.0, request_in_english)[tab.card]) == 1
    assert pool.read_judgements() == {PAIRS[0]: NOT}


def test_undo_shows_the_result_again(
    tab: Any, pool: PoolFolder, request_in_english: gr.Request
) -> None:
    for number in (0, 2):
        tab.judge(RELEVANT, "mine", number, request_in_english)
    updates = tab.undo("mine", request_in_english)
    assert place(updates[tab.card]) == 2
    assert pool.read_judgements() == {PAIRS[0]: RELEVANT}
    assert updates[tab.undo_button].interactive
    assert not tab.undo("mine", request_in_english)[tab.undo_button].interactive


def test_at_the_end_it_says_how_to_score(
    tab: Any, pool: PoolFolder, tmp_path: Path, request_in_english: gr.Request
) -> None:
    for number in range(3):
        updates = tab.judge(RELEVANT, "mine", number, request_in_english)
    assert "3 of 3 judged." in updates[tab.status]
    assert "python -m eval judge score data/judge/mine" in updates[tab.status]
    assert str(tmp_path) not in updates[tab.status]
    assert updates[tab.card] == ""
    assert not any(updates[button].interactive for button in tab.buttons.values())


def test_the_judge_sees_neither_names_nor_settings(
    tab: Any, pool: PoolFolder, request_in_english: gr.Request
) -> None:
    card = tab.show_start(request_in_english)[tab.card]
    assert "secret" not in card
    assert {path.name for path in pool.path.iterdir()} == {"pool.json", "thumbnails"}


def test_without_a_pool_it_says_how_to_make_one(tab: Any, request_in_english: gr.Request) -> None:
    updates = tab.show_start(request_in_english)
    assert "python -m eval judge pool" in updates[tab.status]
    assert not updates[tab.undo_button].interactive


@pytest.mark.parametrize("name", ["..", "../judge/mine", "/etc", "", None, ["mine"], {"a": 1}])
def test_a_pool_of_another_name_is_refused(
    tab: Any, pool: PoolFolder, request_in_english: gr.Request, name: object
) -> None:
    for handler in (partial(tab.judge, RELEVANT, name, 0), partial(tab.undo, name)):
        with pytest.raises(gr.Error, match=r"There is no such pool\."):
            handler(request_in_english)


@pytest.mark.parametrize("number", [-1, 3, 0.5, float("nan"), None, "0"])
def test_a_result_that_is_not_in_the_pool_is_refused(
    tab: Any, pool: PoolFolder, request_in_english: gr.Request, number: object
) -> None:
    with pytest.raises(gr.Error, match="No result is shown"):
        tab.judge(RELEVANT, "mine", number, request_in_english)
    assert pool.read_judgements() == {}


def test_a_thumbnail_that_became_a_link_is_not_shown(
    tab: Any, pool: PoolFolder, tmp_path: Path, request_in_english: gr.Request
) -> None:
    (tmp_path / "token").write_text("secret")
    for path in (pool.path / "thumbnails").iterdir():
        path.unlink()
        path.symlink_to(tmp_path / "token")
    with pytest.raises(gr.Error, match="symbolic link"):
        tab.show_start(request_in_english)


@pytest.mark.usefixtures("uploads")
def test_the_tab_is_there_only_if_it_is_asked_for(
    search: ImageSearch, tmp_path: Path, pool: PoolFolder
) -> None:
    def ids(**settings: Any) -> set[str]:
        with demo_client(search, tmp_path, **settings) as client:
            parts = client.get("/config").json()["components"]
        return {str(part["props"].get("elem_id")) for part in parts}

    assert "judge-relevant" not in ids()
    assert "judge-relevant" in ids(judge=True)


@pytest.mark.usefixtures("uploads")
def test_with_a_token_nobody_judges_without_a_login(
    search: ImageSearch, tmp_path: Path, pool: PoolFolder
) -> None:
    with demo_client(search, tmp_path, judge=True, token="t") as client:
        event = {"data": ["mine", 0], "fn_index": 0, "session_hash": "s"}
        assert client.post(f"{API}/queue/join", json=event).status_code == 401
    assert pool.read_judgements() == {}

"""Fixtures of the demo's tests."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import gradio as gr
import pytest
from starlette.requests import Request

from bogv.service import ImageSearch
from bogv.sources.sources import Sources
from bogv.ui.components import TabContext
from tests.support.fakes import lite_search


@pytest.fixture(scope="module")
def search(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ImageSearch]:
    """A service with an empty gallery."""
    service = lite_search(tmp_path_factory.mktemp("ui"))
    yield service
    service.close()


@pytest.fixture
def build_tab(search: ImageSearch, tmp_path: Path) -> Callable[[Any], Any]:
    """Builds a tab of a class, with `tmp_path` as image root and as folder of the samples."""

    async def build(tab_class: Any) -> Any:  # gradio leaks an event loop if none is running
        with gr.Blocks(analytics_enabled=False), gr.Tabs() as tabs, gr.Tab():
            sources = Sources([tmp_path], 100_000)
            return tab_class(TabContext(search, sources, tmp_path, tabs, gr.State(0)))

    return lambda tab_class: asyncio.run(build(tab_class))


@pytest.fixture
def request_in_english() -> gr.Request:
    return gr.Request(Request({"type": "http", "headers": []}))


@pytest.fixture
def click() -> Callable[[int], gr.SelectData]:
    """Builds the event of a click on the picture at an index."""
    return lambda index: gr.SelectData(None, {"index": index, "value": None})

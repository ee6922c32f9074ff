"""Starts the server: `python app.py`, or `uvicorn app:create_app --factory`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bogv import bootstrap
from bogv.config import read_settings

if TYPE_CHECKING:
    from fastapi import FastAPI


def create_app() -> FastAPI:
    """Make the app from the environment's settings."""
    settings = read_settings()
    return bootstrap.create_app(settings, bootstrap.open_search(settings))


if __name__ == "__main__":
    from bogv.__main__ import main

    main(["serve"])

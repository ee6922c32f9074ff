"""Fixes for gradio's upload route, and for its sliders.

Gradio's form parser holds text fields of any size in memory, and never deletes the temporary files
of an upload that was aborted. A number out of a slider's range ends in a traceback in the log.
"""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from typing import Any

import gradio as gr
from gradio import route_utils, routes
from starlette.exceptions import HTTPException
from starlette.formparsers import MultiPartException

from bogv.errors import StorageUnavailable
from bogv.web.bodies import MAX_FIELD


class UploadParser(route_utils.GradioMultiPartParser):
    """Gradio's form parser, with a size limit for text fields and removal of temporary files."""

    def on_part_data(self, data: bytes, start: int, end: int) -> None:
        """Called for each chunk of a part. Raises MultiPartException for a text field over
        MAX_FIELD bytes."""
        part = self._current_part
        if part.file is None and len(part.data) + end - start > MAX_FIELD:
            raise MultiPartException(f"A field exceeded the limit of {MAX_FIELD:,} bytes.")
        super().on_part_data(data, start, end)

    async def parse(self) -> Any:
        """The form. Its temporary files are removed on any error, such as a client's disconnect.

        Raises HTTPException (400) for a file without a name.
        """
        try:
            form = await super().parse()
        except BaseException:
            self._delete(self._files_to_close_on_error)
            raise
        if any(_is_nameless(value) for value in form.getlist("files")):
            self._delete(self._files_to_close_on_error)
            raise HTTPException(400, "A file was sent without a name.")
        # Gradio reads the files of the field `files` only, and leaves others on the disk.
        others = [value for name, value in form.multi_items() if name != "files"]
        self._delete([value.file for value in others if not isinstance(value, str)])
        return form

    @staticmethod
    def _delete(files: list[Any]) -> None:
        for file in files:
            file.close()
            with suppress(FileNotFoundError):  # gradio has removed it already
                os.unlink(file.name)  # noqa: PTH108 - a str, as tempfile gives it


def _is_nameless(file: Any) -> bool:
    """`..` counts, too: gradio rejects it later, but leaves the temporary file."""
    return isinstance(file, str) or Path(file.filename or "").name in {"", ".", ".."}


async def store_upload(*args: Any, **kwargs: Any) -> Any:
    """Gradio's upload handler, with a clear message for OSError, such as a full disk.

    Raises HTTPException (503).
    """
    try:
        return await route_utils.upload_fn(*args, **kwargs)
    except OSError as error:
        detail = f"The files can't be stored: {error.strerror}."
        raise HTTPException(StorageUnavailable.status, detail) from error


def pass_number(self: gr.Slider, payload: Any) -> Any:  # noqa: ARG001 - named as gradio's
    """What was typed into a slider's field, as it is: the handlers check it."""
    return payload


def patch_gradio() -> None:
    """Make gradio use this parser, this upload handler, and sliders that pass on any number."""
    gr.Slider.preprocess = pass_number  # type: ignore[method-assign]
    route_utils.GradioMultiPartParser = UploadParser  # type: ignore[misc]
    routes.upload_fn = store_upload  # type: ignore[attr-defined]

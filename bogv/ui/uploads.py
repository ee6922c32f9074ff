"""What gradio leaves open when files are uploaded, closed.

Its parser keeps a field that is no file in memory, of any size, and the temporary files of an
upload that was broken off on the disk, for ever.
"""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from typing import Any

from gradio import route_utils, routes
from starlette.exceptions import HTTPException
from starlette.formparsers import MultiPartException

from bogv.errors import StorageUnavailable
from bogv.web.bodies import MAX_FIELD


class UploadParser(route_utils.GradioMultiPartParser):
    """Gradio's, with small fields, and nothing left behind."""

    def on_part_data(self, data: bytes, start: int, end: int) -> None:
        """Raises MultiPartException for a large field."""
        part = self._current_part
        if part.file is None and len(part.data) + end - start > MAX_FIELD:
            raise MultiPartException(f"A field exceeded the limit of {MAX_FIELD:,} bytes.")
        super().on_part_data(data, start, end)

    async def parse(self) -> Any:
        """The form. Also when the client goes away or sends too much, its files are removed."""
        try:
            form = await super().parse()
        except BaseException:
            self._discard(self._files_to_close_on_error)
            raise
        if any(_is_nameless(value) for value in form.getlist("files")):
            self._discard(self._files_to_close_on_error)
            raise HTTPException(400, "A file was sent without a name.")
        # Gradio takes the files of one name, and forgets the others.
        others = [value for name, value in form.multi_items() if name != "files"]
        self._discard([value.file for value in others if not isinstance(value, str)])
        return form

    @staticmethod
    def _discard(files: list[Any]) -> None:
        for file in files:
            file.close()
            with suppress(FileNotFoundError):  # gradio removed it
                os.unlink(file.name)  # noqa: PTH108 - a str, as tempfile gives it


def _is_nameless(file: Any) -> bool:
    """`..` is none either: gradio would refuse it later, and keep the bytes."""
    return isinstance(file, str) or Path(file.filename or "").name in {"", ".", ".."}


async def keep_upload(*args: Any, **kwargs: Any) -> Any:
    """Gradio's, which tells nothing of a disk that takes no more. Raises HTTPException."""
    try:
        return await route_utils.upload_fn(*args, **kwargs)
    except OSError as error:
        detail = f"The files can't be kept: {error.strerror}."
        raise HTTPException(StorageUnavailable.status, detail) from error


def install() -> None:
    """Have gradio use them."""
    route_utils.GradioMultiPartParser = UploadParser  # type: ignore[misc]
    routes.upload_fn = keep_upload  # type: ignore[attr-defined]

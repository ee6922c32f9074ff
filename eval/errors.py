"""The workbench's own error; those of datasets are `eval.data.catalogue.DatasetError`."""

from __future__ import annotations


class WorkbenchError(Exception):
    """A measurement can't be made as requested; the message is one clear sentence."""

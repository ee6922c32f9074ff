"""The workbench's own error; those of datasets are `eval.data.catalogue.DatasetError`."""

from __future__ import annotations


class WorkbenchError(Exception):
    """What was asked for can't be done; the message is one clear sentence that says why."""

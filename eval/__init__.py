"""The evaluation workbench: how well bogv finds, and how fast, measured on public datasets."""

import bogv  # noqa: F401 - before pandas: Arrow allocates as it does in the server

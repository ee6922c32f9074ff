"""The evaluation workbench: how well bogv finds, and how fast, measured on public datasets."""

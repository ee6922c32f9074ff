"""The commands of `python -m eval`, a module each; `eval.__main__` puts them together."""

"""The commands of `python -m eval`, one module each; `eval.__main__` registers them."""

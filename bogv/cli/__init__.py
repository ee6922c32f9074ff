"""What the commands print; `bogv.__main__` has the commands."""

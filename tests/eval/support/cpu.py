"""A /proc that a test writes."""

from __future__ import annotations

import os
from pathlib import Path

TICKS = os.sysconf("SC_CLK_TCK")


class FakeProc:
    """/proc of a machine whose times stand still until a test writes others. In seconds."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._user = self._idle = 0
        self.spend(user=0, idle=0)

    def spend(self, *, user: int, idle: int) -> None:
        """So much time of all cores together goes by."""
        self._user += user * TICKS
        self._idle += idle * TICKS
        figures = [self._user, 0, 0, self._idle, 0, 0, 0, 0, 0, 0]
        self.folder.mkdir(exist_ok=True)
        (self.folder / "stat").write_text(f"cpu  {' '.join(map(str, figures))}\ncpu0 1 2 3 4\n")

    def process(self, number: int, parent: int, seconds: int, of_children: int = 0) -> None:
        """A process with the time that it used."""
        times = [seconds * TICKS, 0, of_children * TICKS, 0]
        fields = ["S", parent, *[0] * 9, *times, 20, 0]
        (self.folder / str(number)).mkdir(exist_ok=True)
        stat = f"{number} (a ) name) {' '.join(map(str, fields))}\n"
        (self.folder / str(number) / "stat").write_text(stat)

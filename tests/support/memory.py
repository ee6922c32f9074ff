"""How much memory this process had at most."""

from __future__ import annotations

import re
import resource
import sys
from pathlib import Path

MEBIBYTE = 1024 * 1024


def peak() -> int:
    """Bytes. On Linux from the kernel's account of this program alone: `ru_maxrss` begins with
    what the process that started it had."""
    status = Path("/proc/self/status")
    if status.exists() and (
        found := re.search(r"^VmHWM:\s+(\d+) kB$", status.read_text(), re.MULTILINE)
    ):
        return int(found[1]) * 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (
        1 if sys.platform == "darwin" else 1024
    )


def forget() -> None:
    """Let `peak` begin anew, at what is held now; Linux alone can."""
    Path("/proc/self/clear_refs").write_text("5")

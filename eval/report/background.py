"""How busy other processes kept the machine during a measurement, in reports and on the console."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

BUSY = 0.1
"""Share of the CPU time that other processes may use before times are doubtful."""
SHARE = "Others: the share of the machine's CPU time that other processes used meanwhile."
SERVER = "A server that runs on this machine is one of them."


def is_busy(others: float | None) -> bool:
    """Whether other processes used too much; False where it isn't known."""
    return others is not None and others > BUSY


def largest(shares: Iterable[float | None]) -> float | None:
    """The largest known share; None if none is known."""
    return max((share for share in shares if share is not None), default=None)


def share_text(others: float | None) -> str:
    """`23%`; empty where it isn't known."""
    return "" if others is None else f"{others:.0%}"


def busy_note(shares: Mapping[str, float | None]) -> str | None:
    """A sentence on the steps whose times are doubtful; None if there are none.

    shares: by step.

    >>> busy_note({"adding": 0.05, "searching": 0.3})[:58]
    'CAUTION: the machine was busy. Other processes used more t'
    """
    known = {step: share for step, share in shares.items() if share is not None}
    if not known:
        return "How busy other processes kept the machine is not known."
    busy = {step: share for step, share in known.items() if is_busy(share)}
    if not busy:
        return None
    worst = max(busy, key=lambda step: busy[step])
    return (
        f"CAUTION: the machine was busy. Other processes used more than {BUSY:.0%} of its CPU time"
        f" during {len(busy)} of {len(shares)} steps, at most {busy[worst]:.0%} ({worst}): their"
        " times are unreliable."
    )

"""What is to be reached, and over which edits."""

from __future__ import annotations

from dataclasses import dataclass

QUARTER_TURNS = ("rotate:90", "rotate:180")


@dataclass(frozen=True)
class Goal:
    """A bound of a figure."""

    name: str
    """Of its metric."""
    title: str
    bound: float
    edits: tuple[str, ...] = ()
    """Over which the figure is; whole edits (`jpeg`) or some of their strengths (`crop:95`)."""
    at_most: bool = False

    @property
    def column(self) -> str:
        """The column of the table of searches."""
        return self.name.partition("/")[0]

    def reached(self, value: float) -> bool:
        """Whether a figure is within the bound."""
        return value <= self.bound if self.at_most else value >= self.bound


RECALLS = (
    Goal(
        "recall_copy/faithful",
        "found as a copy: JPEG, size, grey, brightness, contrast, mirror, quarter turns",
        0.99,
        ("jpeg", "resize", "grey", "brightness", "contrast", "mirror", *QUARTER_TURNS),
    ),
    Goal("recall_copy/text", "found as a copy: captions", 0.95, ("text",)),
    Goal("recall_copy/crop:95", "found as a copy: crops to 95%", 0.95, ("crop:95",)),
    Goal(
        "recall_part/candidates",
        "found as a copy or a part, of originals that are among the candidates: crops to 50%,"
        " turned by 15° and 45°, borders, screenshots",
        0.95,
        ("crop:50", "rotate:15", "rotate:45", "border", "screenshot"),
    ),
)
FALSE = (
    Goal("false_exact", "false alarms: exact", 0.001, at_most=True),
    Goal("false_copy", "false alarms: copy", 0.001, at_most=True),
    Goal(
        "false_part",
        "false alarms: copy or part, other images of the query's label not counted",
        0.005,
        at_most=True,
    ),
)
MAX_UPPER_END = 0.003
"""Of the 95% interval of the false alarms `exact` and `copy`."""
MIN_SEARCHES = 2000
"""For what isn't there."""
GAIN = Goal("gain:recall@p99", "recall at 99% precision: all together less the network alone", 0.3)
GOALS = (*FALSE, *RECALLS, GAIN)


def concerns(goal: Goal, edit: str, strength: str) -> bool:
    """Whether a goal is over this edit at this strength."""
    return edit in goal.edits or f"{edit}:{strength}" in goal.edits

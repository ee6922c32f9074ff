from __future__ import annotations

import pytest

from eval.speed.result import Goal, bound, make_line
from tests.eval.support.speed import made, rounds

SEVEN = Goal(of="ratio", at_least=7)


def test_the_bound_is_the_cores_over_the_sum_of_the_stages() -> None:
    assert bound({"decode": 4.0, "embed": 16.0}, cores=1) == pytest.approx(50)
    assert bound({"decode": 4.0, "embed": 16.0}, cores=4) == pytest.approx(200)


def test_a_ratio_above_one_is_better_for_rates_and_for_times() -> None:
    assert make_line("adding", "images/s", rounds(60), baseline=rounds(10)).ratio == 6
    slow = make_line("searching", "ms", rounds(10), baseline=rounds(60), less_is_better=True)
    assert slow.ratio == 6
    assert make_line("alone", "ms", rounds(10)).ratio is None


def test_the_ratio_is_the_median_of_the_rounds_ratios() -> None:
    # The machine was half as fast during the second round, for both.
    line = make_line("adding", "images/s", rounds(80, 40, 90), baseline=rounds(10, 5, 10))
    assert (line.ratio, line.spread, line.rounds) == (8, (8, 9), 3)
    assert (line.bogv, line.baseline) == (80, 10)


@pytest.mark.parametrize(
    ("goal", "reached"),
    [
        (Goal(of="ratio", at_least=6), True),
        (Goal(of="ratio", at_least=6.1), False),
        (Goal(of="bogv", at_least=60), True),
        (Goal(of="bogv", at_most=59), False),
        (None, None),
    ],
)
def test_a_line_knows_whether_it_is_reached(goal: Goal | None, reached: bool | None) -> None:
    line = make_line("adding", "images/s", rounds(60), baseline=rounds(10), goal=goal)
    assert line.reached is reached
    assert line.unjudged is None


def test_a_goal_is_not_reached_by_rounding() -> None:
    line = make_line("adding", "images/s", rounds(6.9999999), baseline=rounds(1), goal=SEVEN)
    assert line.reached is False


def test_a_figure_the_system_can_not_measure_is_not_judged() -> None:
    line = make_line("memory", "MB", [], goal=Goal(of="bogv", at_most=1))
    assert (line.bogv, line.reached) == (None, None)
    assert line.unjudged == "this system can't measure it"


def test_a_goal_is_not_judged_on_a_busy_machine() -> None:
    def line(others: float | None) -> tuple[bool | None, str | None]:
        busy = rounds(1, others=others) + rounds(1)
        found = make_line("adding", "images/s", rounds(32, 32), baseline=busy, goal=SEVEN)
        return found.reached, found.unjudged

    assert line(0.23) == (None, "other processes used 23% of the CPU")
    assert line(0.1) == (True, None)
    assert line(None) == (True, None)


@pytest.mark.parametrize(("largest", "reached"), [(8.4, True), (9.6, None)])
def test_a_goal_is_not_judged_where_the_rounds_differ_more_than_the_distance_to_it(
    largest: float, reached: bool | None
) -> None:
    line = make_line(
        "adding", "images/s", rounds(7.5, 8, largest), baseline=rounds(1, 1, 1), goal=SEVEN
    )
    assert line.reached is reached
    assert (line.unjudged == "the rounds differ by 2.1, and the goal is 1 away") == (
        reached is None
    )


def test_a_pipeline_that_was_hardly_full_is_not_judged() -> None:
    lines = [
        make_line("adding", "images/s", rounds(80), baseline=rounds(1), goal=SEVEN, fill=fill)
        for fill in (0.05, 0.47)
    ]
    assert [line.reached for line in lines] == [True, None]
    assert lines[1].unjudged == "filling and draining took 47% of the time: use more images"


def test_a_line_without_a_goal_is_no_missing_verdict() -> None:
    busy = make_line("adding", "images/s", rounds(80, others=0.5))
    assert busy.unjudged is None
    assert made("untrained", 0.0, busy).unjudged == []

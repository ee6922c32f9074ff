from __future__ import annotations

import pytest

from eval.speed.result import Goal, bound, make_line


def test_the_bound_is_the_cores_over_the_sum_of_the_stages() -> None:
    assert bound({"decode": 4.0, "embed": 16.0}, cores=1) == pytest.approx(50)
    assert bound({"decode": 4.0, "embed": 16.0}, cores=4) == pytest.approx(200)


def test_a_ratio_above_one_is_better_for_rates_and_for_times() -> None:
    assert make_line("adding", "images/s", 60, baseline=10).ratio == 6
    assert make_line("searching", "ms", 10, baseline=60, less_is_better=True).ratio == 6
    assert make_line("alone", "ms", 10).ratio is None


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
    assert make_line("adding", "images/s", 60, baseline=10, goal=goal).reached is reached


def test_a_goal_is_not_reached_by_rounding() -> None:
    goal = Goal(of="ratio", at_least=7)
    assert make_line("adding", "images/s", 6.9999999, baseline=1, goal=goal).reached is False


def test_a_figure_the_system_can_not_measure_is_not_judged() -> None:
    assert make_line("memory", "MB", None, goal=Goal(of="bogv", at_most=1)).reached is None

from __future__ import annotations

from dataclasses import replace

import pytest

from eval.harness.load import Request
from eval.speed.result import Line, Sample
from eval.speed.server import SearchRound, Start, _search_lines, _start_lines, _torch_line


def test_a_start_that_loads_torch_is_reported() -> None:
    assert _torch_line([False, False]).reached is True
    assert _torch_line([False, True]).reached is False
    assert _torch_line([False, None]).reached is None


def test_second_starts_are_compared_with_the_first_ones_pair_by_pair() -> None:
    first = [Start(8, 9, 0.0), Start(12, 14, 0.0)]
    second = [Start(2, 3, 0.02), Start(3, 4, 0.05)]
    health, search = _start_lines(first, second)
    assert (health.bogv, health.baseline, health.ratio) == (2.5, 10, 4)
    assert (health.spread, health.reached, health.others) == ((2, 3), True, 0.05)
    assert search.bogv == 3.5
    busy = _start_lines(first, [Start(2, 3, 0.11), second[1]])
    assert [line.reached for line in busy] == [None, None]


def requests(latency: float, count: int, at_once: int = 1) -> list[Request]:
    """As many as `at_once` at a time, each so long."""
    starts = [latency * (number // at_once) for number in range(count)]
    return [Request("a", 1, start, start, start + latency, None, {}) for start in starts]


def by_name(lines: list[Line]) -> dict[str, Line]:
    return {each.what.split(",")[0]: each for each in lines}


def search_round(sent: dict[int, list[Request]], usual: float, others: float = 0.0) -> SearchRound:
    return SearchRound(
        Sample(usual, 0.0),
        {clients: (found, others) for clients, found in sent.items()},
        Sample(0.004, 0.0),
    )


def test_a_search_is_compared_with_the_usual_way_and_with_its_bare_steps() -> None:
    sent = {1: requests(0.016, 99), 8: requests(0.1, 80, 8), 16: requests(0.1, 160, 16)}
    sent[8][0] = replace(sent[8][0], ended=0.4)  # one of 80 is slow: p99 is the slowest
    lines = by_name(_search_lines([search_round(sent, 0.096)], gallery=10_000))
    search = lines["one search over REST"]
    assert (search.baseline, search.bogv, search.ratio) == (96, 16, 6)
    assert search.reached is True
    assert lines["REST and service above decode + embed + search"].bogv == pytest.approx(4)
    tail = lines["p99 / p50 with 8 clients"]
    assert (tail.bogv, tail.reached) == (4, False)
    crowd = lines["searches a second"]
    assert (crowd.baseline, crowd.bogv) == (62.5, 160)
    assert crowd.reached is True


def test_searches_are_compared_round_by_round() -> None:
    def sent(latency: float) -> dict[int, list[Request]]:
        return {clients: requests(latency, 16, clients) for clients in (1, 8, 16)}

    rounds = [search_round(sent(0.016), 0.096), search_round(sent(0.032), 0.224)]
    search = by_name(_search_lines(rounds, gallery=10_000))["one search over REST"]
    assert (search.ratio, search.spread, search.rounds) == (6.5, (6, 7), 2)
    assert search.reached is True
    busy = [rounds[0], search_round(sent(0.032), 0.224, others=0.4)]
    search = by_name(_search_lines(busy, gallery=10_000))["one search over REST"]
    assert search.unjudged == "other processes used 40% of the CPU"


def test_a_small_gallery_is_measured_and_not_judged() -> None:
    sent = {clients: requests(0.016, 4) for clients in (1, 8, 16)}
    found = by_name(_search_lines([search_round(sent, 0.8)], gallery=2_000))
    search = found["one search over REST"]
    assert search.ratio == 50
    assert search.goal is None
    assert search.reached is None

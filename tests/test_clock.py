"""The times of images that are added."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

from bogv.clock import Clock


def test_no_two_times_are_equal_and_they_grow() -> None:
    clock = Clock()
    with ThreadPoolExecutor(4) as threads:
        runs = list(threads.map(lambda _: [clock.now() for _ in range(200)], range(4)))
    assert len({each for run in runs for each in run}) == 800
    assert all(run == sorted(run) for run in runs)

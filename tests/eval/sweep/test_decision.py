from __future__ import annotations

from eval.sweep.decision import costs_less, costs_no_more, decide, fronts
from eval.sweep.settings import SweptSettings
from tests.eval.support.sweep import make_row, make_sweep

OWN = SweptSettings()
NAMES = ("free", "dear", "half", "small")
SETTINGS = [OWN, *(SweptSettings(name=name, size=448) for name in NAMES)]


def test_a_front_has_what_nothing_beats() -> None:
    assert fronts([(0.5, 1), (0.6, 2), (0.55, 2), (0.6, 3), (0.4, 1)]) == {0, 1}
    assert fronts([]) == set()


def test_no_more_cost_is_within_the_noise_of_timing_and_of_no_more_bytes() -> None:
    own = make_row("default", 0.5, 10).cost
    assert costs_no_more(make_row("a", 0.5, 10.4).cost, own)
    assert not costs_no_more(make_row("a", 0.5, 10.6).cost, own)
    assert not costs_no_more(make_row("a", 0.5, 5, 9000).cost, own)
    assert not costs_no_more(None, own)
    assert costs_less(make_row("a", 0.5, 10.4, 512).cost, own)
    assert costs_less(make_row("a", 0.5, 9).cost, own)
    assert not costs_less(make_row("a", 0.5, 9.6).cost, own)


def test_the_summary_names_what_is_better_everywhere_with_its_cost() -> None:
    rows = [
        row
        for dataset in ("one", "two")
        for row in (
            make_row("default", 0.5, 10, dataset=dataset),
            make_row("free", 0.6, 10.1, dataset=dataset, verdict="better"),
            make_row("dear", 0.7, 40, dataset=dataset, verdict="better"),
            make_row(
                "half", 0.6, 10, dataset=dataset, verdict="better" if dataset == "one" else "worse"
            ),
            make_row("small", 0.5, 10, 512, dataset=dataset, verdict="not worse"),
        )
    ]
    lines = decide(make_sweep(rows, SETTINGS))
    assert lines[0].startswith("Baseline: default, bogv's default (gap, 224 px, center")
    assert lines[1] == "Significantly better on each dataset at no more cost: free."
    assert lines[2] == "Significantly better on each dataset at more cost: dear."
    assert lines[3] == "Shown to be at most 0.01 worse on each dataset, and cheaper: small."


def test_a_setting_that_failed_somewhere_is_not_better_everywhere() -> None:
    failed = make_row("free", 0.6, 10, dataset="two").model_copy(
        update={"mean": None, "cost": None, "error": "no"}
    )
    rows = [
        make_row("default", 0.5, 10),
        make_row("free", 0.6, 10, verdict="better"),
        make_row("default", 0.5, 10, dataset="two"),
        failed,
    ]
    assert "at no more cost: none." in decide(make_sweep(rows, SETTINGS[:2]))[1]


def test_a_dataset_with_too_few_units_for_so_many_comparisons_is_named() -> None:
    rows = [make_row("default", 0.5, 10)]  # 10 units: p is at least 1/1024
    assert not any("CAUTION" in line for line in decide(make_sweep(rows, [OWN], comparisons=25)))
    last = decide(make_sweep(rows, [OWN], comparisons=26))[-1]
    assert last.startswith("CAUTION: on one, nothing could be shown to be better or worse: its 10")
    assert last.endswith("26 corrected comparisons; at most 25 would do.")


def test_another_baseline_is_not_called_the_default() -> None:
    rows = [make_row("gem", 0.5, 10)]
    [line, better, *_] = decide(make_sweep(rows, [SweptSettings(pooling="gem")]))
    assert "not bogv's default" in line
    assert better == "Significantly better on one at no more cost: none."

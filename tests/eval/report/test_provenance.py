from __future__ import annotations

from eval.report.document import Report, markdown
from eval.report.provenance import provenance_section
from eval.report.results import Mean, Result


def test_provenance_is_reproducible_and_has_no_times() -> None:
    result = Result(
        weights=None,
        kind="made-up",
        command="python -m eval made-up --seed 7",
        n=1234,
        seed=7,
        metrics={"map": Mean(value=1, ci95=(1, 1))},
        revision="0123abc-dirty",
        machine={"processor": "a processor", "cores": 2, "python": "3.11.7"},
        packages={"bogv": "0.1.0", "numpy": "2.4.6"},
        seconds={"all": 123.456},
    )
    section = provenance_section(result)
    text = markdown(Report("Title", [], [section]))
    for part in (
        *("python -m eval made-up --seed 7", "| seed | 7 |", "0123abc-dirty", "1,234 times"),
        *("| cores | 2 |", "a processor", "numpy 2.4.6", "| weights | none |"),
    ):
        assert part in text
    assert "123.456" not in text
    assert "no git" in markdown(
        Report("", [], [provenance_section(result.model_copy(update={"revision": None}))])
    )

"""The report of a run."""

from __future__ import annotations

from eval.report import Report
from eval.results import Run, weights_text


def run_report(run: Run) -> Report:
    """What a run found, for people."""
    lead = [f"Weights: {weights_text(run.weights)}, fingerprint {run.weights.fingerprint}."]
    if run.weights.note:
        lead.append(run.weights.note)
    return Report(f"{run.dataset.name}: {run.dataset.headline}", lead)

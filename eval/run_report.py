"""The report of a run."""

from __future__ import annotations

from eval.losses import losses_table
from eval.report import Report, Section
from eval.results import Run, weights_text


def run_report(run: Run) -> Report:
    """What a run found, for people."""
    lead = [f"Weights: {weights_text(run.weights)}, fingerprint {run.weights.fingerprint}."]
    if run.weights.note:
        lead.append(run.weights.note)
    lead.append(f"Settings: {run.settings.text}.")
    if run.settings.post != "none":
        lead.append("PCA was fitted on the gallery itself, which flatters these figures slightly.")
    sections = []
    if run.losses is not None:
        sections.append(Section("Loss account", [losses_table(run.losses)]))
    return Report(f"{run.dataset.name}: {run.dataset.headline}", lead, sections)

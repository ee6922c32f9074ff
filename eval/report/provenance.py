"""The provenance of a result: the command and the environment to reproduce it."""

from __future__ import annotations

from eval.report.document import Section, Table
from eval.report.results import Result, weights_text


def provenance_section(result: Result) -> Section:
    """The last section of every report: command, revision, seed, weights, machine, packages.

    No times: the same result has the same report.
    """
    weights = weights_text(result.weights)
    if result.weights is not None:
        weights += f", fingerprint {result.weights.fingerprint}"
    machine = result.machine
    rows = [
        ("command", result.command),
        ("revision", result.revision or "unknown: no git here"),
        ("weights", weights),
        ("seed", str(result.seed)),
        ("measured", f"{result.n:,} times (n)"),
        *((name, str(value)) for name, value in machine.items()),
        ("packages", ", ".join(f"{name} {version}" for name, version in result.packages.items())),
        (result.FILE, f"schema {result.schema_version}, kind {result.kind}"),
    ]
    return Section("Where it comes from", [Table(["", ""], rows)])

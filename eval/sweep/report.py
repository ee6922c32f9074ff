"""The report of `sweep`."""

from __future__ import annotations

from eval.report.background import busy_note, largest, share_text
from eval.report.document import Block, Report, Section, Table
from eval.report.provenance import provenance_section
from eval.report.results import interval_text, weights_lead
from eval.sweep.decision import SAME, decide
from eval.sweep.plots import front_figure
from eval.sweep.result import TABLE, Change, Row, Sweep, SweptDataset

FRONTS = (
    "Each point is a setting, its colour what it changes of the baseline (ringed). The dark line is"
    " the Pareto front: nothing is as good for less, or better for as much. Neighbours on it may"
    " differ by chance: the tables have the intervals. Names that would collide are left out."
)


def sweep_report(sweep: Sweep) -> Report:
    """The report of a sweep."""
    lead = [*weights_lead(sweep.weights), *decide(sweep)]
    if (busy := caution(sweep)) is not None:
        lead.append(busy)
    if sweep.failed:
        lead.append(f"CAUTION: {len(sweep.failed)} of {len(sweep.rows)} settings have no figure.")
    names = " and ".join(each.id for each in sweep.datasets)
    return Report(
        f"Sweep: {len(sweep.settings)} settings on {names}",
        lead,
        [
            *(
                Section(f"{each.id}: {each.headline}", _dataset(sweep, each))
                for each in sweep.datasets
            ),
            Section("Quality against time", [front_figure(sweep, "ms"), FRONTS]),
            Section("Quality against size", [front_figure(sweep, "bytes"), FRONTS]),
            Section("How it was measured", _method(sweep)),
            provenance_section(sweep),
        ],
    )


def caution(sweep: Sweep) -> str | None:
    """How busy the machine was while embedding was timed; None if it was quiet."""
    shares = {
        f"{row.setting} on {row.dataset}": row.cost.others
        for row in sweep.rows
        if row.cost is not None
    }
    return busy_note(shares)


def short_table(sweep: Sweep, dataset: str) -> Table:
    """A dataset's settings on a console's line each."""
    columns = ["setting", "value", "95%", "difference", "p", "verdict", "ms", "bytes", "front"]
    return Table(columns, [_short(row) for row in sweep.of(dataset)])


def _short(row: Row) -> list[str]:
    if row.mean is None or row.cost is None:
        return [row.setting, *([""] * 4), "failed", "", "", ""]
    change = row.change
    return [
        row.setting,
        f"{row.mean.value:.4f}",
        interval_text(row.mean, 3),
        "" if change is None else f"{change.value:+.4f}",
        "" if change is None else f"{change.p:.3f}",
        row.verdict or "baseline",
        f"{row.cost.ms:.1f}",
        f"{row.cost.bytes_per_vector:,.0f}",
        ", ".join(row.fronts),
    ]


def _dataset(sweep: Sweep, part: SweptDataset) -> list[Block]:
    columns = ["setting", part.headline, "difference", "p", "verdict"]
    columns += ["ms an image", "re-rank", "bytes", "front"]
    rows = sweep.of(part.id)
    several = len(part.samples) > 1
    if several:
        columns.insert(2, "seeds")
    caption = (
        f"Difference: to {sweep.baseline.title}, the baseline, over the same queries. p: two-sided,"
        f" corrected for all {sweep.comparisons} comparisons of the sweep (Holm); the intervals are"
        f" not. Not worse: by at most {sweep.max_drop:g}. ×: of the baseline's. Re-rank: ms of a"
        f" query; {TABLE} has the gallery's seconds, once. Front: of quality against milliseconds"
        " of a search, or against bytes a vector."
    )
    blocks: list[Block] = [_about(sweep, part)]
    blocks.append(Table(columns, [_line(row, several) for row in rows], caption))
    blocks += [f"{row.setting} failed: {row.error}" for row in rows if row.error is not None]
    return blocks


def _line(row: Row, several: bool) -> list[str]:
    mean, change, cost = row.mean, row.change, row.cost
    if mean is None or cost is None:
        return [row.setting, *([""] * (3 + several)), "failed", *([""] * 4)]
    spread = [f"{min(row.by_seed.values()):.3f}–{max(row.by_seed.values()):.3f}"] if several else []
    return [
        row.setting,
        f"{mean.value:.3f} {interval_text(mean, 3)}",
        *spread,
        "" if change is None else f"{change.value:+.3f} {_ends(change)}",
        "" if change is None else f"{change.p:.3f}",
        row.verdict or "baseline",
        f"{cost.embed_ms:.1f} (× {cost.embed_ratio[0]:.2f})",
        "" if cost.rerank_ms is None else f"{cost.rerank_ms:.2f}",
        f"{cost.bytes_per_vector:,.0f}",
        ", ".join(row.fronts),
    ]


def _ends(change: Change) -> str:
    if change.ci95 is None:
        return "(no interval)"
    return f"[{change.ci95[0]:+.3f}, {change.ci95[1]:+.3f}]"


def _about(sweep: Sweep, part: SweptDataset) -> str:
    rows = sweep.of(part.id)
    scored = max(row.n for row in rows)
    units = next((row.mean.units for row in rows if row.mean is not None), None)
    text = f"{part.name}: {scored:,} scored queries in {units or 0:,} units ({part.unit})."
    samples = {seed: sample for seed, sample in part.samples.items() if sample is not None}
    if samples:
        drawn = "; ".join(f"seed {seed}: {sample}" for seed, sample in samples.items())
        text += f" A SAMPLE, not to be compared with figures of the whole: {drawn}."
    elif len(sweep.seeds) > 1:
        text += f" All of it, so that seeds make no difference: seed {sweep.seeds[0]} alone."
    if part.queries_with_duplicate:
        text += f" {part.queries_with_duplicate:,} queries are in the gallery under another id."
    finds = [r.change.detectable for r in rows if r.change and r.change.detectable is not None]
    if finds:
        text += (
            f" A single comparison would find a difference of {min(finds):.3f} to"
            f" {max(finds):.3f} in 4 of 5 cases."
        )
    return text


def _method(sweep: Sweep) -> list[Block]:
    busiest = share_text(largest(row.cost.others for row in sweep.rows if row.cost is not None))
    others = f"Other processes used at most {busiest} of the machine's CPU time." if busiest else ""
    how = {"one_at_a_time": "each change by itself", "grid": "all combinations"}
    design = "a list of settings" if sweep.design is None else how[sweep.design]
    runs = (
        f"Design: {design}. Each run is an ordinary one, with the exact ranking of all pairs, in a"
        " folder of its own beside this one."
    )
    times = (
        "Milliseconds an image: decoding and the network, of 32 images of the dataset in batches;"
        " processor time of one core (on a GPU, by the clock), each setting in turns with the"
        " baseline, the median of three rounds. Re-ranking is timed by the clock while the run"
        f" scores, without the first search. {others}"
    )
    free = (
        f"No more cost: milliseconds of a search within {SAME:.0%} of the baseline's, which is"
        " noise, and no more bytes a vector."
    )
    blocks: list[Block] = [runs, times.rstrip(), free]
    blocks += [f"Left out: {each.name}: {each.reason}" for each in sweep.left_out]
    return blocks

"""The results of searches and adds."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from bogv.records import Added, Hit, Match, NearDuplicate, Record, SearchResult

_VERDICTS = {
    "exact": "The gallery has this very file: {id}.",
    "copy": "The gallery has a copy of this picture: {id}.",
    "part": "The gallery has a picture that shows a part of this one, or the other way: {id}.",
    "none": "No copy of this picture was found.",
}


def added_json(added: Added) -> dict[str, Any]:
    """With the error or the copy that was there before, where there is one."""
    values = {name: getattr(added, name) for name in ("status", "filepath", "id", "key")}
    if added.error is not None:
        values["error"] = {"type": added.error.type, "detail": str(added.error)}
    if added.near_duplicate_of is not None:
        values["near_duplicate_of"] = added.near_duplicate_of.as_dict()
    return values


def describe_duplicate(added: Added, other: NearDuplicate) -> str:
    """A line on an image that is the same picture as another one."""
    what = "the same file as" if other.match.kind == "exact" else "a copy of"
    return f"{added.status}: {added.filepath}: {what} {other.id}  {other.key}"


def hit_json(hit: Hit) -> dict[str, Any]:
    """The record, its score and rarity, and what relates it to the query."""
    return {
        **asdict(hit.record),
        "score": round(hit.score, 6),
        "rarity": hit.rarity,
        **hit.match.as_dict(),
    }


def describe_match(match: Match) -> str:
    """`copy, mirrored`"""
    turned = f", {match.orientation_name}" if match.orientation not in {None, 1} else ""
    return match.kind + (turned if match.is_proven else "")


def describe_rarity(hit: Hit) -> str:
    """`1 in 5,000`: of the gallery's pairs; empty if it isn't known."""
    return "" if hit.one_in is None else f"1 in {hit.one_in:,}"


def describe_verdict(result: SearchResult) -> str:
    """A sentence or two on whether the gallery has the picture."""
    if result.verdict is None:
        return "Whether the gallery has this picture can't be told."
    sentence = _VERDICTS[result.verdict.match].format(id=result.verdict.id)
    if not result.copies_complete:
        sentence += " Some images have no hash yet: start the server to hash them."
    rate = result.verdict.false_positive_rate
    return f"{sentence} (Chance of a false alarm in such a search: at most {rate:.2g}.)"


def record_line(record: Record) -> str:
    """Id, key and filepath."""
    return f"{record.id:16}  {record.key}  {record.filepath}"

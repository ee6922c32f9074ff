"""Records, hits and verdicts on the command line: text and JSON."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Annotated, Any

import typer

from bogv.records import Added, Hit, Match, NearDuplicate, Record, SearchResult

Json = Annotated[bool, typer.Option("--json", help="Print JSON, for scripts.")]

_VERDICTS = {
    "exact": "The gallery has this very file: {id}.",
    "copy": "The gallery has a copy of this picture: {id}.",
    "part": "The gallery has a picture that shows a part of this one, or the other way: {id}.",
    "none": "No copy of this picture was found.",
}


def added_as_json(added: Added) -> dict[str, Any]:
    """What an add has done with an image."""
    values = {name: getattr(added, name) for name in ("status", "filepath", "id", "key")}
    if added.error is not None:
        values["error"] = {"type": added.error.type, "detail": str(added.error)}
    if added.near_duplicate_of is not None:
        values["near_duplicate_of"] = added.near_duplicate_of.as_dict()
    return values


def describe_near_duplicate(added: Added, other: NearDuplicate) -> str:
    """A line on an added or skipped image that is the same picture as another."""
    what = "the same file as" if other.match.kind == "exact" else "a copy of"
    return f"{added.status}: {added.filepath}: {what} {other.id}  {other.key}"


def hit_as_json(hit: Hit) -> dict[str, Any]:
    """The record, its score and rarity, and what proves it to be the same picture."""
    return {
        **asdict(hit.record),
        "score": round(hit.score, 6),
        "rarity": hit.rarity,
        **hit.match.as_dict(),
    }


def describe_match(match: Match) -> str:
    """Its kind, and how a copy is turned."""
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


def describe_record(record: Record) -> str:
    """A line."""
    return f"{record.id:16}  {record.key}  {record.filepath}"


def count_noun(number: int, noun: str) -> str:
    """`1 image`, `2 images`."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def print_json(value: Any) -> None:
    """Indented, with all characters as they are."""
    print(json.dumps(value, ensure_ascii=False, indent=2))

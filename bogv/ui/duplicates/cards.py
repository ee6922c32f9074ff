"""Groups of duplicates as HTML."""

from __future__ import annotations

import time
from collections.abc import Callable
from html import escape
from typing import Literal

from bogv.duplicates.duplicates import RULES, Group, Scan
from bogv.records import Record
from bogv.ui.components import data_url, format_size, render_note
from bogv.ui.strings import Language, translate, translate_count

MAX_IMAGES = 12
"""Of a group, so many are shown."""
MAX_PREVIEWED = 60
MAX_CHARACTERS = 50
"""Of a key or a path, so many are shown: the cards stay short on a phone."""

Choice = Literal["largest", "oldest", "all"]
CHOICES: tuple[Choice, ...] = (*RULES, "all")
"""What is kept of a group."""


def render_group(
    group: Group, choice: Choice, read: Callable[[int], bytes], language: Language
) -> str:
    """A group as HTML: its pictures side by side. What differs from the one kept is marked; of a
    group of which all are kept, what differs from the largest."""
    kept = group.kept("largest" if choice == "all" else choice)
    match = translate(language, f"match_is_{group.match}")
    head = [
        f'<span class="bogv-badge bogv-match">{match}</span>',
        translate_count(language, "images", len(group.images)),
    ]
    if choice != "all":
        saved = format_size(group.saving(choice))
        head.append(f"<b>{translate(language, 'saving', size=saved)}</b>")
    if len(group.images) > MAX_IMAGES:
        head.append(translate(language, "images_shown", shown=MAX_IMAGES))
    first = [kept, *(each for each in group.images if each.id != kept.id)]
    figures = "".join(
        _render_image(each, kept, choice, read(each.id), language) for each in first[:MAX_IMAGES]
    )
    return (
        f'<div class="bogv-group-head">{" · ".join(head)}</div>'
        f'<div class="bogv-side-by-side">{figures}</div>'
    )


def _render_image(
    image: Record, kept: Record, choice: Choice, picture: bytes, language: Language
) -> str:
    is_kept = choice == "all" or image.id == kept.id
    rows = (
        ("size", f"{image.width} × {image.height}", (image.width, image.height)
         != (kept.width, kept.height)),
        ("file_size", format_size(image.size), image.size != kept.size),
        ("key", image.key, image.key != kept.key),
        ("filepath", image.filepath or "–", image.filepath != kept.filepath),
        ("added", _date(image), _date(image) != _date(kept)),
    )  # fmt: skip
    cells = "".join(
        f"<dt>{escape(translate(language, name))}</dt>"
        f'<dd title="{escape(text)}" data-field="{name}"'
        f"{' class=bogv-differs' if differs else ''}>{escape(_end(text))}</dd>"
        for name, text, differs in rows
    )
    fate = "kept" if is_kept else "to_delete"
    return (
        f'<figure class="bogv-{fate}" data-id="{image.id}">'
        f'<img src="{data_url(picture)}" alt="{escape(image.key)}" loading="lazy">'
        f"<figcaption><b>{translate(language, fate)}</b>"
        f'<dl class="bogv-record">{cells}</dl></figcaption></figure>'
    )


def _end(text: str) -> str:
    """The end of a long text: that of a path, with the file's name."""
    return text if len(text) <= MAX_CHARACTERS else f"…{text[-MAX_CHARACTERS:]}"


def _date(image: Record) -> str:
    return time.strftime("%Y-%m-%d %H:%M", time.localtime(image.added_at / 1000))


def render_place(page: int, pages: int, groups: int, language: Language) -> str:
    """Which page is shown, as HTML."""
    if not groups:
        return render_note(translate(language, "no_groups_left"))
    return render_note(
        translate(
            language,
            "groups_shown",
            page=page + 1,
            pages=f"{pages:,}",
            groups=f"{groups:,}",
        )
    )


def render_result(scan: Scan, language: Language) -> str:
    """The result of a scan as HTML, with what could not be compared."""
    others = scan.others("largest")
    text = f"<b>{translate_count(language, 'groups', len(scan.groups))}</b>" + translate(
        language,
        "groups_among",
        images=f"{scan.images:,}",
        others=f"{len(others):,}",
        size=format_size(sum(each.size for each in others)),
    )
    notes = []
    if any(group.match == "part" for group in scan.groups):
        notes.append(translate(language, "parts_found"))
    if scan.without_hash and scan.match != "exact":
        notes.append(translate(language, "without_hash", count=f"{scan.without_hash:,}"))
    if scan.is_cut:
        notes.append(translate(language, "scan_cut"))
    text += "".join(f"<small>{each}</small>" for each in notes)
    if scan.is_complete:
        return render_note(text, "good")
    return render_note(f"{translate(language, 'scan_stopped')} {text}")


def render_summary(others: list[Record], kept: int, language: Language) -> str:
    """What is about to be deleted, as HTML. kept: how many images stay in their place."""
    if not others:
        return render_note(translate(language, "nothing_to_delete"))
    text = f"<b>{translate_count(language, 'will_delete', len(others))}</b>" + translate(
        language,
        "will_keep",
        kept=f"{kept:,}",
        size=format_size(sum(each.size for each in others)),
    )
    if len(others) > MAX_PREVIEWED:
        text += f" {translate(language, 'images_shown', shown=MAX_PREVIEWED)}"
    return render_note(text)

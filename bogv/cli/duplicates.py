"""The duplicates of a gallery on the command line: progress, text, JSON."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from datetime import datetime
from types import TracebackType
from typing import Any

from tqdm import tqdm

from bogv.cli.results import count_noun
from bogv.duplicates.duplicates import Group, Rule, Scan, Stage
from bogv.records import Record

_TITLES: dict[Stage, str] = {"read": "Reading", "compare": "Comparing", "verify": "Verifying"}


class ScanBar:
    """A progress bar on stderr, one for each stage of a scan."""

    def __init__(self) -> None:
        self._bar: Any = None

    def __enter__(self) -> ScanBar:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._close()

    def show(self, stage: Stage, done: int, total: int) -> None:
        """Show how much of a stage is done."""
        if self._bar is None or self._bar.desc != f"{_TITLES[stage]}: ":
            self._close()
            self._bar = tqdm(desc=_TITLES[stage], total=total, unit_scale=True)
        self._bar.total = total
        self._bar.update(done - self._bar.n)

    def _close(self) -> None:
        if self._bar is not None:
            self._bar.close()


class Listing:
    """What a scan has found, if one image of each group is kept by a rule."""

    def __init__(self, scan: Scan, rule: Rule) -> None:
        self._scan = scan
        self._rule = rule
        others = scan.others(rule)
        self.others = len(others)
        """How many images the groups have besides those that are kept."""
        self.ids_of_others = [each.id for each in others]
        self.ids_of_kept = [each.id for each in scan.kept(rule)]
        self._bytes = sum(each.size for each in others)

    def lines(self) -> Iterator[str]:
        """The groups, and their sum."""
        for group in self._scan.groups:
            saving = f"{count_noun(group.saving(self._rule), 'byte')} to save"
            yield f"{group.match}: {count_noun(len(group.images), 'image')}, {saving}"
            kept = group.kept(self._rule)
            yield from (_line(image, image.id == kept.id) for image in group.images)
        groups = count_noun(len(self._scan.groups), "group")
        yield (
            f"{groups} among {count_noun(self._scan.images, 'image')};"
            f" {count_noun(self.others, 'image')}, {count_noun(self._bytes, 'byte')} to save"
        )

    def limits(self) -> Iterator[str]:
        """Lines: what the scan could not compare."""
        if self._scan.without_hash and self._scan.match != "exact":
            yield (
                f"Images too plain for a hash, or not hashed yet: {self._scan.without_hash:,}."
                " Of these, only equal files are found."
            )
        if self._scan.is_cut:
            yield "So many images look the same that only the closest pairs were looked at."

    def as_json(self, deleted: int | None) -> dict[str, Any]:
        """The groups, which image of each is kept, and how many images were compared."""
        return {
            "groups": [_as_json(group, self._rule) for group in self._scan.groups],
            "images": self._scan.images,
            "without_hash": self._scan.without_hash,
            **({} if deleted is None else {"deleted": deleted}),
        }


def _line(image: Record, is_kept: bool) -> str:
    added = datetime.fromtimestamp(image.added_at / 1000).astimezone()
    return (
        f"  {'keep' if is_kept else '':4} {image.id:16}  {f'{image.width} x {image.height}':>13}"
        f"  {image.size:>11,} bytes  {added:%Y-%m-%d %H:%M}  {image.key}  {image.filepath}"
    )


def _as_json(group: Group, rule: Rule) -> dict[str, Any]:
    return {
        "match": group.match,
        "keep": group.kept(rule).id,
        "saving": group.saving(rule),
        "images": [asdict(image) for image in group.images],
    }

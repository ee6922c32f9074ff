"""Other images to fit PCA and whitening on than the gallery that is evaluated: `--fit-on`.

Papers fit on a set of its own, such as Paris for Oxford. What a query of the evaluated dataset is,
byte for byte, is left out, so that nothing is ever fitted on what is then searched with.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from bogv.records import Vectors
from eval.data.catalogue import catalogue_entry
from eval.data.datasets import Dataset, dataset_digest, load
from eval.embedding.embed import Embedded
from eval.errors import WorkbenchError
from eval.report.results import ResultPart

SPLITS = ("queries", "gallery")


class FittedOn(ResultPart):
    """In run.json: what PCA was fitted on, other than the evaluated gallery."""

    dataset: str
    split: str | None
    """None: all images."""
    digest: str
    """Of the whole dataset, as `eval.data.datasets.dataset_digest` has it."""
    images: int
    """That it was fitted on."""
    left_out: int
    """Images with the bytes of a query of the evaluated dataset."""

    @property
    def text(self) -> str:
        """For people: `1,491 images of paris6k (gallery), digest 0123456789ab`."""
        split = f" ({self.split})" if self.split else ""
        left_out = f"; {self.left_out:,} left out, which are queries here" if self.left_out else ""
        return f"{self.images:,} images of {self.dataset}{split}, digest {self.digest}{left_out}"


@dataclass(frozen=True)
class FittingSet:
    """A dataset, loaded but not embedded, and which of its images to fit on."""

    dataset: Dataset
    split: str | None
    """`queries` or `gallery`; None: all of its images."""

    @classmethod
    def of(cls, setting: str, root: Path | None = None) -> FittingSet | None:
        """The set of a setting, `<dataset>[:<split>]`; None for `gallery`, the evaluated one.

        root: the dataset's own folder; None: below $BOGV_DATASETS. Raises DatasetError;
        WorkbenchError for a root of a dataset that has none.
        """
        if setting == "gallery":
            return None
        name, _, split = setting.partition(":")
        if root is not None and not catalogue_entry(name).needs_root:
            raise WorkbenchError(
                f"--fit-on {name}: it is inside a package and has no folder {str(root)!r}; its"
                f" parts are {' and '.join(SPLITS)}."
            )
        return cls(load(name, root), split or None)

    def embed(
        self, embed_images: Callable[[Dataset], Embedded], queries: set[str]
    ) -> tuple[Vectors, FittedOn]:
        """(n, d) float32, the embeddings to fit on, and what they are.

        embed_images: with the settings of the run. queries: SHA-256 of the evaluated queries'
        bytes. Raises WorkbenchError where no image is left; what `embed_images` raises.
        """
        embedded, name = embed_images(self.dataset), self.dataset.spec.id
        splits = {"queries": self.dataset.queries, "gallery": self.dataset.gallery}
        images = splits[self.split] if self.split else range(len(self.dataset.items))
        kept = [index for index in images if embedded.digests[index] not in queries]
        if not kept:
            raise WorkbenchError(
                f"--fit-on {name}: all of its {len(images):,} images are queries of the evaluated"
                " dataset; fit on images that are none."
            )
        return embedded.vectors[kept], FittedOn(
            dataset=name,
            split=self.split,
            digest=dataset_digest(self.dataset, embedded.digests),
            images=len(kept),
            left_out=len(images) - len(kept),
        )

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from bogv.imaging.decoder import Decoder
from eval.data.catalogue import DatasetError
from eval.data.datasets import Dataset, dataset_digest
from eval.embedding.embed import Embedded, embed
from eval.embedding.fitting import FittingSet
from eval.errors import WorkbenchError
from tests.support.fakes import fake_embedder, png


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Six pictures in two classes."""
    for seed in range(6):
        path = tmp_path / "other" / f"class {seed % 2}" / f"{seed}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(png(seed))
    return tmp_path / "other"


@pytest.fixture
def by_role(root: Path) -> Path:
    lines = [
        f"class {seed % 2}/{seed}.png,a,{'query' if seed < 2 else 'gallery'}" for seed in range(6)
    ]
    (root / "labels.csv").write_text("\n".join(["path,label,role", *lines]))
    return root


def embedded(dataset: Dataset) -> Embedded:
    return embed(
        dataset,
        fake_embedder(),
        Decoder(100_000, 1_000_000),
        Path(str(dataset.root)) / "cache",
        progress=False,
    )


def made(setting: str, root: Path | None = None) -> FittingSet:
    found = FittingSet.of(setting, root)
    assert found is not None
    return found


def test_all_images_of_a_dataset_are_fitted_on_and_named(root: Path) -> None:
    chosen = made("folder", root)
    vectors, part = chosen.embed(embedded, set())
    whole = embedded(chosen.dataset)
    assert np.array_equal(vectors, whole.vectors)
    assert (part.dataset, part.split, part.images, part.left_out) == ("folder", None, 6, 0)
    assert part.digest == dataset_digest(chosen.dataset, whole.digests)
    assert part.text == f"6 images of folder, digest {part.digest}"


def test_a_split_is_its_queries_or_its_gallery(by_role: Path) -> None:
    sizes = {
        split: len(made(f"folder{split}", by_role).embed(embedded, set())[0])
        for split in ("", ":queries", ":gallery")
    }
    assert sizes == {"": 6, ":queries": 2, ":gallery": 4}


def test_queries_of_the_evaluated_dataset_are_left_out_by_their_bytes(root: Path) -> None:
    chosen = made("folder", root)
    digests = embedded(chosen.dataset).digests
    vectors, part = chosen.embed(embedded, set(digests[:2]))
    assert np.array_equal(vectors, embedded(chosen.dataset).vectors[2:])
    assert (part.images, part.left_out) == (4, 2)
    assert part.text.endswith("; 2 left out, which are queries here")
    with pytest.raises(WorkbenchError, match="all of its 6 images are queries of the evaluated"):
        chosen.embed(embedded, set(digests))


def test_the_gallery_is_no_other_set_and_errors_are_clear(tmp_path: Path) -> None:
    assert FittingSet.of("gallery") is None
    with pytest.raises(WorkbenchError, match="digits: it is inside a package and has no folder"):
        FittingSet.of("digits", Path("train"))
    with pytest.raises(DatasetError, match="There is no folder"):
        FittingSet.of("folder", tmp_path / "nowhere")

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from bogv.embedding.weights import Weights
from bogv.imaging.decoder import Decoder
from eval.data.items import Item
from eval.embedding.embed import embed
from eval.embedding.stored import StoredVectors, absence_note
from eval.errors import WorkbenchError
from eval.selftest import made_up

STORED = StoredVectors(
    "v.npz", ["b", "a", "c"], np.eye(3, dtype=np.float32), Weights("unknown", None, "fa"), {}
)


def test_vectors_come_in_the_order_of_the_names() -> None:
    found = STORED.select(["a", "b", "c"], is_sample=False)
    assert found.tolist() == [[0, 1, 0], [1, 0, 0], [0, 0, 1]]


def test_missing_and_additional_ids_are_named() -> None:
    with pytest.raises(
        WorkbenchError, match=r"no vector for 2 of the dataset's 3 images: 'x', 'y'"
    ):
        STORED.select(["x", "a", "y"], is_sample=False)
    with pytest.raises(WorkbenchError, match="1 ids that are no images of the dataset: 'c'"):
        STORED.select(["a", "b"], is_sample=False)
    assert len(STORED.select(["a", "b"], is_sample=True)) == 2


def test_images_that_cannot_be_read_are_none_of_anothers_duplicates(tmp_path: Path) -> None:
    def fail() -> bytes:
        raise FileNotFoundError

    reads = {"a": fail, "b": lambda: b"", "c": lambda: b"image"}
    made = made_up(["label"] * 3)
    items = [Item(name, "label", read) for name, read in reads.items()]
    dataset = replace(made, items=items)
    found = embed(dataset, STORED, Decoder(1, 1), tmp_path, progress=False)
    assert (found.absent, found.new) == (2, 0)
    assert len(set(found.digests)) == 3
    assert found.digests[2] == hashlib.sha256(b"image").hexdigest()
    assert found.vectors.tolist() == [[0, 1, 0], [1, 0, 0], [0, 0, 1]]


def test_images_that_are_not_there_are_counted() -> None:
    assert absence_note(0, 5) is None
    assert "IMAGES: 2 of 5 are not there" in str(absence_note(2, 5))

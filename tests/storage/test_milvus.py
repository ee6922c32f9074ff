"""A gallery is opened where it is bogv's own, of these weights and this version."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pymilvus import DataType

from bogv.errors import GalleryMismatch
from bogv.storage.milvus import MilvusStore
from bogv.storage.schema import collection_schema


def test_a_collection_of_another_application_is_not_used(tmp_path: Path) -> None:
    store = MilvusStore.lite(tmp_path, "images")
    store._client.create_collection("images", dimension=4)
    with pytest.raises(GalleryMismatch, match="BOGV_COLLECTION"):
        store.existing_fingerprint()
    store.close()


def test_a_missing_index_is_created(tmp_path: Path) -> None:
    store = MilvusStore.lite(tmp_path, "images")
    store._client.create_collection("images_fake0000", schema=collection_schema(2048))
    store._client.create_alias("images_fake0000", "images")
    assert store._client.list_indexes("images") == []
    store.open("fake0000", 2048)
    assert store._client.list_indexes("images") == ["embedding"]
    store.close()


def test_a_gallery_of_another_version_of_bogv_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def newer_schema(dimension: int) -> Any:
        fields = collection_schema(dimension)
        fields.add_field("colour", DataType.INT32)
        return fields

    newer = MilvusStore.lite(tmp_path, "images")
    with monkeypatch.context() as patched:
        patched.setattr("bogv.storage.schema.collection_schema", newer_schema)
        newer.open("fake0000", 2048)
    store = MilvusStore.lite(tmp_path, "images")
    with pytest.raises(GalleryMismatch, match=r"another version of bogv.*colour.*Use that version"):
        store.open("fake0000", 2048)
    newer.close()


def test_the_error_for_other_weights_says_what_to_do(tmp_path: Path) -> None:
    store = MilvusStore.lite(tmp_path, "images")
    store.open("weights1", 2048)
    with pytest.raises(GalleryMismatch, match=r"restore BOGV_WEIGHTS.*another BOGV_DATA_DIR"):
        store.open("weights2", 2048)
    store.close()

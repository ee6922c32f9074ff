"""The baseline: a typical implementation with which `speed` compares bogv.

PIL decodes the whole image, torch runs eagerly in fp32, one image at a time, one insert an image,
and the gallery is searched row by row. It is what the projects that search images by image ship,
written out so that everybody can see what the ratios stand against.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from pymilvus import DataType, MilvusClient

from bogv.embedding.weights import DIMENSION, Weights
from bogv.records import Vectors

THUMBNAIL = 384
ROWS = 500


class Baseline:
    """An image search in some fifty lines, on Milvus Lite in a folder."""

    def __init__(self, weights: Weights, folder: Path) -> None:
        import torch
        from torchvision.models import ResNet50_Weights, resnet50

        self._torch = torch
        torch.manual_seed(weights.seed)
        self._network = resnet50(weights=None)
        if weights.path is not None:
            self._network.load_state_dict(torch.load(weights.path, weights_only=True))
        self._network.fc = torch.nn.Identity()
        self._network.eval()
        self._transform = ResNet50_Weights.IMAGENET1K_V1.transforms()
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self._client = MilvusClient(str(folder / "usual.db"))
        if self._client.has_collection("usual"):
            self._client.load_collection("usual")
        else:
            self._create()

    def _create(self) -> None:
        schema = self._client.create_schema(auto_id=True)
        schema.add_field("id", DataType.INT64, is_primary=True)
        schema.add_field("key", DataType.VARCHAR, max_length=512)
        schema.add_field("filepath", DataType.VARCHAR, max_length=2048)
        schema.add_field("embedding", DataType.FLOAT_VECTOR, dim=DIMENSION)
        index = self._client.prepare_index_params()
        index.add_index("embedding", index_type="FLAT", metric_type="COSINE")
        self._client.create_collection("usual", schema=schema, index_params=index)

    def close(self) -> None:
        """Disconnect from the database."""
        self._client.close()

    def resize(self, image: Image.Image) -> Any:
        """An RGB image -> a (3, 224, 224) tensor, normalised."""
        return self._transform(image)

    def embed(self, pixels: Any) -> Vectors:
        """What `resize` returns -> (2048,) float32 of length 1."""
        with self._torch.inference_mode():
            features = self._network(pixels[None])[0].numpy()
        vector: Vectors = features / np.linalg.norm(features)
        return vector

    def add(self, path: Path) -> None:
        """One image: its embedding, its thumbnail, its row."""
        data, key = read(path)
        image = decode(data)
        vector = self.embed(self.resize(image))
        self.save_thumbnail(key, image)
        self.insert(key, path, vector)

    def save_thumbnail(self, key: str, image: Image.Image) -> None:
        """Make the image's thumbnail, of the image itself, and write it."""
        image.thumbnail((THUMBNAIL, THUMBNAIL))
        image.save(self._folder / f"{key}.webp")

    def insert(self, key: str, path: Path, vector: Vectors) -> None:
        """An image's row."""
        self._insert([{"key": key, "filepath": str(path), "embedding": vector}])

    def fill(self, vectors: Vectors) -> None:
        """Rows without images, made searchable. (n, 2048) float32."""
        rows = [{"key": "", "filepath": "", "embedding": vector} for vector in vectors]
        for start in range(0, len(rows), ROWS):
            self._insert(rows[start : start + ROWS])
        self._client.flush("usual")

    def search(self, data: bytes, limit: int = 10) -> Sequence[Any]:
        """The nearest rows to an image, best first: mappings with `distance` and `entity`."""
        found = self._client.search(
            "usual",
            data=[self.embed(self.resize(decode(data)))],
            limit=limit,
            output_fields=["key", "filepath"],
            search_params={"metric_type": "COSINE"},
        )
        return found[0]  # type: ignore[no-any-return]

    def _insert(self, rows: list[dict[str, Any]]) -> None:
        self._client.insert("usual", rows)


def read(path: Path) -> tuple[bytes, str]:
    """A file's bytes, and their MD5 as the image's key."""
    data = path.read_bytes()
    return data, hashlib.md5(data, usedforsecurity=False).hexdigest()


def decode(data: bytes) -> Image.Image:
    """The whole image, in RGB."""
    return Image.open(io.BytesIO(data)).convert("RGB")

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

from bogv.embedding.embedder import Embedder
from bogv.embedding.weights import Weights
from bogv.imaging.decoder import Decoder
from bogv.records import Pixels, Vectors
from eval.data.catalogue import DatasetError
from eval.data.datasets import Dataset
from eval.data.items import Item
from eval.embedding import embed as embedding
from eval.embedding.embed import Embedded, embed
from eval.embedding.settings import OWN_SETTINGS, EmbeddingSettings, prepare_input
from eval.errors import WorkbenchError
from eval.selftest import made_up
from tests.support.fakes import FakeEngine, encoded, fake_embedder, picture, png

DECODER = Decoder(100_000, 1_000_000)
CANONICAL = 4
"""Images of the first batch of each view."""


def images(*readers: Callable[[], bytes]) -> Dataset:
    items = [Item(f"{n}.png", "label", read) for n, read in enumerate(readers)]
    dataset = made_up(["label"] * len(items))
    return Dataset(dataset.spec, None, items, dataset.queries, dataset.gallery)


def pictures(count: int) -> Dataset:
    return images(*((lambda seed=seed: png(seed)) for seed in range(count)))


def embedded(
    dataset: Dataset,
    cache: Path,
    engine: FakeEngine,
    fingerprint: str = "fake0000",
    settings: EmbeddingSettings = OWN_SETTINGS,
) -> Embedded:
    embedder = Embedder(Weights("custom", None, fingerprint), engine)
    return embed(dataset, embedder, DECODER, cache, settings=settings, progress=False)


def test_embeddings_are_the_embedders_own(tmp_path: Path) -> None:
    found = embedded(pictures(5), tmp_path, FakeEngine())
    pixels = np.stack([DECODER.decode(png(seed)).pixels for seed in range(5)])
    assert np.array_equal(found.vectors, fake_embedder().embed(pixels))
    assert found.new == 5
    assert len(set(found.digests)) == 5


def test_cached_images_are_not_embedded_again(tmp_path: Path) -> None:
    first = embedded(pictures(5), tmp_path, FakeEngine())
    engine = FakeEngine()
    again = embedded(pictures(5), tmp_path, engine)
    assert (engine.batches, again.new) == ([CANONICAL], 0)
    assert again.vectors.tobytes() == first.vectors.tobytes()
    assert again.digests == first.digests


def test_an_interrupted_run_can_be_resumed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embedding, "BATCH", 4)

    class Interrupted(FakeEngine):
        def compute(self, pixels: Pixels) -> Vectors:
            if len(self.batches) == 3:
                raise KeyboardInterrupt
            return super().compute(pixels)

    with pytest.raises(KeyboardInterrupt):
        embedded(pictures(11), tmp_path, Interrupted())
    engine = FakeEngine()
    resumed = embedded(pictures(11), tmp_path, engine)
    assert (engine.batches, resumed.new) == ([CANONICAL, 3], 3)
    whole = embedded(pictures(11), tmp_path / "other", FakeEngine())
    assert resumed.vectors.tobytes() == whole.vectors.tobytes()


def test_other_weights_and_other_engines_have_embeddings_of_their_own(tmp_path: Path) -> None:
    class Other(FakeEngine):
        name = "other"

    assert embedded(pictures(2), tmp_path, FakeEngine()).new == 2
    assert embedded(pictures(2), tmp_path, FakeEngine(), fingerprint="feed").new == 2
    assert embedded(pictures(2), tmp_path, Other()).new == 2


def test_variants_have_embeddings_of_their_own(tmp_path: Path) -> None:
    for settings in (
        OWN_SETTINGS,
        EmbeddingSettings(crop="pad"),
        EmbeddingSettings(pooling="gem"),
        EmbeddingSettings(size=448),
    ):
        assert embedded(pictures(2), tmp_path, FakeEngine(), settings=settings).new == 2
    # What follows the network is worked out anew.
    assert (
        embedded(pictures(2), tmp_path, FakeEngine(), settings=EmbeddingSettings(post="pca:1")).new
        == 0
    )
    names = {path.stem.rpartition("-")[0] for path in tmp_path.iterdir()}
    assert names == {"fake0000-fake", "fake0000-fake-pad", "fake0000-fake-gem", "fake0000-fake-448"}


def test_a_flip_is_the_mean_with_the_mirrors_embedding_of_length_one(tmp_path: Path) -> None:
    plain = embedded(pictures(3), tmp_path, FakeEngine())
    engine = FakeEngine()
    found = embedded(pictures(3), tmp_path, engine, settings=EmbeddingSettings(tta="flip"))
    # After the canonical images, both ways
    assert (engine.batches, found.new) == (
        [CANONICAL, CANONICAL, 3],
        3,
    )  # the mirrors alone; the rest is on disk
    pixels = np.stack([DECODER.decode(png(seed)).pixels[:, ::-1] for seed in range(3)])
    mean = plain.vectors + fake_embedder().embed(pixels)
    expected = mean / np.linalg.norm(mean, axis=1, keepdims=True)
    assert np.abs(found.vectors - expected).max() < 1e-6
    assert np.abs(found.vectors - plain.vectors).max() > 1e-3
    again = embedded(pictures(3), tmp_path, FakeEngine(), settings=EmbeddingSettings(tta="flip"))
    assert again.new == 0
    assert again.vectors.tobytes() == found.vectors.tobytes()


def test_scales_are_the_mean_of_the_embeddings_of_length_one(tmp_path: Path) -> None:
    scales = (0.7071, 1, 1.4142)
    settings = EmbeddingSettings(scales=scales, tta="flip", post="pca:2")
    sizes: list[int] = []

    def load(variant: EmbeddingSettings) -> Embedder:
        sizes.append(variant.size)
        return fake_embedder()

    own = fake_embedder()
    found = embed(pictures(3), own, DECODER, tmp_path, settings=settings, load=load, progress=False)
    assert (sizes, found.new) == ([160, 320], 3)
    mean = np.zeros_like(found.vectors)
    for size in (160, 224, 320):
        for mirror in (False, True):
            one = EmbeddingSettings(size=size)
            pixels = [prepare_input(png(n), DECODER, one, mirror=mirror) for n in range(3)]
            mean += fake_embedder().embed(np.stack(pixels))
    expected = mean / np.linalg.norm(mean, axis=1, keepdims=True)
    assert np.abs(found.vectors - expected).max() < 1e-6
    # A scale is cached as its size is: a run at that size finds it there.
    for size in (160, 224, 320):
        one = EmbeddingSettings(size=size)
        assert embedded(pictures(3), tmp_path, FakeEngine(), settings=one).new == 0


def test_an_image_and_its_mirror_count_as_one_new_image(tmp_path: Path) -> None:
    assert (
        embedded(pictures(3), tmp_path, FakeEngine(), settings=EmbeddingSettings(tta="flip")).new
        == 3
    )


def test_equal_bytes_are_embedded_once_and_a_lone_image_goes_in_twice(tmp_path: Path) -> None:
    engine = FakeEngine()
    found = embedded(images(lambda: png(1), lambda: png(1), lambda: png(1)), tmp_path, engine)
    assert (engine.batches, found.new) == ([CANONICAL, 2], 1)
    assert found.vectors[0].tobytes() == found.vectors[2].tobytes()


@pytest.mark.parametrize(
    ("read", "reason"),
    [
        (lambda: png(1)[:200], "damaged or cut short"),
        (lambda: b"no image", "no image of a known format"),
        (lambda: b"", "The file is empty"),
        (Path("/nowhere/at/all.png").read_bytes, "No such file"),
    ],
)
def test_an_item_that_cannot_be_used_is_named(
    tmp_path: Path, read: Callable[[], bytes], reason: str
) -> None:
    with pytest.raises(DatasetError, match=f"made-up: the image '1.png' can't be used: .*{reason}"):
        embedded(images(lambda: png(0), read), tmp_path, FakeEngine())


def damage(cache: Path, statement: str) -> None:
    [path] = cache.glob("*.sqlite")
    with closing(sqlite3.connect(path)) as database, database:
        assert database.execute(statement).rowcount == 1


@pytest.mark.parametrize(
    "change",
    [
        "vector = substr(vector, 1, 28)",
        "vector = zeroblob(8192)",
        "vector = cast(x'c07f' AS TEXT)",  # not UTF-8
        "vector = cast(x'0000c07f' || substr(vector, 5) AS BLOB)",  # a NaN
        "vector = NULL",
        "vector = 'text'",
        "pixels = 'others'",
        "checksum = checksum + 1",
    ],
)
def test_a_damaged_row_of_the_cache_is_found_and_made_again_with_a_warning(
    tmp_path: Path, change: str, caplog: pytest.LogCaptureFixture
) -> None:
    first = embedded(pictures(3), tmp_path, FakeEngine())
    damage(tmp_path, f"UPDATE embeddings SET {change} WHERE sha256 = '{first.digests[1]}'")  # noqa: S608
    again = embedded(pictures(3), tmp_path, FakeEngine())
    assert (again.new, again.pixels, again.digests) == (1, first.pixels, first.digests)
    assert again.vectors.tobytes() == first.vectors.tobytes()
    [record] = caplog.records
    assert record.getMessage().startswith("1 embeddings in the cache")
    assert embedded(pictures(3), tmp_path, FakeEngine()).new == 0


def test_a_row_that_stands_under_another_images_digest_is_found(tmp_path: Path) -> None:
    first = embedded(pictures(3), tmp_path, FakeEngine())
    damage(tmp_path, f"DELETE FROM embeddings WHERE sha256 = '{first.digests[0]}'")  # noqa: S608
    damage(
        tmp_path,
        f"UPDATE embeddings SET sha256 = '{first.digests[0]}'"  # noqa: S608
        f" WHERE sha256 = '{first.digests[1]}'",
    )
    again = embedded(pictures(3), tmp_path, FakeEngine())
    assert again.new == 2
    assert again.vectors.tobytes() == first.vectors.tobytes()


def test_a_network_that_gives_nan_for_an_image_is_named_with_it(tmp_path: Path) -> None:
    class Broken(FakeEngine):
        def compute(self, pixels: Pixels) -> Vectors:
            vectors = super().compute(pixels)
            if len(pixels) == 3:
                vectors[1, 7] = np.nan
            return vectors

    with pytest.raises(DatasetError, match=r"NaN or infinity for the image '1\.png'"):
        embedded(pictures(3), tmp_path, Broken())
    assert embedded(pictures(3), tmp_path, FakeEngine()).new == 3


def test_the_same_picture_in_two_formats_has_the_same_pixels(tmp_path: Path) -> None:
    webp = encoded(picture(0), "WEBP", lossless=True)
    found = embedded(images(lambda: png(0), lambda: webp, lambda: png(1)), tmp_path, FakeEngine())
    assert found.digests[0] != found.digests[1]
    assert found.pixels[0] == found.pixels[1] != found.pixels[2]
    assert embedded(pictures(2), tmp_path, FakeEngine()).pixels == [
        found.pixels[0],
        found.pixels[2],
    ]


def test_caches_of_earlier_versions_are_left_alone(tmp_path: Path) -> None:
    old = tmp_path / "fake0000-fake.sqlite"
    old.write_bytes(b"no database" * 100)
    assert embedded(pictures(1), tmp_path, FakeEngine()).new == 1
    assert old.read_bytes() == b"no database" * 100


def test_a_cache_folder_that_cannot_be_made_is_one_clear_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(WorkbenchError, match="name another folder with --cache"):
        embedded(pictures(1), tmp_path / "file" / "cache", FakeEngine())

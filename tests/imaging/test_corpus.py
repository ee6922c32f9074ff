"""A corpus of broken and unusual images: each one is decoded or raises the expected error."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from functools import cache, partial

import pytest

from bogv.errors import BogvError, DamagedImage, NotAnImage, TooLarge
from bogv.imaging.decoder import Decoder
from bogv.records import NewImage
from bogv.service import ImageSearch
from bogv.storage.milvus import MilvusStore
from tests.imaging.support.corpus import KINDS, Case, corpus, mutated
from tests.imaging.support.structures import restructured
from tests.support.fakes import fake_search

# Pillow warns about odd metadata in images that it then reads.
pytestmark = pytest.mark.filterwarnings("ignore::UserWarning:PIL")

MAX_BYTES = 20 * 1024 * 1024


@pytest.fixture(scope="module")
def search(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ImageSearch]:
    folder = tmp_path_factory.mktemp("corpus")
    store = MilvusStore.lite(folder, "images")
    service = fake_search(store, folder, max_bytes=MAX_BYTES, max_pixels=64_000_000)
    yield service
    service.close()


@cache
def cases() -> list[Case]:
    return list(corpus())


def may_decode(case: Case) -> bool:
    return not case.errors or BogvError in case.errors


@pytest.mark.parametrize("kind", [*KINDS, "other"])
def test_each_file_is_decoded_or_raises_the_expected_error(kind: str) -> None:
    decoder = Decoder(MAX_BYTES, 64_000_000)
    selected = [case for case in cases() if kind == _kind(case)]
    assert selected
    for case in selected:
        try:
            decoded = decoder.decode(case.data, thumbnail=True)
        except BogvError as error:
            assert isinstance(error, case.errors), (case.name, error)  # noqa: PT017
            assert str(error).endswith("."), (case.name, error)  # noqa: PT017
        else:
            assert may_decode(case), case.name
            assert decoded.pixels.shape == (224, 224, 3), case.name
            assert (decoded.thumbnail or b"")[8:12] == b"WEBP", case.name


def _kind(case: Case) -> str:
    first = case.name.split()[0]
    return first if first in KINDS else "other"


def test_only_files_that_decode_are_added_to_the_gallery(search: ImageSearch) -> None:
    """Bad files among good ones: each gets its own verdict, and only the good ones count."""
    images = [
        NewImage(partial(bytes, case.data), filepath=f"/{case.name}.jpg", key=case.name)
        for case in cases()
    ]
    verdicts = list(search.add_many(images))
    for case, added in zip(cases(), verdicts, strict=True):
        if added.error is None:
            assert added.status == "created", case.name
            assert may_decode(case), case.name
        else:
            assert isinstance(added.error, case.errors), (case.name, added.error)
    good = [added for added in verdicts if added.error is None]
    assert search.stats().count == len(good) > 200
    assert all(search.thumbnails.read(added.id or 0) for added in good)
    # Added one by one, too: a failure leaves the gallery as it was.
    for case, added in zip(cases(), verdicts, strict=True):
        if added.error is not None and case.name.endswith(("3", "jpg", "zeros")):
            with pytest.raises(type(added.error)):
                search.add(case.data, "again")
    assert search.stats().count == len(good)
    assert search.delete_ids([added.id or 0 for added in good]) == len(good)


def test_the_format_comes_from_the_bytes_and_not_from_the_name(search: ImageSearch) -> None:
    [page] = [case for case in cases() if case.name == "HTML named .jpg"]
    with pytest.raises(BogvError, match="no image of a known format"):
        search.add(page.data, filepath="/photos/cat.jpg")
    [gif] = [case for case in cases() if case.name == "GIF"]
    added = search.add(gif.data, "gif", "/photos/cat.png")
    assert added.status == "created"
    assert search.delete_keys(["gif"]) == 1


def test_the_corpus_and_the_mutations_are_deterministic() -> None:
    assert list(corpus()) == cases()
    assert [mutated(seed) for seed in range(50)] == [mutated(seed) for seed in range(50)]
    assert len({mutated(seed) for seed in range(50)}) > 45


def test_structurally_mutated_images_decode_or_raise_a_known_error() -> None:
    """tests/soak/test_mutations.py sends 20,000 of them to a server."""
    assert [restructured(seed) for seed in range(50)] == [restructured(seed) for seed in range(50)]
    with closing(Decoder(MAX_BYTES, 1_000_000, seconds=1)) as decoder:
        outcomes = Counter(_outcome(decoder, restructured(seed)) for seed in range(400))
    assert outcomes["Picture"] > 50
    assert outcomes["DamagedImage"] > 50


def _outcome(decoder: Decoder, data: bytes) -> str:
    try:
        return type(decoder.decode(data, thumbnail=True)).__name__
    except BogvError as error:
        assert isinstance(error, DamagedImage | NotAnImage | TooLarge), error  # noqa: PT017
        return type(error).__name__

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from bogv.embedding.embedder import Embedder, load_embedder
from bogv.embedding.engines import MEAN, STD
from bogv.embedding.weights import Weights, resolve
from bogv.errors import EngineFailed, WeightsUnavailable
from bogv.imaging.decoder import Decoder
from bogv.records import Pixels

DECODER = Decoder(20 << 20, 64_000_000)
CANONICAL = Path(__file__).parent / "canonical.png"


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """With a saved model that is damaged: OpenVINO's engine converts the network again."""
    folder = tmp_path_factory.mktemp("cache")
    name = f"resnet50-{resolve('untrained').fingerprint}.xml"
    (folder / name).write_bytes(b'<?xml version="1.0"?>\n<net name="Model0" vers')
    return folder


@pytest.fixture(scope="module")
def openvino(cache: Path) -> Embedder:
    pytest.importorskip("openvino")
    return load_embedder(resolve("untrained"), "openvino", cache)


@pytest.fixture(scope="module")
def torch_engine(cache: Path) -> Embedder:
    return load_embedder(resolve("untrained"), "torch", cache)


@pytest.fixture(scope="module")
def pixels(photos: list[Path]) -> Pixels:
    """(n, 224, 224, 3): a spread of the photos at hand."""
    some = photos[:: max(1, len(photos) // 24)]
    return np.stack([DECODER.decode(path.read_bytes()).pixels for path in some])


def test_mean_and_deviation_are_torchvisions() -> None:
    from torchvision.models import ResNet50_Weights

    steps = ResNet50_Weights.IMAGENET1K_V1.transforms()
    assert pytest.approx(np.array(steps.mean) * 255) == MEAN
    assert pytest.approx(np.array(steps.std) * 255) == STD


def test_embeddings_are_2048_floats_of_length_one(openvino: Embedder, pixels: Pixels) -> None:
    vectors = openvino.embed(pixels[:3])
    assert vectors.shape == (3, 2048)
    assert vectors.dtype == np.float32
    assert np.linalg.norm(vectors, axis=1) == pytest.approx(1, abs=1e-5)
    assert openvino.embed(pixels[:0]).shape == (0, 2048)


def test_the_engines_agree(openvino: Embedder, torch_engine: Embedder, pixels: Pixels) -> None:
    cosines = (openvino.embed(pixels) * torch_engine.embed(pixels)).sum(axis=1)
    assert cosines.min() >= 0.999


@pytest.mark.parametrize("engine", ["openvino", "torch_engine"])
def test_a_batch_and_single_images_give_the_same_embeddings(
    engine: str, pixels: Pixels, request: pytest.FixtureRequest
) -> None:
    embedder = request.getfixturevalue(engine)
    singles = np.concatenate([embedder.embed(image[np.newaxis]) for image in pixels[:6]])
    assert np.abs(embedder.embed(pixels[:6]) - singles).max() < 1e-3


@pytest.mark.parametrize("engine", ["openvino", "torch_engine"])
def test_the_mean_of_the_feature_map_is_the_embedding(
    engine: str, pixels: Pixels, request: pytest.FixtureRequest
) -> None:
    embedder = request.getfixturevalue(engine)
    maps = embedder.feature_maps(pixels[:3])
    assert maps.shape == (3, 7, 7, 2048)
    assert maps.dtype == np.float32
    means = maps.mean(axis=(1, 2))
    means /= np.linalg.norm(means, axis=1, keepdims=True)
    singles = np.concatenate([embedder.embed(image[np.newaxis]) for image in pixels[:3]])
    assert np.abs(means - singles).max() < 1e-3
    assert maps[0].std(axis=(0, 1)).max() > 0


def test_the_model_of_the_feature_map_is_compiled_when_it_is_needed(cache: Path) -> None:
    pytest.importorskip("openvino")
    embedder = load_embedder(resolve("untrained"), "openvino", cache)
    grey = np.full((1, 224, 224, 3), 128, np.uint8)
    embedder.embed(grey)
    assert "_map_model" not in vars(embedder._engine)
    embedder.feature_maps(grey)
    assert "_map_model" in vars(embedder._engine)


def test_a_failing_engine_says_so_for_feature_maps_too(
    torch_engine: Embedder, pixels: Pixels, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_: Pixels) -> Pixels:
        raise RuntimeError("out of memory")

    monkeypatch.setattr(torch_engine._engine, "compute_maps", fail)
    with pytest.raises(EngineFailed, match="out of memory"):
        torch_engine.feature_maps(pixels[:1])


def test_canonical_pixels_pin_the_preprocessing() -> None:
    """Values of a committed image: a change in decode, resize or crop changes them."""
    seen = DECODER.decode(CANONICAL.read_bytes()).pixels
    expected = {
        (0, 0): [209, 175, 68],
        (0, 223): [31, 142, 110],
        (112, 112): [121, 91, 135],
        (223, 0): [157, 166, 13],
        (223, 223): [209, 193, 38],
        (60, 170): [107, 76, 47],
    }
    for (row, column), value in expected.items():
        assert np.abs(seen[row, column].astype(int) - value).max() <= 1


@pytest.mark.parametrize("engine", ["openvino", "torch_engine"])
def test_canonical_embedding_pins_the_network(engine: str, request: pytest.FixtureRequest) -> None:
    """Untrained weights (seed 0): the first values, as torch gave them in single precision."""
    embedder = request.getfixturevalue(engine)
    vector = embedder.embed(DECODER.decode(CANONICAL.read_bytes()).pixels[np.newaxis])[0]
    expected = np.array(
        [
            0.02005,
            0.0178,
            0.02863,
            0.00904,
            0.02585,
            0.02236,
            0.00196,
            0.00357,
            3e-05,
            0.00013,
            0.00421,
            0.00677,
        ]
    )
    assert np.abs(vector[: len(expected)] - expected).max() < 5e-4


def test_the_second_start_imports_no_torch(openvino: Embedder, cache: Path) -> None:
    script = (
        "import sys; from pathlib import Path; from bogv.embedding.weights import resolve;"
        "from bogv.embedding.embedder import load_embedder;"
        "load_embedder(resolve('untrained'), 'openvino', Path(sys.argv[1]));"
        "print('torch' in sys.modules)"
    )
    command = [sys.executable, "-c", script, str(cache)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def test_a_damaged_saved_model_is_converted_again(
    cache: Path, openvino: Embedder, pixels: Pixels
) -> None:
    [saved] = cache.glob("*.xml")
    assert saved.stat().st_size > 10_000
    before = saved.stat().st_mtime_ns
    again = load_embedder(resolve("untrained"), "openvino", cache)
    assert np.allclose(again.embed(pixels[:1]), openvino.embed(pixels[:1]), atol=1e-5)
    assert saved.stat().st_mtime_ns == before  # read, not converted


def test_weights_from_a_file_are_used(tmp_path: Path, pixels: Pixels) -> None:
    import torch
    from torchvision.models import resnet50

    torch.manual_seed(1)
    network = resnet50(weights=None).eval()
    torch.save(network.state_dict(), tmp_path / "mine.pth")
    embedder = load_embedder(resolve(str(tmp_path / "mine.pth")), "torch", tmp_path)
    network.fc = torch.nn.Identity()
    with torch.inference_mode():
        scaled = (torch.from_numpy(pixels[:2]).float() - torch.tensor(MEAN)) / torch.tensor(STD)
        expected = torch.nn.functional.normalize(network(scaled.permute(0, 3, 1, 2))).numpy()
    assert np.abs(embedder.embed(pixels[:2]) - expected).max() < 1e-4


@pytest.mark.parametrize("content", [b"not a checkpoint", b""])
def test_a_file_that_is_not_a_resnet50_is_rejected(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "bad.pth"
    path.write_bytes(content)
    with pytest.raises(WeightsUnavailable, match="not a state dict"):
        load_embedder(Weights("custom", path, "0"), "torch", tmp_path)

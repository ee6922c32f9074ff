from __future__ import annotations

import pickle
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from safetensors.torch import save_file

from bogv.embedding import state_dict
from bogv.embedding.engines import DEFAULT_NETWORK, _load_network
from bogv.embedding.state_dict import SHAPES, digest_numbers, read_state_dict
from bogv.embedding.weights import CUSTOM, Weights, resolve
from bogv.errors import WeightsUnavailable
from tests.embedding.support.origins import SMALL, as_safetensors, as_torch, small_numbers


@pytest.fixture(scope="module")
def network() -> torch.nn.Module:
    """An untrained ResNet50, with running statistics as after training."""
    from torchvision.models import resnet50

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        made: torch.nn.Module = resnet50(weights=None).eval()
        for name, buffer in made.named_buffers():
            if buffer.is_floating_point():
                buffer.uniform_(0.5, 1.5)
            assert name.split(".")[-1] in {"running_mean", "running_var", "num_batches_tracked"}
    return made


@pytest.fixture(scope="module")
def files(network: torch.nn.Module, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The same numbers as torch's file, in both of its formats, and as safetensors."""
    folder = tmp_path_factory.mktemp("weights")
    numbers = network.state_dict()
    torch.save(numbers, folder / "zip.pth")
    torch.save(numbers, folder / "old.pth", _use_new_zipfile_serialization=False)
    counted = {
        name: each + 5 if name.endswith("num_batches_tracked") else each
        for name, each in numbers.items()
    }
    save_file(counted, folder / "hub.safetensors")
    yield folder
    for path in folder.iterdir():
        path.unlink()  # 300 MB, and pytest keeps the folders of three runs


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(state_dict, "SHAPES", SMALL)


def test_the_shapes_are_torchvisions(network: torch.nn.Module) -> None:
    theirs = {name: tuple(each.shape) for name, each in network.state_dict().items()}
    left_out = {name for name in theirs if name.startswith("fc.") or "num_batches" in name}
    assert {name: theirs[name] for name in theirs.keys() - left_out} == SHAPES


def test_the_same_numbers_have_one_fingerprint_in_every_format(files: Path) -> None:
    prints = {path.name: resolve(str(path)).fingerprint for path in files.iterdir()}
    assert len(prints) == 3
    assert len(set(prints.values())) == 1


@pytest.mark.parametrize("name", ["old.pth", "hub.safetensors"])
def test_the_network_has_the_numbers_of_the_file(
    files: Path, network: torch.nn.Module, name: str
) -> None:
    loaded = _load_network(Weights(CUSTOM, files / name, "0"), DEFAULT_NETWORK)
    image = torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        features = loaded(image)
        assert torch.equal(network.get_submodule("fc")(features), network(image))


def test_classifier_and_counts_are_left_out(tmp_path: Path, small: None) -> None:
    (tmp_path / "a.safetensors").write_bytes(as_safetensors(small_numbers()))
    assert set(read_state_dict(tmp_path / "a.safetensors")) == set(SMALL)


@pytest.mark.parametrize("name", SMALL)
def test_each_number_and_name_counts(name: str) -> None:
    numbers = {each: np.zeros(shape, np.float32) for each, shape in SMALL.items()}
    changed = {**numbers, name: numbers[name].copy()}
    changed[name].flat[5] = 1e-30
    renamed = {f"{each}.x" if each == name else each: of for each, of in numbers.items()}
    reshaped = {**numbers, name: numbers[name].reshape(-1, 2)}
    prints = {digest_numbers(each) for each in (numbers, changed, renamed, reshaped)}
    assert len(prints) == 4


def test_order_and_layout_in_memory_do_not_count() -> None:
    numbers = {name: np.ones(shape, np.float32) for name, shape in SMALL.items()}
    other = {name: np.asfortranarray(numbers[name]) for name in reversed(numbers)}
    big_endian = {name: each.astype(">f4") for name, each in numbers.items()}
    assert digest_numbers(numbers) == digest_numbers(other) == digest_numbers(big_endian)


def broken(change: str) -> dict[str, NDArray[np.generic]]:
    numbers = small_numbers()
    if change == "missing":
        del numbers["bn1.bias"]
    elif change == "too many":
        numbers["layer9.weight"] = np.zeros(1, np.float32)
    elif change == "shape":
        numbers["bn1.bias"] = np.zeros(3, np.float32)
    else:
        numbers["bn1.bias"] = np.full(700, float(change), np.float32)
    return numbers


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("missing", "bn1.bias"),
        ("too many", "layer9.weight"),
        ("shape", r"bn1.bias has the shape \(3,\), not \(700,\)"),
        ("nan", "bn1.bias has numbers that are not finite"),
        ("inf", "not finite"),
    ],
)
def test_what_is_no_resnet50_is_refused(
    tmp_path: Path, small: None, suffix: str, change: str, message: str
) -> None:
    path = tmp_path / f"a{suffix}"
    write = as_torch if suffix == ".pth" else as_safetensors
    path.write_bytes(write(broken(change)))
    with pytest.raises(WeightsUnavailable, match=f"not a state dict of torchvision.*{message}"):
        read_state_dict(path)


class Attack:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return exec, ("raise SystemExit('executed')",)


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_code_in_a_file_is_not_executed(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"a{suffix}"
    path.write_bytes(pickle.dumps({"conv1.weight": Attack()}, protocol=2))
    with pytest.raises(WeightsUnavailable, match="not a state dict"):
        read_state_dict(path)

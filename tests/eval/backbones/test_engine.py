from __future__ import annotations

import numpy as np
import pytest
import torch
from torchvision.transforms.functional import to_tensor

from eval.backbones.engine import TorchFeatures, as_transform, describe
from eval.errors import WorkbenchError
from tests.support.fakes import picture


def test_batches_of_any_size_give_a_row_for_each_image() -> None:
    engine = TorchFeatures(torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(12, 5)))
    images = np.random.default_rng(0).random((37, 3, 2, 2), np.float32)
    found = engine.compute_bulk(images)
    assert (found.shape, str(found.dtype)) == ((37, 5), "float32")
    one_by_one = np.concatenate([engine.compute(images[n : n + 1]) for n in range(37)])
    # A processor's kernels add in another order for another size of batch: 3e-8 apart was seen.
    assert np.allclose(found, one_by_one, rtol=0, atol=1e-6)


def test_a_network_that_gives_no_vector_is_one_clear_error() -> None:
    with pytest.raises(WorkbenchError, match=r"no vector for an image, but \(1, 3, 2, 2\)"):
        TorchFeatures(torch.nn.Identity()).compute(np.zeros((1, 3, 2, 2), np.float32))


def test_a_pre_processing_gives_an_array_and_has_a_text_without_addresses() -> None:
    image = picture(1)
    apply = as_transform(to_tensor, 9).apply
    assert np.array_equal(apply(image), to_tensor(image).numpy())
    assert describe(torch.nn.Sequential(torch.nn.ReLU())) == "Sequential( (0): ReLU() )"
    assert describe(describe).endswith("<function describe>")

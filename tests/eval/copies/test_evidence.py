from __future__ import annotations

import numpy as np

from bogv.imaging.pdq import pdq_hashes
from eval.copies.evidence import hamming
from tests.support.fakes import picture


def test_bits_are_counted_for_each_pair() -> None:
    a = np.array([[0, 255], [15, 0]], np.uint8)
    b = np.array([[1, 255], [0, 0], [15, 0]], np.uint8)
    assert hamming(a, b).tolist() == [[1, 8, 12], [11, 4, 0]]


def test_a_mirrored_picture_is_near_in_one_of_its_orientations() -> None:
    pixels = np.asarray(picture(1))
    mine, other = pdq_hashes(pixels[:, ::-1])[0], pdq_hashes(pixels)[0][:1]
    bits = hamming(mine, other).ravel()
    assert bits.argmin() == 1
    assert bits.min() <= 8

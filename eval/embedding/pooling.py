"""Alternatives to mean pooling: (n, c, h, w) -> (n, c, 1, 1). Imports torch."""

from __future__ import annotations

import torch

P = 3.0
"""The exponent that Radenović, Tolias, Chum start from, and keep where it isn't learnt."""
LEAST = 1e-6
"""The minimum to which values are clamped, as in their code, so that the root has a gradient."""


class Gem(torch.nn.Module):
    """Generalised mean: (mean over positions of x^p)^(1/p), p = 3; p = 1 is gap, p = ∞ mac.

    Source: Radenović, Tolias, Chum, Fine-tuning CNN Image Retrieval with No Human Annotation,
    TPAMI 2018, arXiv:1711.02512, formula 3.
    """

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """(n, c, h, w) -> (n, c, 1, 1)."""
        powers = features.clamp(min=LEAST).pow(P)
        return powers.mean(dim=(2, 3), keepdim=True).pow(1 / P)


class Mac(torch.nn.Module):
    """Maximum activations of convolutions: the maximum over positions.

    Source: Tolias, Sicre, Jégou, Particular Object Retrieval with Integral Max-Pooling of CNN
    Activations, ICLR 2016, arXiv:1511.05879, formula 2.
    """

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """(n, c, h, w) -> (n, c, 1, 1)."""
        return features.amax(dim=(2, 3), keepdim=True)

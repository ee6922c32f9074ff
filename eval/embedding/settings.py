"""The settings of a run: what may differ from how bogv embeds, and how an image is then seen.

With the defaults, everything is bogv's own: its decoder, its network, nothing after it.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Annotated, Literal

import numpy as np
from PIL import Image
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from bogv.embedding.engines import MEAN, Network
from bogv.imaging.decode import INPUT_SIZE, RESIZE_SIZE, network_input
from bogv.imaging.decoder import Decoder
from bogv.records import Pixels
from eval.rerank.setting import Rerank

if TYPE_CHECKING:
    import torch

Pooling = Literal["gap", "gem", "mac"]
InputSize = Annotated[int, Field(ge=160, le=448, multiple_of=32)]
"""Pixels; the network's last feature map has a position for each 32."""
Size = Literal[224, 448]
"""Of a run; the others are for its scales."""
Scale = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Crop = Literal["center", "squash", "pad"]
Tta = Literal["none", "flip"]
POST_PATTERN = r"^(none|(pca|whiten):[1-9][0-9]{0,3})$"
Post = Annotated[str, Field(pattern=POST_PATTERN)]
FitOn = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_-]*(:(queries|gallery))?$")]
OWN_BACKBONE, VECTORS = "bogv", "vectors"
BackboneName = Annotated[
    str, Field(pattern=rf"^({OWN_BACKBONE}|{VECTORS}|(torchvision|timm|open_clip):[!-~]+)$")
]

PADDING = tuple(round(channel) for channel in MEAN)
"""ImageNet's mean colour, (124, 116, 104): next to nothing once the network has taken it off."""


def _ascending(scales: tuple[float, ...]) -> tuple[float, ...]:
    return tuple(sorted(scales))


class EmbeddingSettings(BaseModel):
    """The settings that `run` can vary. run.json holds them as `settings`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    backbone: BackboneName = OWN_BACKBONE
    """bogv's own network; `<library>:<model>`, another one with its own pre-processing; or
    `vectors`, a file of them (`eval.embedding.vector_file`)."""
    pooling: Pooling = "gap"
    """Of the last feature map over positions: mean, generalised mean (p = 3), or maximum."""
    size: InputSize = 224
    """Pixels of the network's input along each side."""
    scales: Annotated[tuple[Scale, ...], Field(min_length=1), AfterValidator(_ascending)] = (1.0,)
    """Factors of the size, ascending: the mean of the image's embeddings at each, of length 1
    again. Radenović, Tolias, Chum, arXiv:1711.02512, search with three: 1/√2, 1, √2."""
    crop: Crop = "center"
    """The middle; the whole image squashed into the square; or the whole image, padded."""
    tta: Tta = "none"
    """flip: the mean of the image's embedding and its mirror's, of length 1 again."""
    post: Post = "none"
    """`pca:<dimension>` or `whiten:<dimension>`: see `eval.embedding.projection`."""
    fit_on: FitOn = "gallery"
    """What `post` is fitted on: the evaluated gallery, or `<dataset>[:queries|gallery]`, all of its
    images or those: see `eval.embedding.fitting`."""
    rerank: Rerank = "none"
    """What re-ranks the exact rankings, with its parameters: see `eval.rerank.setting`."""

    @model_validator(mode="after")
    def _check_scales(self) -> EmbeddingSettings:
        sizes = [round(self.size * scale / 32) * 32 for scale in self.scales]
        if len(set(sizes)) < len(sizes) or not all(160 <= size <= 448 for size in sizes):
            raise ValueError(
                f"at {self.size} px, the scales give inputs of {sizes} px (multiples of 32); they"
                " have to be different, from 160 to 448."
            )
        return self

    @model_validator(mode="after")
    def _check_fit_on(self) -> EmbeddingSettings:
        if self.fit_on != "gallery" and self.post == "none":
            raise ValueError(f"--fit-on {self.fit_on} needs --post: nothing is fitted without.")
        return self

    @model_validator(mode="after")
    def _check_backbone(self) -> EmbeddingSettings:
        if self.backbone == OWN_BACKBONE:
            return self
        unusable = ["pooling", "size", "crop", "scales"]
        if self.backbone == VECTORS:
            unusable += ["tta", "fit_on"]
        if wrong := [name for name in unusable if self._changed(name)]:
            options = " and ".join(f"--{name.replace('_', '-')}" for name in wrong)
            why = (
                "the images are not embedded again"
                if self.backbone == VECTORS
                else f"{self.backbone} has a pre-processing and a pooling of its own"
            )
            raise ValueError(f"{options} can't be used: {why}.")
        return self

    def at_scales(self) -> list[EmbeddingSettings]:
        """These settings at each of the scales: at a size of its own, which is cached as such."""
        sizes = [round(self.size * scale / 32) * 32 for scale in self.scales]
        return [self.model_copy(update={"size": size, "scales": (1.0,)}) for size in sizes]

    @property
    def is_own(self) -> bool:
        """Whether these are bogv's own settings."""
        return not self.tag

    @property
    def view(self) -> str:
        """A name for the settings that affect an unmirrored image's embedding: `gem-448-squash`."""
        return "-".join([*self._backbone_tag(), *self._changed("pooling", "size", "crop")])

    @property
    def tag(self) -> str:
        """What differs from bogv's own, for the names of folders: `gem-448-pca64`; own: empty."""
        scales = [f"x{self._scales('-x')}"] if self._changed("scales") else []
        method = [re.sub("[:,]", "-", text) for text in self._changed("rerank")]
        before, after = self._changed("pooling", "size", "crop"), self._changed("tta", "post")
        fitted = [f"on-{text.replace(':', '-')}" for text in self._changed("fit_on")]
        parts = [*self._backbone_tag(), *before, *scales, *after, *fitted, *method]
        return re.sub("[:=]", "", "-".join(parts))

    @property
    def text(self) -> str:
        """All settings, as text."""
        own = "; bogv's own" if self.is_own else ""
        scales = f" at scales {self._scales(', ')}" if self._changed("scales") else ""
        fitted = f" fitted on {self.fit_on}" if self._changed("fit_on") else ""
        method = f", re-ranking {self.rerank}" if self._changed("rerank") else ""
        before = {
            OWN_BACKBONE: f"{self.pooling}, {self.size} px{scales}, {self.crop}, tta {self.tta}",
            VECTORS: "vectors from a file",
        }.get(self.backbone, f"{self.backbone}, its own pre-processing, tta {self.tta}")
        return f"{before}, post {self.post}{fitted}{method}{own}"

    def _scales(self, separator: str) -> str:
        return separator.join(f"{scale:g}" for scale in self.scales)

    def _backbone_tag(self) -> list[str]:
        return [re.sub(r"[^\w.-]+", "-", name) for name in self._changed("backbone")]

    def _changed(self, *names: str) -> list[str]:
        own = EmbeddingSettings.model_fields
        return [str(getattr(self, n)) for n in names if getattr(self, n) != own[n].default]


OWN_SETTINGS = EmbeddingSettings()


def network_of(settings: EmbeddingSettings) -> Network:
    """The variant of the network for the embedder."""
    pools: dict[Pooling, Callable[[], torch.nn.Module] | None] = {
        "gap": None,
        "gem": partial(_pool, "gem"),
        "mac": partial(_pool, "mac"),
    }
    return Network(settings.size, settings.pooling, pools[settings.pooling])


def _pool(name: Literal["gem", "mac"]) -> torch.nn.Module:
    """Imported only where a network is built: eval.embedding.pooling imports torch."""
    from eval.embedding import pooling

    return pooling.Gem() if name == "gem" else pooling.Mac()


def prepare_input(
    data: bytes, decoder: Decoder, settings: EmbeddingSettings, *, mirror: bool = False
) -> Pixels:
    """An image's bytes -> (size, size, 3) uint8, what the network sees; mirrored left to right.

    Raises what `Decoder.decode` raises.
    """
    pixels = _prepare_unmirrored(data, decoder, settings)
    return pixels[:, ::-1] if mirror else pixels


def _prepare_unmirrored(data: bytes, decoder: Decoder, settings: EmbeddingSettings) -> Pixels:
    if (settings.size, settings.crop) == (INPUT_SIZE, "center"):
        return decoder.decode(data).pixels
    # Twice what the short side is resized to, as bogv itself has it: no resolution is lost.
    image, _ = decoder.decode_upright(
        data, draft_side=2 * settings.size * RESIZE_SIZE // INPUT_SIZE
    )
    if settings.crop == "center":
        return network_input(image, settings.size)
    if settings.crop == "squash":
        return np.asarray(_resized(image, (settings.size, settings.size)))
    return padded(image, settings.size)


def padded(image: Image.Image, size: int) -> Pixels:
    """RGB image -> (size, size, 3) uint8: the whole of it in the middle, ImageNet's mean around."""
    long = max(image.size)
    width, height = (max(1, round(side * size / long)) for side in image.size)
    square = Image.new("RGB", (size, size), PADDING)
    square.paste(_resized(image, (width, height)), ((size - width) // 2, (size - height) // 2))
    return np.asarray(square)


def _resized(image: Image.Image, size: tuple[int, int]) -> Image.Image:
    """Bilinear and antialiased, as bogv resizes."""
    return image.resize(size, Image.Resampling.BILINEAR)

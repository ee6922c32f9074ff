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
from pydantic import BaseModel, ConfigDict, Field

from bogv.embedding.engines import MEAN, Network
from bogv.imaging.decode import INPUT_SIZE, RESIZE_SIZE, network_input
from bogv.imaging.decoder import Decoder
from bogv.records import Pixels
from eval.rerank.setting import Rerank

if TYPE_CHECKING:
    import torch

Pooling = Literal["gap", "gem", "mac"]
Size = Literal[224, 448]
Crop = Literal["center", "squash", "pad"]
Tta = Literal["none", "flip"]
POST_PATTERN = r"^(none|(pca|whiten):[1-9][0-9]{0,3})$"
Post = Annotated[str, Field(pattern=POST_PATTERN)]

PADDING = tuple(round(channel) for channel in MEAN)
"""ImageNet's mean colour, (124, 116, 104): next to nothing once the network has taken it off."""


class EmbeddingSettings(BaseModel):
    """The settings that `run` can vary. run.json holds them as `settings`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    pooling: Pooling = "gap"
    """Of the last feature map over positions: mean, generalised mean (p = 3), or maximum."""
    size: Size = 224
    """Pixels of the network's input along each side."""
    crop: Crop = "center"
    """The middle; the whole image squashed into the square; or the whole image, padded."""
    tta: Tta = "none"
    """flip: the mean of the image's embedding and its mirror's, of length 1 again."""
    post: Post = "none"
    """`pca:<dimension>` or `whiten:<dimension>`, fitted on the gallery: see
    `eval.embedding.projection`."""
    rerank: Rerank = "none"
    """What re-ranks the exact rankings, with its parameters: see `eval.rerank.setting`."""

    @property
    def is_own(self) -> bool:
        """Whether these are bogv's own settings."""
        return not self.tag

    @property
    def view(self) -> str:
        """A name for the settings that affect an unmirrored image's embedding: `gem-448-squash`."""
        return "-".join(self._changed("pooling", "size", "crop"))

    @property
    def tag(self) -> str:
        """What differs from bogv's own, for the names of folders: `gem-448-pca64`; own: empty."""
        changed = self._changed("pooling", "size", "crop", "tta", "post")
        method = re.sub(r"[:,]", "-", "".join(self._changed("rerank")))
        return re.sub("[:=]", "", "-".join(filter(None, [*changed, method])))

    @property
    def text(self) -> str:
        """All settings, as text."""
        own = "; bogv's own" if self.is_own else ""
        return (
            f"{self.pooling}, {self.size} px, {self.crop}, tta {self.tta}, post {self.post},"
            f" re-ranking {self.rerank}{own}"
        )

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

"""timm's networks, where it is installed: `timm:NAME`."""

from __future__ import annotations

import timm

from eval.backbones.network import Network, WeightsChoice


def load(model: str, choice: WeightsChoice) -> Network:
    """model: a name of `timm.list_models()`, with its tag for other weights than the first ones.

    Raises what timm and torch raise.
    """
    module = timm.create_model(model, pretrained=choice.trained)
    choice.load(module)
    transform = timm.data.create_transform(
        **timm.data.resolve_model_data_config(module), is_training=False
    )
    module.reset_classifier(0)
    own = str(module.pretrained_cfg.get("tag") or "pretrained")
    layer = "timm's pooled features (reset_classifier(0))"
    return Network(module, transform, choice.name(own), layer)

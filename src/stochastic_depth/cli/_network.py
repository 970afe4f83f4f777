"""Networks by the names people use for them."""

from inspect import signature
from typing import Any

from torch import nn

from .._arguments import CAUSAL_LM, NETWORK, is_causal
from .._checks import fail
from ..training import Component, libraries
from ..training.data import Splits

SEQUENCES = {"vocab_size": 256, "length": 64}  # of a language model that is only looked at


def build_network(name: str, arguments: dict[str, Any]) -> nn.Module:
    """Return a network.

    Args:
        name: `torchvision/resnet50`, `timm/vit_tiny_patch16_224`, `transformers/vit`, or an
            import path such as `stochastic_depth.models.CifarResNet`.
        arguments: keyword arguments for it, `weights` among them.

    Raises:
        InvalidArgument: no such network, or one that does not take these arguments.
    """
    component = _component(name, arguments)
    # Not called before it is known to be a network.
    network = component.require("model", nn.Module, "a torch module").build()
    if not isinstance(network, nn.Module):
        raise fail("model", "the path of a torch module", f"{name}, a {type(network).__name__}")
    return network


def _component(name: str, arguments: dict[str, Any]) -> Component:
    if "/" not in name and "." in name:
        return Component(name, arguments)
    if is_causal(name):
        return Component(CAUSAL_LM, {**SEQUENCES, "name": name, **arguments})
    own = signature(libraries.network).parameters
    options = {key: value for key, value in arguments.items() if key not in own}
    given = {key: value for key, value in arguments.items() if key in own}
    return Component(NETWORK, {"name": name, "options": options, **given})


def for_images(name: str, images: Splits | None) -> dict[str, Any]:
    """Return the arguments with which a network takes these images and tells their classes."""
    if images is None:
        return {}
    channels, size, *_ = images.input_shape
    derived = {"num_classes": images.num_classes, "in_channels": channels, "image_size": size}
    if "/" in name:
        return derived
    if "." not in name:
        return {}  # a name that `build_network` refuses
    component = Component(name)
    return {key: value for key, value in derived.items() if component.accepts(key, by_name=True)}

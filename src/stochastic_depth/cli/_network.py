"""Networks by the names people use for them."""

from typing import Any

from torch import nn

from .._checks import fail, nearest
from ..training import Component
from ..training.data import Splits


def build_network(name: str, arguments: dict[str, Any]) -> nn.Module:
    """Return a network, without pretrained weights.

    Args:
        name: `torchvision/resnet50`, `timm/vit_tiny_patch16_224`, or an import path such
            as `stochastic_depth.models.CifarResNet`.
        arguments: keyword arguments for it.

    Raises:
        InvalidArgument: no such network, or one that does not take these arguments.
    """
    library, slash, known_as = name.partition("/")
    if not slash and "." in name:
        component = Component(name, arguments)
        # Not called before it is known to be a network.
        network = component.require("model", nn.Module, "a torch module").build()
    elif library == "torchvision":
        from torchvision import models

        _require_listed(name, known_as, models.list_models())
        network = Component("torchvision.models.get_model", arguments).build(known_as, weights=None)
    elif library == "timm":
        import timm

        _require_listed(name, known_as.partition(".")[0], timm.list_models())
        network = Component("timm.create_model", arguments).build(known_as)
    else:
        requirement = "torchvision/NAME, timm/NAME or an import path"
        raise fail("model", requirement, repr(name), "Example: torchvision/resnet50.")
    if not isinstance(network, nn.Module):
        raise fail("model", "the path of a torch module", f"{name}, a {type(network).__name__}")
    return network


def for_images(name: str, images: Splits | None) -> dict[str, Any]:
    """Return the arguments with which a network takes these images and tells their classes."""
    if images is None:
        return {}
    channels, *_ = images.input_shape
    classes = {"num_classes": images.num_classes}
    library, slash, _ = name.partition("/")
    if slash:
        return classes | ({"in_chans": channels} if library == "timm" else {})
    if "." not in name:
        return {}  # a name that `build_network` refuses
    component, derived = Component(name), classes | {"in_channels": channels}
    return {key: value for key, value in derived.items() if component.accepts(key, by_name=True)}


def _require_listed(name: str, known_as: str, names: list[str]) -> None:
    if known_as not in names:
        library = name.partition("/")[0]
        remedy = nearest(known_as, names)
        raise fail("model", f"one of {library}'s {len(names)} models", repr(name), remedy)

"""What a model drops by itself, and what it keeps for later: taken over, and given back.

Masks of timm and torchvision, and the layer drop of transformers, are set to 0 while a model
has gates: nothing is dropped twice.
"""

import inspect
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from torch import nn

from .following import masks

LAYER_DROP = re.compile(r"^(encoder_|decoder_)?layer_?drop(_prob|_rate)?$")
"""Of configurations and modules of transformers, fairseq and their kin."""


@dataclass(frozen=True, eq=False)
class Rate:
    """A drop rate that a model was built with.

    Attributes:
        path: of the module that holds it, or whose configuration does.
        configured: whether it is an attribute of the module's configuration.
        name: of the attribute.
        value: the rate.
    """

    path: str
    configured: bool
    name: str
    value: float

    def put(self, model: nn.Module, value: float) -> None:
        """Set the rate."""
        module = model.get_submodule(self.path)
        setattr(module.config if self.configured else module, self.name, value)


def own_rates(model: nn.Module) -> list[Rate]:
    """Return the drop rates of a model that are not 0, of branches and of whole layers."""
    rates = [Rate(path, False, name, value) for path, name, value in masks(model)]
    return [*rates, *layer_drops(model)]


def masks_samples(model: nn.Module) -> bool:
    """Return whether an active mask of a model draws for each sample; torchvision's may not."""
    modules = (model.get_submodule(path) for path, _, _ in masks(model))
    return any(getattr(module, "mode", "row") == "row" for module in modules)


def layer_drops(model: nn.Module) -> list[Rate]:
    """Return the rates at which a model leaves out whole layers in training."""
    found: list[Rate] = []
    seen: set[tuple[int, str]] = set()
    for path, module in model.named_modules():
        for owner, configured in ((module, False), (getattr(module, "config", None), True)):
            for name, value in _rates_of(owner):
                # The modules of a model share one configuration: its rate must be given back once.
                if (id(owner), name) not in seen:
                    seen.add((id(owner), name))
                    found.append(Rate(path, configured, name, value))
    return found


def second_dropper(model: nn.Module, taken: Iterable[Rate]) -> str:
    """Return the name of a layer drop that was switched on while the model has gates, or ""."""
    for name, value in _rates_of(getattr(model, "config", None)):
        return f"config.{name} = {value:g}"
    for rate in taken:
        if LAYER_DROP.match(rate.name):
            owner = model.get_submodule(rate.path)
            if value := getattr(owner.config if rate.configured else owner, rate.name, 0.0):
                place = "config." if rate.configured else ""
                return f"{rate.path}.{place}{rate.name} = {value:g}".lstrip(".")
    return ""


def _rates_of(owner: Any) -> Iterator[tuple[str, float]]:
    for name, value in vars(owner).items() if hasattr(owner, "__dict__") else ():
        # A rate of 1 is no layer drop: nothing would be left.
        if LAYER_DROP.match(name) and isinstance(value, float | int) and 0 < value < 1:
            yield name, float(value)


def without_cache(
    model: nn.Module, args: tuple[Any, ...], kwargs: Mapping[str, Any]
) -> dict[str, Any]:
    """Return the keyword arguments of a training forward, without a cache nobody asked for.

    Decoders of transformers fill a cache of keys and values in every forward unless told not
    to, and a dropped layer would leave a hole in it. In training nobody reads it; a caller
    who wants it says `use_cache=True`, and then the layers run and their change is discarded.
    """
    given = dict(kwargs)
    # Not where a cache is passed: then somebody does read it.
    if given.get("past_key_values") is None and "use_cache" not in given and _caches(model, args):
        given["use_cache"] = False
    return given


def _caches(model: nn.Module, args: tuple[Any, ...]) -> bool:
    """Return whether a model makes a cache unless `use_cache` is passed by keyword."""
    config = getattr(model, "config", None)
    if not getattr(config, "use_cache", False):
        return False
    parameters = list(inspect.signature(type(model).forward).parameters.values())[1:]
    names = [parameter.name for parameter in parameters]
    takes_any = any(p.kind is inspect.Parameter.VAR_KEYWORD for p in parameters)
    # Passed by position it would be passed twice.
    return "use_cache" not in names[: len(args)] and ("use_cache" in names or takes_any)

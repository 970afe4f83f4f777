"""Take layers out of a model of transformers, and out of its configuration.

`from_pretrained` builds what the configuration says. A model whose layers were cut out loads in
plain transformers only if its configuration counts and describes the layers that are left.
"""

import copy
import re
import warnings
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils import _pytree as pytree

from ._takeover import without_cache
from .following import Inputs, brief, isolated_rng, untouched

COUNTS = {
    "encoder": ("encoder_layers", "num_encoder_layers", "num_hidden_layers"),
    "decoder": ("decoder_layers", "num_decoder_layers", "num_hidden_layers"),
    "": ("num_hidden_layers",),
}
"""Names under which configurations count layers; their `attribute_map` knows the others."""

NUMBER = re.compile(r"^layer_(idx|id|index|number)$")
"""Attributes by which a layer, and its attention, know their place in the cache."""

PER_LAYER = re.compile(r"layer|block")
INDICES = re.compile(r"only_layers$|_idxs$|_indices$")
"""Lists of a configuration with an entry per layer, and with numbers of layers."""

SWITCHES = re.compile(r"^_|^training$|^gradient_checkpointing$|drop|^p$")
"""Attributes of a module that are no part of what it is when evaluated."""


def shorten(model: nn.Module, gone: Iterable[str], inputs: Inputs) -> str:
    """Take layers out of the lists they are in; return why not, or "".

    Done only if the model computes afterwards what it computed before, and is, layer by layer,
    what its configuration builds; otherwise it is left as it is.

    Args:
        model: of transformers, in which nothing is left of the layers but their shortcut.
        gone: their paths.
        inputs: an example.
    """
    lists: dict[str, set[int]] = {}
    for path in gone:
        owner, _, number = path.rpartition(".")
        if not number.isdigit() or not isinstance(model.get_submodule(owner), nn.ModuleList):
            return f"{path} is not in a list of layers"
        lists.setdefault(owner, set()).add(int(number))
    # Run before and after: layers of one class may choose their path by their number.
    before = _computed(model, inputs)
    with ExitStack() as undo:
        for path, numbers in lists.items():
            if not _renumbered(model, path, numbers, undo):
                return f"it does not count the layers of {path}"
        try:
            built = _built(model)
        except Exception as error:  # whatever foreign code may raise is a reason, not a crash
            return f"it builds no {type(model).__name__} ({brief(error)})"
        if different := next(filter(None, (_difference(model, built, p) for p in lists)), ""):
            return different
        if not torch.allclose(_computed(model, inputs), before, rtol=1e-3, atol=1e-4):
            return "its layers compute something else under other numbers"
        # Every check has passed: from here on nothing is put back.
        undo.pop_all()
    return ""


def _renumbered(model: nn.Module, path: str, gone: set[int], undo: ExitStack) -> bool:
    """Shorten one list and its configuration; return whether that counts its layers."""
    layers = model.get_submodule(path)
    kept = [number for number in range(len(layers)) if number not in gone]  # type: ignore[arg-type]
    config = _configuration(model, path)
    names = [name for name in COUNTS[_side(path)] if hasattr(config, name)]
    names = names[:1] if _side(path) == "decoder" else names  # Bart: the rest is the encoder's
    # A number that counts something else must not be rewritten.
    if not names or any(getattr(config, n) != len(layers) for n in names):  # type: ignore[arg-type]
        return False
    # Before anything is changed: a model that fails a check later is given back whole.
    undo.callback(vars(config).update, dict(vars(config)))
    undo.callback(layers._modules.update, dict(layers._modules))
    for name, value in list(vars(config).items()):
        if isinstance(value, list | tuple) and name not in names:
            setattr(config, name, _listed(name, value, kept, len(layers)))  # type: ignore[arg-type]
    for name in names:
        setattr(config, name, len(kept))
    members = [layers.get_submodule(str(number)) for number in kept]
    layers._modules.clear()
    for new, (old, layer) in enumerate(zip(kept, members, strict=True)):
        layers.add_module(str(new), layer)
        for owner, name in _numbers(layer, old):
            undo.callback(setattr, owner, name, old)
            setattr(owner, name, new)
    return True


def _listed(name: str, value: Any, kept: list[int], count: int) -> Any:
    """Return what is left of a list of a configuration."""
    if INDICES.search(name):
        return type(value)(kept.index(number) for number in value if number in kept)
    if PER_LAYER.search(name) and len(value) == count:
        return type(value)(value[number] for number in kept)
    return value


def _numbers(layer: nn.Module, number: int) -> Iterator[tuple[nn.Module, str]]:
    for module in layer.modules():
        for name, value in vars(module).items():
            # Only the place of this layer in its list; another number may mean something else.
            if NUMBER.match(name) and type(value) is int and value == number:
                yield module, name


def _side(path: str) -> str:
    parts = path.split(".")
    return next((side for side in ("encoder", "decoder") if side in parts), "")


def _configuration(model: nn.Module, path: str) -> Any:
    """Return the configuration of the module that holds a list."""
    while path:
        path = path.rpartition(".")[0]
        if is_configured(module := model.get_submodule(path)):
            return module.config
    return None


def is_configured(module: nn.Module) -> bool:
    """Return whether a module is built from a configuration of transformers."""
    # An adapter has the configuration of what it is around, but not the class of it.
    config = getattr(module, "config", None)
    return hasattr(config, "attribute_map") and hasattr(type(module), "config_class")


def _built(model: nn.Module) -> nn.Module:
    """Return, without memory, what `from_pretrained` would build."""
    config: Any = model.config
    with torch.device("meta"), isolated_rng(model), warnings.catch_warnings(action="ignore"):
        # By way of what is written to disk, which may be less than the object holds.
        return type(model)(type(config).from_dict(copy.deepcopy(config.to_dict())))


def _difference(model: nn.Module, built: nn.Module, path: str) -> str:
    """Return in what the layers of a list differ from those built; what was added is ignored."""
    ours, theirs = model.get_submodule(path), built.get_submodule(path)
    if len(ours) != len(theirs):  # type: ignore[arg-type]
        return f"it builds {len(theirs)} layers in {path}"  # type: ignore[arg-type]
    others, home = dict(theirs.named_modules()), {_package(built), _package(nn.Module())}
    for name, module in ours.named_modules():
        added = _package(module) not in home  # an adapter around a layer
        if name in others and not added and _told(module) != _told(others[name]):
            return f"it builds another {path}.{name}".rstrip(".")
    return ""


def _package(module: nn.Module) -> str:
    return type(module).__module__.partition(".")[0]


def _told(module: nn.Module) -> dict[str, Any]:
    """Return what a layer is: its class, shapes, flags and numbers."""
    plain = {
        name: value
        for name, value in vars(module).items()
        if isinstance(value, bool | int | float | str) and not SWITCHES.search(name)
    }
    shapes = {name: tuple(p.shape) for name, p in module.named_parameters(recurse=False)}
    return {"class": type(module), **plain, **shapes}


def _computed(model: nn.Module, inputs: Inputs) -> Tensor:
    """Return the first output of a model, in evaluation, that is no single number."""
    with untouched(model), torch.no_grad():
        kwargs = without_cache(model, inputs.args, inputs.kwargs)
        output = model.eval()(*inputs.args, **kwargs)
    leaves = (leaf for leaf in pytree.tree_leaves(output) if isinstance(leaf, Tensor))
    return next(leaf for leaf in leaves if leaf.ndim > 1)

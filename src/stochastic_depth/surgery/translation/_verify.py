"""Check a translation by running it beside the original."""

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils import _pytree as pytree

from ._call import Call
from ._program import Program
from ._sites import sites, with_sites

TINY = 1e-2
"""Weights that nowhere exceed this are as good as zero."""


def jiggled(block: nn.Module, original: type[nn.Module]) -> nn.Module:
    """Return a copy of `block`, of class `original`, none of whose layers computes zero.

    Freshly initialised branches are often zero (the last BatchNorm's gain, a layer
    scale), and then every translation looks right: on the copy such weights are random.
    """
    twin = copy.deepcopy(block)
    twin.__class__ = original
    for module in twin.modules():
        module._forward_hooks.clear()  # whoever listens to the block is not to hear its copy
    noise = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for weight in twin.parameters():
            if weight.is_floating_point() and weight.numel() and weight.abs().max() < TINY:
                weight.add_(torch.randn(weight.shape, generator=noise).to(weight))
    return twin.eval()


def check(twin: nn.Module, program: Program, call: Call) -> str:
    """Return what is wrong with `program`, or an empty string.

    With all gates at 1 it must compute what the block computes; with all gates at one
    half, what the block computes when its own masks are. On the CPU outputs must be
    equal bit for bit (halving is exact). Random layers outside the children, such as
    a functional dropout, see the same random numbers twice.
    """
    if _differ(twin, twin, program, 1.0, call):
        return "its translation does not compute what it computes"
    masked = with_sites(twin, factor=0.5)
    if sites(twin) and _differ(masked, twin, program, 0.5, call):
        return "masking its drop sites is something else than scaling its residual branches"
    return ""


def _differ(
    expected: nn.Module, twin: nn.Module, program: Program, gate: float, call: Call
) -> bool:
    with torch.no_grad(), isolated_rng(twin):
        args, kwargs = call.arguments(cloned(call.live))
        torch.manual_seed(0)
        outputs = expected(*args, **kwargs)
        torch.manual_seed(0)
        translated = program.run(twin, [gate] * len(program.steps), cloned(call.live))
    pairs = zip(pytree.tree_leaves(outputs), pytree.tree_leaves(translated), strict=True)
    return not all(_same(a, b) for a, b in pairs)


def cloned(values: Any) -> Any:
    """Return a copy of a tree of tensors, cut off from their graph."""
    return pytree.tree_map_only(Tensor, lambda x: x.detach().clone(), values)


@contextmanager
def isolated_rng(model: nn.Module) -> Iterator[None]:
    """Give the global random generators back as they were."""
    devices = {p.device for p in model.parameters() if p.device.type not in ("cpu", "meta")}
    kind = next(iter(devices)).type if devices else "cuda"
    with torch.random.fork_rng([device.index for device in devices], device_type=kind):
        yield


def _same(a: Any, b: Any) -> bool:
    if not isinstance(a, Tensor):
        return bool(a == b)
    # Devices other than the CPU may choose another algorithm for the same convolution.
    tolerance = 0.0 if a.device.type == "cpu" else 1e-3
    return a.shape == b.shape and torch.allclose(a, b, tolerance, tolerance, equal_nan=True)

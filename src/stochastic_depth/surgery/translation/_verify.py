"""Check a translation by running it beside the original."""

import copy
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch.utils import _pytree as pytree

from ._call import FIXED, Call
from ._interpret import Interpreter
from ._program import Program
from ._sites import with_sites

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
    twin.eval()  # whose `train` is overridden may return nothing
    return twin


def check(twin: nn.Module, graph: fx.Graph, program: Program, call: Call) -> str:
    """Return what is wrong with `program`, or an empty string.

    With all gates at 1 it must compute what the block computes; with all gates at one
    half, what the block computes when its own masks are. On the CPU outputs must be
    equal bit for bit (halving is exact). Random layers outside the children, such as
    a functional dropout, see the same random numbers twice.

    Args:
        twin: the block, jiggled.
        graph: of its forward, with sites in the place of masks.
        program: the translation.
        call: arguments to run it on.
    """
    if not same(natural(twin, call), _run(program, twin, 1.0, call)):
        return "its translation does not compute what it computes"
    sites = {name for step in program.steps for name in step.sites}
    if not sites:
        return ""
    halved = masked(with_sites(twin), graph, sites, 0.5, call.live)
    if not same(halved, _run(program, twin, 0.5, call)):
        return "masking its drop sites is something else than scaling its residual branches"
    return ""


def _run(program: Program, twin: nn.Module, gate: float, call: Call) -> list[Any]:
    gates = [gate] * len(program.steps)
    return _outputs(twin, lambda: program.run(twin, gates, cloned(call.live)))


def natural(twin: nn.Module, call: Call) -> list[Any]:
    """Return what a block computes by itself, leaf by leaf."""
    args, kwargs = call.arguments(cloned(call.live))
    return _outputs(twin, lambda: twin(*args, **kwargs))


def masked(
    twin: nn.Module, graph: fx.Graph, sites: Collection[str], factor: float, live: Sequence[Any]
) -> list[Any]:
    """Return what a block computes, leaf by leaf, when masks multiply by `factor`.

    Args:
        twin: the block, with sites in the place of masks.
        graph: of its forward.
        sites: names of the nodes that mask.
        factor: what they multiply by.
        live: what flows through the block.
    """
    interpreter = _Masked(twin, graph, sites, factor)
    return _outputs(twin, lambda: interpreter.run(*cloned(live)))


class _Masked(Interpreter):
    def __init__(
        self, block: nn.Module, graph: fx.Graph, sites: Collection[str], factor: float
    ) -> None:
        super().__init__(block, graph=graph)
        self._sites, self._factor = sites, factor

    def run_node(self, n: fx.Node) -> Any:
        value = super().run_node(n)
        return self._factor * value if n.name in self._sites else value


def _outputs(block: nn.Module, run: Callable[[], Any]) -> list[Any]:
    with torch.no_grad(), isolated_rng(block):
        torch.manual_seed(0)
        return pytree.tree_leaves(run())


def same(one: list[Any], other: list[Any]) -> bool:
    """Return whether two lists of outputs are equal."""
    return len(one) == len(other) and all(map(_same, one, other))


def cloned(values: Any) -> Any:
    """Return a copy of a tree of tensors, cut off from their graph, and of other objects."""
    return pytree.tree_map(_cloned, values)


def _cloned(value: Any) -> Any:
    if isinstance(value, Tensor):
        return value.detach().clone()
    return value if isinstance(value, FIXED) else copy.deepcopy(value)


@contextmanager
def isolated_rng(model: nn.Module) -> Iterator[None]:
    """Give the global random generators back as they were."""
    devices = {p.device for p in model.parameters() if p.device.type not in ("cpu", "meta")}
    kind = next(iter(devices)).type if devices else "cuda"
    with torch.random.fork_rng([device.index for device in devices], device_type=kind):
        yield


def _same(a: Any, b: Any) -> bool:
    if not isinstance(a, Tensor):
        return type(a) not in FIXED or bool(a == b)
    # Devices other than the CPU may choose another algorithm for the same convolution.
    tolerance = 0.0 if a.device.type == "cpu" else 1e-3
    return a.shape == b.shape and torch.allclose(a, b, tolerance, tolerance, equal_nan=True)

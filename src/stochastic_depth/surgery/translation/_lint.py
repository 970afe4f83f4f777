"""What is wrong with the masks of a block that cannot be skipped at them."""

from typing import Any

from torch import Tensor, fx, nn
from torch.utils import _pytree as pytree

from ._call import Call
from ._joins import sites_of
from ._sites import with_sites
from ._verify import cloned, masked, natural, same


def lint(twin: nn.Module, graph: fx.Graph, call: Call, otherwise: str) -> str:
    """Say what masking does instead of leaving out a residual branch; "" without masks.

    Args:
        twin: the block, jiggled.
        graph: of its forward, with sites in the place of masks.
        call: arguments to run it on.
        otherwise: what to say when it is none of what is known to occur.
    """
    block = with_sites(twin)
    sites = {node.name for node in sites_of(graph.nodes, block)}
    if not sites:
        return ""
    zeroed = masked(block, graph, sites, 0.0, call.live)
    if same(zeroed, natural(twin, call)):
        return "its mask has no effect on what it computes"
    if same(zeroed, masked(block, graph, sites, 0.0, _changed(call.live))):
        return "its mask removes the whole signal: it has no shortcut"
    return otherwise


def _changed(live: tuple[Any, ...]) -> tuple[Any, ...]:
    def change(x: Tensor) -> Tensor:
        return x * -1.5 + 0.25 if x.is_floating_point() else x

    return pytree.tree_map_only(Tensor, change, cloned(live))

"""Scale what a branch computes by scaling its last weights."""

from collections.abc import Iterator, Set

import torch
from torch import fx, nn
from torch.nn.modules.batchnorm import BatchNorm1d, BatchNorm2d, BatchNorm3d

from ._call import Call
from ._program import Program
from ._sites import is_mask
from ._trace import follow

AFFINE = (
    nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d,
    BatchNorm1d, BatchNorm2d, BatchNorm3d, nn.SyncBatchNorm,
    nn.LayerNorm, nn.GroupNorm, nn.RMSNorm,
)  # fmt: skip
"""Layers whose output is proportional to their weight and bias."""

TRANSPARENT = (nn.Identity, nn.Dropout, nn.Dropout1d, nn.Dropout2d, nn.Dropout3d)
"""Modules whose output is proportional to their input; so are the operations below."""

MOVES = {
    "contiguous", "flatten", "getitem", "permute", "reshape", "roll",
    "squeeze", "transpose", "unsqueeze", "view",
}  # fmt: skip
PRODUCTS = {"mul", "mul_"}


def fold(program: Program, k: int, block: nn.Module, gate: float, shared: Set[int]) -> bool:
    """Multiply the k-th branch of a block by `gate` through its last weights.

    Args:
        program: of the block.
        k: number of the branch.
        block: the block, whose weights are changed.
        gate: the factor.
        shared: ids of parameters that the model uses in several places.

    Returns:
        Whether the branch has such weights, and has them for itself.
    """
    graph = program.steps[k].code.graph
    others = [program.main.graph, *(step.code.graph for step in program.steps)]
    others.remove(graph)
    weights = {id(weight) for weight in last_weights(graph, block)}
    elsewhere = {id(weight) for other in others for weight in _weights_of_graph(other, block)}
    if not weights or weights & (shared | elsewhere):
        return False
    with torch.no_grad():
        for weight in block.parameters():
            if id(weight) in weights:
                weight.mul_(gate)
    return True


def _weights_of_graph(graph: fx.Graph, block: nn.Module) -> Iterator[nn.Parameter]:
    for node in graph.nodes:
        if node.op == "call_module":
            yield from block.get_submodule(str(node.target)).parameters()
        elif node.op == "get_attr":
            yield from (p for n, p in block.named_parameters() if n == str(node.target))


def last_weights(graph: fx.Graph, owner: nn.Module) -> list[nn.Parameter]:
    """Return the parameters that the output of `graph` is proportional to.

    Args:
        graph: of a branch, or of a module's forward.
        owner: the module whose children and parameters the graph uses.

    Returns:
        The parameters; empty if none are known.
    """
    node = graph.output_node().args[0]
    while isinstance(node, fx.Node):
        name = getattr(node.target, "__name__", str(node.target))
        if node.op == "call_module":
            if sum(other.target == node.target for other in graph.nodes) > 1:
                return []
            module = owner.get_submodule(str(node.target))
            if not _is_transparent(module):
                return _weights_of(module)
        elif name in PRODUCTS:
            factors = [n for n in node.all_input_nodes if n.op == "get_attr"]
            return [owner.get_parameter(str(factor.target)) for factor in factors]
        elif name not in MOVES:
            return []
        node = node.args[0]
    return []


def _weights_of(module: nn.Module) -> list[nn.Parameter]:
    if type(module) in AFFINE:
        return list(module.parameters())
    if isinstance(module, nn.MultiheadAttention):
        return list(module.out_proj.parameters())
    if isinstance(module, nn.Sequential):
        working = [child for child in module if not _is_transparent(child)]
        return _weights_of(working[-1]) if working else []
    return _weights_inside(module)


def _weights_inside(module: nn.Module) -> list[nn.Parameter]:
    """Return the last weights of a composite module, by following its forward."""
    try:
        graph = follow(module, Call.of((torch.empty(0),), {})).graph
    except Exception:  # a forward that cannot be followed is one whose weights are unknown
        return []
    return last_weights(graph, module)


def _is_transparent(module: nn.Module) -> bool:
    return type(module) in TRANSPARENT or is_mask(module)

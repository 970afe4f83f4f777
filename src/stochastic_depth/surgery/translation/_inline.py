"""Children that a trace follows into: those in which a block's own addition takes place.

Transformers' `BertSelfOutput` adds what it computes from its first argument to its second;
the branch begins outside of it, in `BertAttention`.
"""

import operator
from inspect import Parameter, signature

import torch
from torch import fx, nn

ADDITIONS = (operator.add, operator.iadd, torch.add)


def is_inlined(module: nn.Module, path: str) -> bool:
    """Return whether the addition of a block takes place in `module`, one of its children.

    Members of a list are blocks in their own right.

    Args:
        module: the child.
        path: its path in the block.
    """
    if path.rpartition(".")[2].isdigit():
        return False
    return adds_arguments(module) or any(map(adds_arguments, module.children()))


def delegates(block: nn.Module) -> bool:
    """Return whether an addition of `block` takes place in one of its children."""
    return any(is_inlined(child, path) for path, child in block.named_children())


def adds_arguments(module: nn.Module) -> bool:
    """Return whether `module` takes two values and adds one to what becomes of the other."""
    if type(module).__module__.startswith("torch.") or not _takes_two(module):
        return False
    try:
        graph = _Leaves().trace(module)
    except Exception:  # a forward that cannot be followed is not followed into
        return False
    first, second = (node for node in graph.nodes if node.op == "placeholder")
    return any(
        second in node.args and _comes_from(first, other)
        for node in graph.nodes
        if node.target in ADDITIONS and not node.kwargs
        for other in node.all_input_nodes
        if other is not second
    )


class _Leaves(fx.Tracer):
    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        return True


def _takes_two(module: nn.Module) -> bool:
    parameters = list(signature(type(module).forward).parameters.values())[1:]
    plain = (Parameter.POSITIONAL_ONLY, Parameter.POSITIONAL_OR_KEYWORD)
    return len(parameters) == 2 and all(
        p.kind in plain and p.default is Parameter.empty for p in parameters
    )


def _comes_from(source: fx.Node, node: fx.Node) -> bool:
    """Return whether `node` is a layer's output, computed from `source`."""
    path, learned = node, False
    while path is not source:
        learned = learned or path.op == "call_module"
        if not path.all_input_nodes:
            return False
        path = path.all_input_nodes[0]
    return learned

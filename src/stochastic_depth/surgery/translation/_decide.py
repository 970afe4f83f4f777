"""Decide, while a forward is traced, what its control flow decides for the shapes it meets."""

import copy
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch.utils import _pytree as pytree

from ._interpret import Interpreter

ABOUT_SHAPE = {"size", "dim", "ndimension", "numel", "is_floating_point", "is_contiguous"}
"""Methods of a tensor whose result does not depend on its values."""


class Decisions:
    """Computes conditions from the arguments that a block was called with.

    Args:
        block: the block; what is needed of it runs on a copy.
        live: what flows through it.
    """

    def __init__(self, block: nn.Module, live: tuple[Any, ...]) -> None:
        self._block = copy.deepcopy(block)
        self._block.eval()
        self._live = pytree.tree_map_only(Tensor, lambda x: x.detach().clone(), live)
        self._values: dict[fx.Node, Any] = {}

    def outcome(self, condition: fx.Node) -> bool:
        """Return the value of `condition`.

        Raises:
            TraceError: it depends on the values of a tensor, or on the size of the batch.
        """
        with torch.no_grad():
            value = self._value(condition)
        if isinstance(value, Tensor):
            raise fx.proxy.TraceError("its control flow depends on the values of a tensor")
        return bool(value)

    def _value(self, node: fx.Node) -> Any:
        if node not in self._values:
            if node.op == "placeholder":
                places = [n for n in node.graph.nodes if n.op == "placeholder"]
                self._values[node] = self._live[places.index(node)]
            else:
                self._values[node] = self._computed(node)
        return self._values[node]

    def _computed(self, node: fx.Node) -> Any:
        for operand in node.all_input_nodes:
            self._value(operand)
        interpreter = Interpreter(self._block, graph=node.graph)
        interpreter.env = self._values
        value = interpreter.run_node(node)
        if not isinstance(value, Tensor) and not self._is_about_shape(node):
            raise fx.proxy.TraceError("its control flow depends on the values of a tensor")
        if _is_batch_size(node, self._values):
            raise fx.proxy.TraceError("its control flow depends on the size of the batch")
        return value

    def _is_about_shape(self, node: fx.Node) -> bool:
        """Return whether what comes from tensors here comes from their shapes."""
        from_tensor = any(isinstance(self._values[n], Tensor) for n in node.all_input_nodes)
        return not from_tensor or node.target is getattr or node.target in ABOUT_SHAPE


def _is_batch_size(node: fx.Node, values: dict[fx.Node, Any]) -> bool:
    name = getattr(node.target, "__name__", node.target)
    if name not in ("getitem", "size") or len(node.args) != 2 or node.args[1] != 0:
        return False
    source = values[node.all_input_nodes[0]]
    return isinstance(source, torch.Size) or (name == "size" and isinstance(source, Tensor))

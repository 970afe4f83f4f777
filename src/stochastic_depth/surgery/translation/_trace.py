"""From a block's forward to a graph, one level deep."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, fx, nn

from ._call import FIXED, Call


class _OneLevel(fx.Tracer):
    """Records a block's own forward; its children, whatever they do inside, are calls."""

    def __init__(self, call: Call) -> None:
        super().__init__()
        self._call = call

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        return True

    def create_args_for_root(
        self, root_fn: Callable[..., Any], is_module: bool, concrete_args: Any = None
    ) -> tuple[Callable[..., Any], list[Any]]:
        live = [
            self.create_proxy("placeholder", "x" if position == 0 else f"x_{position}", (), {})
            for position in range(len(self._call.live))
        ]
        args, kwargs = self._call.arguments(live)
        return lambda *values: root_fn(*values, **kwargs), [self.root, *args]


def trace(block: nn.Module, call: Call) -> fx.Graph:
    """Return the graph of `block.forward` for one pattern of arguments.

    Numbers, strings and None are frozen at their values in `call`; control flow that
    depends on a tensor makes tracing fail. A block from `with_sites` shows its sites as
    calls, whatever the model has there.
    """
    graph = _OneLevel(call).trace(block)
    graph.eliminate_dead_code(has_effect)
    return graph


def has_effect(node: fx.Node) -> bool:
    """Return whether `node` is to be kept when nothing uses its value.

    Checks are (`torch._assert`), and so are modules, which may count their calls.
    """
    return node.op in ("placeholder", "output", "call_module") or node.target is torch._assert


def record_values(graph: fx.Graph, block: nn.Module, live: tuple[Any, ...]) -> dict[fx.Node, Any]:
    """Run the graph once, note for each node what kind of value it has, return the values.

    `meta["shape"]` is the shape of a tensor, or None; `meta["floating"]` and
    `meta["batched"]` say whether it is a tensor of that kind; `meta["plain"]` whether it
    is a number, a size, a string or None.
    """
    batch = next((x.shape[0] for x in live if isinstance(x, Tensor) and x.ndim), None)
    recorder = _Recorder(block, graph, batch)
    recorder.run(*live)
    return recorder.env


class _Recorder(fx.Interpreter):
    def __init__(self, block: nn.Module, graph: fx.Graph, batch: int | None) -> None:
        super().__init__(block, garbage_collect_values=False, graph=graph)
        self._batch = batch

    def run_node(self, n: fx.Node) -> Any:
        value = super().run_node(n)
        tensor = isinstance(value, Tensor)
        n.meta["shape"] = value.shape if tensor else None
        n.meta["floating"] = tensor and value.is_floating_point()
        n.meta["batched"] = tensor and value.ndim > 0 and value.shape[0] == self._batch
        n.meta["plain"] = isinstance(value, (*FIXED, torch.Size))
        return value

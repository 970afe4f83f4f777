"""From a block's forward to a graph, one level deep."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, fx, nn

from ._call import FIXED, Call
from ._decide import Decisions
from ._inline import is_inlined
from ._interpret import Interpreter


@dataclass(frozen=True, eq=False)
class Followed:
    """The path that a block's forward takes in one call.

    Attributes:
        graph: what it computes.
        by_shape: whether the path holds for the shapes of the call's tensors alone.
        inlined: paths of the children that were followed into.
    """

    graph: fx.Graph
    by_shape: bool
    inlined: tuple[str, ...]


class _OneLevel(fx.Tracer):
    """Records a block's own forward; its children, whatever they do inside, are calls."""

    def __init__(self, call: Call) -> None:
        super().__init__()
        self.inlined: dict[str, None] = {}
        self.by_shape = False
        self._call = call
        self._decisions: Decisions | None = None

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        if is_inlined(m, module_qualified_name):
            self.inlined[module_qualified_name] = None
            return False
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

    def create_node(self, kind: str, target: Any, *args: Any, **kwargs: Any) -> fx.Node:
        node = super().create_node(kind, target, *args, **kwargs)
        if node.name == "self":  # BERT has a child of this name; functions have an argument
            node.name = "child"
        return node

    def to_bool(self, obj: fx.Proxy) -> bool:
        if self._decisions is None:
            self._decisions = Decisions(self.root, self._call.live)
        self.by_shape = True
        return self._decisions.outcome(obj.node)


def follow(block: nn.Module, call: Call) -> Followed:
    """Return the path of `block.forward` for one pattern of arguments.

    Numbers, strings and None are frozen at their values in `call`, and so are decisions
    that depend on shapes; control flow that depends on the values of a tensor makes
    tracing fail. A block from `with_sites` shows its sites as calls, whatever the model
    has there.
    """
    tracer = _OneLevel(call)
    graph = tracer.trace(block)
    graph.eliminate_dead_code(has_effect)
    return Followed(graph, tracer.by_shape, tuple(tracer.inlined))


def has_effect(node: fx.Node) -> bool:
    """Return whether `node` is to be kept when nothing uses its value.

    Checks are (`torch._assert`), and so are modules, which may count their calls.
    """
    return node.op in ("placeholder", "output", "call_module") or node.target is torch._assert


def record_values(graph: fx.Graph, block: nn.Module, live: tuple[Any, ...]) -> dict[fx.Node, Any]:
    """Run the graph once, note for each node what kind of value it has, return the values.

    `meta["shape"]` is the shape of a tensor, or None; `meta["floating"]` and
    `meta["batched"]` say whether it is a tensor of that kind; `meta["plain"]` whether it
    is a number, a size, a string or None, or several of them.
    """
    batch = next((x.shape[0] for x in live if isinstance(x, Tensor) and x.ndim), None)
    recorder = _Recorder(block, graph, batch)
    recorder.run(*live)
    return recorder.env


class _Recorder(Interpreter):
    def __init__(self, block: nn.Module, graph: fx.Graph, batch: int | None) -> None:
        super().__init__(block, garbage_collect_values=False, graph=graph)
        self._batch = batch

    def run_node(self, n: fx.Node) -> Any:
        value = super().run_node(n)
        tensor = isinstance(value, Tensor)
        n.meta["shape"] = value.shape if tensor else None
        n.meta["floating"] = tensor and value.is_floating_point()
        n.meta["batched"] = tensor and value.ndim > 0 and value.shape[0] == self._batch
        n.meta["plain"] = is_plain(value)
        return value


def is_plain(value: Any) -> bool:
    """Return whether `value` is no tensor and holds none."""
    if isinstance(value, list | tuple):
        return all(map(is_plain, value))
    return isinstance(value, FIXED)

"""Write a block's branches, and the rest of it, as Python functions.

A block such as

    def forward(self, x):
        out = self.bn2(self.conv2(self.relu(self.bn1(self.conv1(x)))))
        return self.relu(out + x)

becomes a main function and one function per branch,

    def forward(self, steps, x):
        return steps.take(0, x, x)                    # step 0: shortcut, input

    def forward(self, x):
        return self.bn2(self.conv2(self.relu(self.bn1(self.conv1(x)))))

Children are reached through `self` at run time, so the functions serve every instance
of the class, every copy of it, and `torch.compile`.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from torch import fx, nn

from ._joins import module_of
from ._sites import Site
from ._slice import Slice
from ._trace import has_effect

Function = Callable[..., Any]
Copies = dict[fx.Node, fx.Node]

STEPS, TAKE = "steps", "take"
"""A main function calls `steps.take` where an addition stood."""


@dataclass(frozen=True, eq=False)
class Code:
    """A function, and the graph it was written from."""

    graph: fx.Graph
    function: Function

    @classmethod
    def of(cls, graph: fx.Graph) -> "Code":
        """Write `graph` as a function of `self` and its placeholders."""
        return cls(graph, _compile(graph))


def write_branch(piece: Slice, block: nn.Module) -> Code:
    """Write a branch as a function `(self, *reads)`."""
    graph, copies = fx.Graph(), Copies()
    for read in piece.reads:
        copies[read] = graph.placeholder(read.name)
    for node in piece.nodes:
        _copy(node, graph, copies, block)
    graph.output(copies[piece.join.branch])
    return Code.of(graph)


def write_main(graph: fx.Graph, pieces: Sequence[Slice], block: nn.Module) -> Code:
    """Write the rest of a block as a function `(self, steps, *live)`.

    Its k-th residual step is the call `steps.take(k, shortcut, *reads)`.
    """
    private = frozenset[fx.Node]().union(*(piece.private for piece in pieces))
    taken = {piece.join.node: (k, piece) for k, piece in enumerate(pieces)}
    activated = {piece.activation: piece.join.node for piece in pieces}
    main, copies = fx.Graph(), Copies()
    steps = main.placeholder(STEPS)
    for node in graph.nodes:
        if node in taken:
            k, piece = taken[node]
            values = [copies[value] for value in (piece.join.shortcut, *piece.reads)]
            copies[node] = main.call_method(TAKE, (steps, k, *values))
        elif node in activated:
            copies[node] = copies[activated[node]]
        elif node not in private:
            _copy(node, main, copies, block)
    main.eliminate_dead_code(has_effect)
    return Code.of(main)


def _copy(node: fx.Node, graph: fx.Graph, copies: Copies, block: nn.Module) -> None:
    if isinstance(module_of(node, block), Site):
        copies[node] = copies[node.all_input_nodes[0]]
    else:
        copies[node] = graph.node_copy(node, copies.__getitem__)


def _compile(graph: fx.Graph) -> Function:
    code = graph.python_code("self")
    key = (code.src, tuple(sorted((name, id(value)) for name, value in code.globals.items())))
    if key not in _FUNCTIONS:
        namespace = dict(code.globals)
        exec(compile(code.src, "<stochastic depth>", "exec"), namespace)  # noqa: S102  # by torch.fx
        namespace["forward"].__doc__ = code.src
        _FUNCTIONS[key] = namespace["forward"]
    return _FUNCTIONS[key]


# Blocks of one structure share their functions, and with them their compiled graphs.
_FUNCTIONS: dict[tuple[str, tuple[tuple[str, int], ...]], Function] = {}

"""What a model computed: every operation, and the call of a module it belongs to.

The model runs as it is; what is recorded lies below Python, where an addition is an addition
however it was written, and where control flow, contexts and in-place calls have already
happened. Nothing is ever executed from a recording but the few operations of a shortcut.
"""

from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from typing import Any

from torch.utils import _pytree as pytree


@dataclass(frozen=True)
class Ref:
    """Stands for a tensor in recorded arguments.

    Attributes:
        value: number of the tensor's value.
    """

    value: int


@dataclass(eq=False)
class Value:
    """What a tensor held at some time; an in-place operation makes a new value.

    Attributes:
        operation: number of the operation that made it; None for what came from outside.
        call: number of the call it was made in.
        shape: its shape.
        floating: whether it is a tensor of real numbers.
        live: whether it depends on the model's input.
        ancestors: a set of live values as the bits of a number; the value is one of them.
        parameters: names of parameters and buffers that it was made from, if it is not live.
    """

    operation: int | None
    call: int
    shape: tuple[int, ...]
    floating: bool
    live: bool
    ancestors: int
    parameters: frozenset[str] = frozenset()


@dataclass(eq=False)
class Operation:
    """One operation.

    Attributes:
        function: what was called.
        args: its arguments, with `Ref` for tensors.
        kwargs: its keyword arguments, likewise.
        inputs: numbers of the values it read.
        outputs: numbers of the values it made.
        call: number of the call it belongs to.
        writes: whether it changed one of its arguments in place.
        parameters: names of the parameters it used.
    """

    function: Any
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    call: int
    writes: bool
    parameters: frozenset[str]


@dataclass(eq=False)
class Call:
    """One call of a module.

    Attributes:
        number: position among the calls, in the order in which they begin.
        stack: numbers of the calls around it, outermost first, and its own.
        path: of the module.
        args: arguments, with `Ref` for tensors.
        kwargs: keyword arguments, likewise.
        output: what it returned, likewise.
        begin: number of its first operation.
        end: number after its last operation.
    """

    number: int
    stack: tuple[int, ...]
    path: str
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    output: Any = None
    begin: int = 0
    end: int = 0

    @property
    def inputs(self) -> list[int]:
        """Numbers of the values it was given."""
        return list(refs((self.args, self.kwargs)))

    @property
    def outputs(self) -> list[int]:
        """Numbers of the values it returned."""
        return list(refs(self.output))


def refs(tree: Any) -> Iterator[int]:
    """Yield the numbers of the values in a recorded tree."""
    return (leaf.value for leaf in pytree.tree_leaves(tree) if isinstance(leaf, Ref))


@dataclass(eq=False)
class Recording:
    """What one forward pass of a model did; calls are by number, the model's own is 0."""

    values: list[Value] = field(default_factory=list)
    operations: list[Operation] = field(default_factory=list)
    calls: list[Call] = field(default_factory=list)
    overwritten: set[int] = field(default_factory=set)
    kept: set[int] = field(default_factory=set)
    names: dict[str, list[str]] = field(default_factory=dict)
    by_path: dict[str, list[Call]] = field(default_factory=dict)
    stopped: str = ""

    def calls_of(self, path: str) -> list[Call]:
        """Return the calls of the module at `path`, in order."""
        return self.by_path.get(path, [])

    def name(self, child: Call, block: Call) -> str:
        """Return the path of a child in a block; one that blocks share has a path in each."""
        inside = f"{block.path}." if block.path else ""
        names = self.names.get(child.path, [child.path])
        return next((n for n in names if n.startswith(inside)), child.path).removeprefix(inside)

    def source(self, number: int, passing: Collection[Any]) -> int:
        """Return the call in which a value was made, before operations that only pass it on."""
        value = self.values[number]
        while value.operation is not None and self.operations[value.operation].function in passing:
            value = self.values[self.operations[value.operation].inputs[0]]
        return value.call

    def within(self, number: int, call: Call) -> bool:
        """Return whether call `number` is `call` or happened inside of it."""
        return call.number in self.calls[number].stack

    def child(self, number: int, block: Call, operation: int) -> Call | None:
        """Return the outermost child of a block that holds a call, but not an operation."""
        for inner in self.calls[number].stack[len(block.stack) :]:
            child = self.calls[inner]
            if not child.begin <= operation < child.end:
                return child
        return None

    def written(self, call: Call) -> set[int]:
        """Return the values that a call changes in place."""
        operations = self.operations[call.begin : call.end]
        # By ATen's convention what is written comes first.
        return {number for op in operations if op.writes for number in op.inputs[:1]}

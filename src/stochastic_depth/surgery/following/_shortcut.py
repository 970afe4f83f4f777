"""What a dropped block leaves: S(x), derived from a recording of the block.

Usually x itself. Otherwise the children and operations between the block's input and its
output that are not on a branch: a projection, a norm or an activation after the sum. Children
are called as they are, so that their hooks and their state are their own.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils import _pytree as pytree

from ._joins import Join
from ._recording import Call, Operation, Recording, Ref

RELU = {torch.ops.aten.relu.default, torch.ops.aten.relu_.default}

PASSES_SIGN = {
    torch.ops.aten.max_pool2d_with_indices.default, torch.ops.aten.detach.default,
    torch.ops.aten.alias.default, torch.ops.aten.clone.default, torch.ops.aten.view.default,
}  # fmt: skip
"""Operations whose output is not negative if their input is not."""


RESHAPES = {
    "view", "_unsafe_view", "reshape", "expand", "as_strided", "slice", "split",
    "split_with_sizes", "narrow", "repeat", "constant_pad_nd", "zeros", "ones", "full", "empty",
    "arange", "new_zeros", "new_ones", "new_full", "new_empty", "unflatten", "im2col", "col2im",
    "upsample_nearest2d", "upsample_bilinear2d", "upsample_bicubic2d", "unbind", "select",
}  # fmt: skip
"""Operations told sizes by Python, which a recording of one example does not know."""


PRODUCT = "it returns something that its branch computes"
"""Why a block runs although it is dropped: others need what only its branches make."""


class NotDerivable(Exception):
    """What a dropped block leaves cannot be told; the message says why."""


@dataclass(frozen=True)
class Slot:
    """Stands for an input of a shortcut (these come first), or for what one of its steps made."""

    number: int


@dataclass(frozen=True)
class Made:
    """Stands for a part of the output that only the branches, or Python code, can make."""

    reason: str


@dataclass(frozen=True, eq=False)
class Step:
    """One thing that happens on a shortcut.

    Attributes:
        path: of the child that is called; empty for an operation.
        function: the operation; None for a child.
        args: arguments, with `Slot` for tensors and `Named` for parameters.
        kwargs: keyword arguments, likewise.
        leaf: which tensor of the result goes on.
        writes: whether it changes its input in place.
    """

    path: str
    function: Callable[..., Any] | None
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    leaf: int
    writes: bool


@dataclass(frozen=True)
class Named:
    """Stands for a parameter or a buffer of the block."""

    path: str


@dataclass(frozen=True, eq=False)
class Shortcut:
    """S: what a block returns when all of its branches are dropped.

    Attributes:
        steps: what happens, in order.
        output: what the block returns, with `Slot` for tensors.
        stream: which input leaf the first slot of the output goes back to.
        positive: whether a ReLU was left out because the stream comes from another one.
    """

    steps: tuple[Step, ...]
    output: Any
    stream: int
    positive: bool = False

    @property
    def missing(self) -> str:
        """Why something that the block returns is not known without its branches, or ""."""
        leaves = pytree.tree_leaves(self.output)
        return next((leaf.reason for leaf in leaves if isinstance(leaf, Made)), "")

    @property
    def identity(self) -> bool:
        """Whether the block returns its input."""
        return not self.steps

    @property
    def modules(self) -> tuple[str, ...]:
        """Paths of the children that run."""
        return tuple(step.path for step in self.steps if step.path)

    @property
    def parameters(self) -> tuple[str, ...]:
        """Paths of the parameters that operations use."""
        leaves = pytree.tree_leaves([(step.args, step.kwargs) for step in self.steps])
        return tuple(leaf.path for leaf in leaves if isinstance(leaf, Named))

    def __call__(self, block: nn.Module, leaves: list[Any]) -> Any:
        """Return what is left of a call of `block`.

        Args:
            block: the block.
            leaves: of its arguments; slots are their positions.
        """
        # The usual case, S(x) = x, is met at every dropped block: it must cost nothing.
        if not self.steps and isinstance(self.output, Slot):
            return leaves[self.output.number]
        slots = list(leaves)
        for step in self.steps:
            slots.append(_taken(step, block, slots))
        return _filled(self.output, block, slots)


def _taken(step: Step, block: nn.Module, slots: list[Any]) -> Any:
    args, kwargs = _filled((step.args, step.kwargs), block, slots)
    if step.writes:  # what it changes is not the block's to change
        args = pytree.tree_map_only(Tensor, torch.clone, args)
    function = step.function or block.get_submodule(step.path)
    return pytree.tree_leaves(function(*args, **kwargs))[step.leaf]


def _filled(tree: Any, block: nn.Module, slots: list[Any]) -> Any:
    def fill(leaf: Any) -> Any:
        if isinstance(leaf, Slot):
            return slots[leaf.number]
        if isinstance(leaf, Named):
            owner, _, name = leaf.path.rpartition(".")
            # Looked up at each call: a copy of the model has parameters of its own.
            return getattr(block.get_submodule(owner), name)
        return leaf

    return pytree.tree_map(fill, tree)


def derive(
    recording: Recording, call: Call, joins: list[Join], output: Any, *, trusting: bool = True
) -> Shortcut:
    """Derive what a call of a block returns without its branches.

    Args:
        recording: of the model.
        call: of the block.
        joins: the additions of its branches.
        output: what it returned, with `Ref` for tensors.
        trusting: whether what comes out of a ReLU is not negative, whatever the gates.

    Raises:
        NotDerivable: something it returns is made by a branch, or cannot be made again.
    """
    return _Deriver(recording, call, joins, trusting).shortcut(output)


class _Deriver:
    def __init__(self, recording: Recording, call: Call, joins: list[Join], trusting: bool) -> None:
        self.recording, self.call, self.trusting = recording, call, trusting
        self.joins = {join.total: join for join in joins}
        self.inside = frozenset().union(*(join.between for join in joins))
        # A child around an addition cannot be called as a whole: that would run its branch.
        self.holders = {number for join in joins for number in recording.calls[join.call].stack}
        # Arguments come first among the slots: a call's leaves are used as they are.
        leaves = pytree.tree_leaves((call.args, call.kwargs))
        self.slots = {leaf.value: i for i, leaf in enumerate(leaves) if isinstance(leaf, Ref)}
        self.count = len(leaves)
        self.steps: list[Step] = []
        self.positive = False

    def shortcut(self, output: Any) -> Shortcut:
        tree = pytree.tree_map(self._leaf, output)
        slots = [leaf.number for leaf in pytree.tree_leaves(tree) if isinstance(leaf, Slot)]
        if not slots:
            made = [leaf.reason for leaf in pytree.tree_leaves(tree) if isinstance(leaf, Made)]
            raise NotDerivable(made[0] if made else "it returns no tensor")
        stream = next(iter(self.joins.values())).shortcut if self.joins else None
        start = self.slots.get(stream, slots[0]) if stream is not None else slots[0]
        # A stream that a step makes goes back to no single input.
        start = start if start < self.count else 0
        return Shortcut(tuple(self.steps), tree, start, self.positive)

    def _leaf(self, leaf: Any) -> Any:
        if isinstance(leaf, Ref):
            # A part of the output may come from a branch: then the block runs, and keeps it.
            return self._made(leaf.value) or self._value(leaf.value)
        # A number may be a size of this example.
        if leaf is None or isinstance(leaf, bool | str):
            return leaf
        return Made(f"it returns {_a(leaf)} that may be another in another call")

    def _made(self, number: int) -> Made | None:
        branch = number in self.inside and number not in self.slots and number not in self.joins
        return Made(PRODUCT) if branch else None

    def _value(self, number: int) -> Slot | Named:
        # Each value is made once: a norm called twice would move its statistics twice.
        if number in self.slots:
            return Slot(self.slots[number])
        if number in self.joins:
            return self._without_branch(number)
        value = self.recording.values[number]
        if number in self.inside:
            raise NotDerivable(PRODUCT)
        if value.operation is None:
            return self._named(number)
        operation = self.recording.operations[value.operation]
        child = self._child(operation)
        slot = self._operation(operation, number) if child is None else self._call(child, number)
        self.slots[number] = slot.number
        return slot

    def _without_branch(self, number: int) -> Slot | Named:
        join = self.joins[number]
        operation = self.recording.operations[join.operation]
        operands = [arg for arg in operation.args if isinstance(arg, Ref)]
        # S is the operand itself: with a minus or a factor on it, it would not be.
        if "sub" in operation.function.__name__ and operands[-1].value == join.shortcut:
            raise NotDerivable("its shortcut is subtracted from its branch")
        if operation.kwargs.get("alpha", 1) != 1 and operands[-1].value == join.shortcut:
            raise NotDerivable("its shortcut is multiplied where it is added")
        slot = self._value(join.shortcut)
        if isinstance(slot, Slot):
            self.slots[number] = slot.number
        return slot

    def _named(self, number: int) -> Named:
        value = self.recording.values[number]
        (name,) = value.parameters or ("",)
        inside = f"{self.call.path}." if self.call.path else ""
        # S runs with the block alone at hand: parameters of other modules are out of its reach.
        if not name or not name.startswith(inside):
            raise NotDerivable("it returns something that it was not given")
        return Named(name.removeprefix(inside))

    def _child(self, operation: Operation) -> Call | None:
        """Return the outermost child in which an operation happened, but no addition."""
        for number in self.recording.calls[operation.call].stack[len(self.call.stack) :]:
            if number not in self.holders:
                return self.recording.calls[number]
        return None

    def _call(self, child: Call, number: int) -> Slot:
        outputs = child.outputs
        if number not in outputs:
            raise NotDerivable("what it returns cannot be followed")
        first, last = child.begin, child.end
        # So that a ResNet's dropped block is x itself, and its survivors can be gathered.
        if self._only_repeats_relu(self.recording.operations[first:last]):
            return self._value(self.recording.operations[first].inputs[0])  # type: ignore[return-value]
        args, kwargs = pytree.tree_map(self._argument, (child.args, child.kwargs))
        writes = bool(self.recording.written(child) & set(child.inputs))
        path = self.recording.name(child, self.call)
        return self._step(Step(path, None, args, kwargs, outputs.index(number), writes))

    def _operation(self, operation: Operation, number: int) -> Slot:
        if self._repeats_relu(operation):
            return self._value(operation.inputs[0])  # type: ignore[return-value]
        # Replayed on another batch or image, the operation would have the sizes of the example.
        if operation.function.overloadpacket.__name__ in RESHAPES:
            raise NotDerivable("it changes the shape of its stream, which only its forward can")
        args, kwargs = pytree.tree_map(self._argument, (operation.args, operation.kwargs))
        leaf = operation.outputs.index(number)
        return self._step(Step("", operation.function, args, kwargs, leaf, operation.writes))

    def _only_repeats_relu(self, operations: list[Operation]) -> bool:
        first, *rest = operations
        return self._repeats_relu(first) and all(other.function in PASSES_SIGN for other in rest)

    def _repeats_relu(self, operation: Operation) -> bool:
        repeats = (
            self.trusting and operation.function in RELU and self._not_negative(operation.inputs[0])
        )
        # Noted, since gates elsewhere may make the stream negative after all: see `_keep_relus`.
        self.positive |= repeats
        return repeats

    def _not_negative(self, number: int) -> bool:
        """Return whether a shortcut comes from a ReLU: then another one changes nothing.

        Known by where it comes from, not by the values it happened to have.
        """
        # Without its branch a sum is its shortcut.
        while number in self.joins:
            number = self.joins[number].shortcut
        value = self.recording.values[number]
        if value.operation is None:
            return False
        operation = self.recording.operations[value.operation]
        if operation.function in PASSES_SIGN:
            return self._not_negative(operation.inputs[0])
        return operation.function in RELU

    def _argument(self, leaf: Any) -> Any:
        return self._value(leaf.value) if isinstance(leaf, Ref) else leaf

    def _step(self, step: Step) -> Slot:
        self.steps.append(step)
        return Slot(self.count + len(self.steps) - 1)


def _a(value: Any) -> str:
    name = type(value).__name__
    return f"{'an' if name[0] in 'aeiou' else 'a'} {name}"

"""One run of a block's own forward, under gates on its branches.

The block runs as it was written. Only the children in its branches know about the gate: the
one a branch leaves by scales what it returns, and those of a branch that is dropped beside
others that run are not called at all.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils import _pytree as pytree

from ..blocks import Gate, Rows, shield_gradient, take_rows
from ..blocks._gate import masked, per_sample

Plain = Callable[..., Any]


@dataclass(frozen=True)
class Stub:
    """What stands for the output of a child that is not called.

    Attributes:
        leaves: for each leaf of its output the dimensions, as positions in the shape of its
            first tensor argument or as numbers of their own; None for its first tensor
            argument itself, an `Argument`, or a constant in a tuple.
        form: how the leaves are nested.
        fresh: whether they are changed in place later.
    """

    leaves: tuple[Any, ...]
    form: pytree.TreeSpec
    fresh: bool = False

    def __call__(self, args: tuple[Any, ...], kwargs: dict[str, Any], *, zero: bool) -> Any:
        """Return the stand-in for a call with these arguments."""
        given, first = pytree.tree_leaves((args, kwargs)), first_tensor(args, kwargs)
        assert first is not None  # noqa: S101  # its shape was told by two calls
        leaves = [
            given[rule.position]
            if isinstance(rule, Argument)
            else _stand_in(rule, first, zero=zero)
            for rule in self.leaves
        ]
        # The input may stand in for the output, and must not be changed with it.
        if self.fresh:
            leaves = [leaf.clone() if isinstance(leaf, Tensor) else leaf for leaf in leaves]
        return pytree.tree_unflatten(leaves, self.form)


@dataclass(frozen=True)
class Argument:
    """An argument that is returned as it was given, such as a size; its position."""

    position: int


@dataclass(frozen=True)
class Shape:
    """A shape: sizes, and positions of dimensions of another tensor where `copied`."""

    sizes: tuple[int, ...]
    copied: tuple[bool, ...]


def _stand_in(rule: Any, first: Tensor, *, zero: bool) -> Any:
    if isinstance(rule, tuple):  # a constant
        return rule[0]
    if rule is None and not zero:
        return first
    if rule is None:
        return torch.zeros_like(first)
    sizes = zip(rule.sizes, rule.copied, strict=True)
    return first.new_zeros([first.shape[size] if copied else size for size, copied in sizes])


@dataclass(frozen=True)
class Role:
    """What a child does in a branch of one block.

    Attributes:
        branch: number of the branch.
        leaf: which tensor of its output leaves the branch; None if none does.
        stub: what stands for its output when the branch is dropped; None if it must run.
        enters: which leaves of its arguments come from outside the branch and have one row
            per sample; None if its samples cannot be run apart.
        shields: which leaves come from outside, and are not written to.
    """

    branch: int
    leaf: int | None = None
    stub: Stub | None = None
    enters: tuple[bool, ...] | None = None
    shields: tuple[bool, ...] = ()


@dataclass(eq=False)
class Frame:
    """The gates of a block while it runs.

    Attributes:
        unit: number of the block.
        gates: one per branch.
        skips: for each branch, whether its children may be left out.
        size: samples in the batch.
        left: branches that have left so far.
        counts: how often each child was called so far, by id.
        shield: where it is 0, or False, what is computed has no gradient that is not finite;
            None for where the gate is 0.
    """

    unit: int
    gates: list[Gate]
    skips: list[bool]
    size: int = 0
    left: list[int] = field(default_factory=list)
    counts: dict[int, int] = field(default_factory=dict)
    shield: Tensor | None = None

    def nth(self, child: nn.Module) -> int:
        """Count a call of a child."""
        number = self.counts.get(id(child), 0)
        self.counts[id(child)] = number + 1
        return number

    def call(self, role: Role, plain: Plain, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Call a child, or not, and put the gate of its branch on what it returns."""
        gate, skips = self.gates[role.branch], self.skips[role.branch]
        # Counted whatever the gate: `Execution._framed` looks whether every exit was called.
        if role.leaf is not None:
            self.left.append(role.branch)
        if isinstance(gate, float) and gate == 1:
            return plain(*args, **kwargs)
        if isinstance(gate, float) and gate == 0 and skips and role.stub is not None:
            # Only what leaves the branch must be zero; inside, anything of the right shape will do.
            return role.stub(args, kwargs, zero=role.leaf is not None)
        if isinstance(gate, Rows):
            return self._gathered(gate, role, plain, args, kwargs)
        if isinstance(gate, Tensor):
            # What is dropped is computed all the same: its NaN must not come back as a gradient.
            shield = gate if self.shield is None else self.shield
            args, kwargs = shielded((args, kwargs), shield, role.shields, role.enters)
        output = plain(*args, **kwargs)
        return (
            output if role.leaf is None else on_leaf(output, role.leaf, lambda y: scaled(y, gate))
        )

    def _gathered(
        self, gate: Rows, role: Role, plain: Plain, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        # The child has to run on all samples; what is dropped is masked.
        if not self.skips[role.branch] or role.enters is None:
            output = plain(*args, **kwargs)
            if role.leaf is None:
                return output
            return on_leaf(output, role.leaf, lambda y: scaled(y, dense(gate, y)))
        leaves, form = pytree.tree_flatten((args, kwargs))
        rows = [
            take_rows(leaf, gate.index) if enters else leaf
            for leaf, enters in zip(leaves, role.enters, strict=True)
        ]
        args, kwargs = pytree.tree_unflatten(rows, form)
        output = plain(*args, **kwargs)
        # The rows go on to the next child, which takes them as they are.
        if role.leaf is None:
            return output
        return on_leaf(output, role.leaf, lambda y: spread(scaled_rows(y, gate), gate, self.size))


def first_tensor(args: tuple[Any, ...], kwargs: dict[str, Any]) -> Tensor | None:
    """Return the first tensor among the arguments of a call; its first dimension is N."""
    # Nothing is flattened in the usual case: every block asks in every call.
    if args and isinstance(args[0], Tensor):
        return args[0]
    leaves = pytree.tree_leaves((args, kwargs))
    return next((leaf for leaf in leaves if isinstance(leaf, Tensor)), None)


def arguments_of(x: Any) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Return what a user calls an input as the arguments of a call."""
    if isinstance(x, Mapping):
        return (), dict(x)
    return x if type(x) is tuple else (x,), {}  # a packed sequence is a tuple, and one input


def on_leaf(output: Any, leaf: int, function: Callable[[Tensor], Tensor]) -> Any:
    """Return an output with a function applied to one of its tensors."""
    if isinstance(output, Tensor):
        return function(output)
    leaves, form = pytree.tree_flatten(output)
    # Counted among the tensors, the only outputs that a recording numbers.
    tensors = [position for position, value in enumerate(leaves) if isinstance(value, Tensor)]
    leaves[tensors[leaf]] = function(leaves[tensors[leaf]])
    return pytree.tree_unflatten(leaves, form)


def shielded(
    tree: Any, gate: Tensor, shields: Sequence[bool], batched: Sequence[bool] | None = None
) -> Any:
    """Return arguments whose gradient no NaN or infinity of a dropped branch can reach.

    Args:
        tree: arguments of a call.
        gate: shape () or (N,).
        shields: which leaves are meant.
        batched: which of them have one row per sample; None if not known.
    """
    leaves, form = pytree.tree_flatten(tree)
    known = shields if gate.ndim == 0 else batched or ()
    for position, (leaf, *wanted) in enumerate(zip(leaves, known, shields, strict=False)):
        if (
            all(wanted)
            and isinstance(leaf, Tensor)
            and leaf.is_floating_point()
            and leaf.requires_grad
        ):
            leaves[position] = shield_gradient(leaf, per_sample(gate != 0, leaf).bool())
    return pytree.tree_unflatten(leaves, form)


def scaled(y: Tensor, gate: float | Tensor) -> Tensor:
    """Return `gate * y`; what is dropped is exactly zero, NaN and infinity included."""
    if isinstance(gate, float):
        return torch.zeros_like(y) if gate == 0 else y * gate
    return masked(gate, y)


def scaled_rows(y: Tensor, gate: Rows) -> Tensor:
    """Return the rows of a gathered branch times their gates."""
    if isinstance(gate.scale, float):
        return y if gate.scale == 1 else y * gate.scale
    return y * per_sample(gate.scale, y)


def spread(rows: Tensor, gate: Rows, size: int) -> Tensor:
    """Return a batch that is zero but for some rows."""
    whole = rows.new_zeros((size, *rows.shape[1:]))
    return whole.index_copy(0, gate.index, rows)


def dense(gate: Rows, like: Tensor) -> Tensor:
    """Return the gate of every sample of a batch."""
    scale = gate.scale
    values = like.new_full((len(gate.index),), scale) if isinstance(scale, float) else scale
    return like.new_zeros(len(like)).index_copy(0, gate.index, values.to(like))

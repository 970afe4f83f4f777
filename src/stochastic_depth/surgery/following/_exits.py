"""Where a branch leaves: the children whose output reaches the addition unchanged but for a factor.

A gate is applied there, by scaling what the child returns, and everything else in the block's
forward is as it was written.
"""

from dataclasses import dataclass

import torch

from ._joins import Join, uses_parameters
from ._recording import Call, Operation, Recording, Ref

aten = torch.ops.aten

MOVES = {
    aten.view.default, aten._unsafe_view.default, aten.reshape.default, aten.permute.default,
    aten.transpose.int, aten.t.default, aten.clone.default, aten.contiguous.default,
    aten.slice.Tensor, aten.select.int, aten.unsqueeze.default, aten.squeeze.dim,
    aten.squeeze.default, aten.squeeze.dims, aten.expand.default, aten.roll.default,
    aten.constant_pad_nd.default, aten._to_copy.default, aten.alias.default, aten.detach.default,
    aten.neg.default, aten.flip.default, aten.split.Tensor, aten.split_with_sizes.default,
    aten.native_dropout.default, aten.as_strided.default, aten.flatten.using_ints,
    aten.unflatten.int, aten.upsample_nearest2d.vec, aten.upsample_nearest2d.default,
    aten.upsample_bilinear2d.vec, aten.upsample_bilinear2d.default, aten.avg_pool2d.default,
    aten.mean.dim, aten.sum.dim_IntList, aten.index.Tensor, aten.unbind.int, aten.chunk.default,
    aten.mul.Scalar, aten.div.Scalar, aten.im2col.default, aten.col2im.default,
    aten.pixel_shuffle.default, aten.pixel_unshuffle.default, aten.native_channel_shuffle.default,
}  # fmt: skip
"""Operations that are proportional to their first argument."""

SUMS = {aten.add.Tensor, aten.add_.Tensor, aten.sub.Tensor, aten.sub_.Tensor}
PRODUCTS = {aten.mul.Tensor, aten.mul_.Tensor}
QUOTIENTS = {aten.div.Tensor, aten.div_.Tensor}
LISTS = {aten.cat.default, aten.stack.default}


@dataclass(frozen=True)
class Exit:
    """A place where a branch leaves.

    Attributes:
        path: of the child, in the block.
        nth: which call of it in one call of the block, from 0.
        leaf: which tensor of what it returns.
    """

    path: str
    nth: int
    leaf: int


class _None(Exception):
    """A branch leaves in no child."""


def exits(recording: Recording, block: Call, join: Join) -> tuple[Exit, ...]:
    """Return where the branch of an addition leaves; empty if that is in no child."""
    walk = _Walk(recording, block, join)
    try:
        found = walk.back(join.branch)
    except _None:
        return ()
    return () if walk.used_elsewhere() else tuple(dict.fromkeys(found))


class _Walk:
    def __init__(self, recording: Recording, block: Call, join: Join) -> None:
        self.recording, self.block, self.join = recording, block, join
        self.values: set[int] = set()
        self.makers: dict[int, int] = {}
        self.operations = {join.operation}

    def used_elsewhere(self) -> bool:
        """Return whether anything but the addition would see the gate, such as a loss."""
        others = set(self.block.outputs) | self.recording.kept
        # To the end of the model: what a block keeps may be read long after it.
        for number in range(self.block.begin, len(self.recording.operations)):
            operation = self.recording.operations[number]
            # `detach` only renames a value; who uses it then is met later.
            if number in self.operations or set(operation.outputs) <= set(operation.inputs):
                continue
            stack = self.recording.calls[operation.call].stack
            # Within the child that made it, a value is used before the gate is put on it.
            others.update(i for i in operation.inputs if self.makers.get(i) not in stack)
        return bool(self.values & others)

    def back(self, number: int) -> list[Exit]:
        """Return the exits that a value is proportional to."""
        if number not in self.join.between:
            raise _None
        self.values.add(number)
        value = self.recording.values[number]
        child = self.recording.child(value.call, self.block, self.join.operation)
        if child is not None:
            # Only what a child returns can be scaled, not what it holds inside.
            if number in child.outputs:
                return [self._exit(child, number)]
            raise _None
        if value.operation is None:
            raise _None
        self.operations.add(value.operation)
        return self._through(self.recording.operations[value.operation])

    def _exit(self, child: Call, number: int) -> Exit:
        self.makers[number] = child.number
        calls = [c for c in self.recording.calls_of(child.path) if self.block.number in c.stack]
        path = self.recording.name(child, self.block)
        return Exit(path, calls.index(child), child.outputs.index(number))

    def _through(self, operation: Operation) -> list[Exit]:
        function = operation.function
        if function in MOVES:
            return self.back(operation.inputs[0])
        if function in SUMS:
            operands = [arg.value for arg in operation.args if isinstance(arg, Ref)]
            if len(operands) != 2:  # a number is added
                raise _None
            return [found for operand in operands for found in self.back(operand)]
        if function in LISTS:
            return [found for operand in operation.inputs for found in self.back(operand)]
        if function in PRODUCTS:
            return self._factor(operation)
        # A quotient is proportional to its numerator alone.
        if function in QUOTIENTS:
            return self.back(operation.inputs[0])
        raise _None

    def _factor(self, operation: Operation) -> list[Exit]:
        """Return the exits of one factor, to which the product is proportional."""
        inside = [number for number in operation.inputs if number in self.join.between]
        # One factor only, or the gate would count twice: the one with layers, not a mask beside it.
        learned = [number for number in inside if self._learned(number)]
        for number in sorted(learned or inside, reverse=True):
            try:
                return self.back(number)
            except _None:
                continue
        raise _None

    def _learned(self, number: int) -> bool:
        ancestors = self.recording.values[number].ancestors
        return any(
            uses_parameters(self.recording, other)
            for other in self.join.between
            if ancestors >> other & 1
        )

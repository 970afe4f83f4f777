"""Record the hidden states between the blocks of a model."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.utils import _pytree as pytree

from .._errors import Unsupported
from .._typing import Gates
from ._find import find_blocks
from ._frame import first_tensor
from ._gating import gating
from .following import Block

Passage = tuple[Tensor, Tensor]
"""What one block was given, and what it returned."""


@contextmanager
def recording(model: nn.Module, blocks: Sequence[Block]) -> Iterator[list[Passage]]:
    """Collect the input and the output of each block, in the order in which they run.

    The tensors are part of the graph, so that gradients can be taken in them.

    Args:
        model: to be run once inside the `with` statement.
        blocks: of the model, one or more per module.
    """
    passages: list[Passage] = []

    def note(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], out: Any) -> None:
        before = first_tensor(args, kwargs)
        after = next((t for t in pytree.tree_leaves(out) if isinstance(t, Tensor)), None)
        if before is None or after is None:
            raise Unsupported(f"{type(module).__name__} must map tensors to tensors.")
        passages.append((before, after))

    paths = dict.fromkeys(block.path for block in blocks)
    hooks = [
        model.get_submodule(path).register_forward_hook(note, with_kwargs=True) for path in paths
    ]
    try:
        yield passages
    finally:
        for hook in hooks:
            hook.remove()


def block_gradients(
    model: nn.Module,
    x: Tensor,
    y: Tensor,
    loss: Callable[[Tensor, Tensor], Tensor],
    gates: Gates,
) -> Float[Tensor, "modules+1 N"]:
    """Return the squared norm of the loss gradient before and after each block, per sample.

    Row 0 belongs to what the first block is given, row l to what the l-th returns.

    Args:
        model: in evaluation mode.
        x: input, N samples.
        y: targets.
        loss: scalar; samples must not meet in it other than in a sum or a mean.
        gates: shape (L,) or (L, N).
    """
    leaf = x.detach().clone().requires_grad_(x.is_floating_point())
    with gating(model, gates), recording(model, find_blocks(model)) as passages:
        slope = loss(model(leaf), y)
    states = [passages[0][0], *(after for _, after in passages)]
    gradients = torch.autograd.grad(slope, states)
    return torch.stack([gradient.flatten(1).square().sum(1) for gradient in gradients])


def stages(passages: Sequence[Passage]) -> list[list[int]]:
    """Return the maximal runs of blocks that keep the shape of their input, by index.

    Example:
        >>> import torch
        >>> a, b = torch.zeros(2, 3), torch.zeros(2, 5)
        >>> stages([(a, a), (a, a), (a, b), (b, b)])
        [[0, 1], [3]]
    """
    runs: list[list[int]] = [[]]
    for index, (before, after) in enumerate(passages):
        if before.shape == after.shape:
            runs[-1].append(index)
        elif runs[-1]:
            runs.append([])
    return [run for run in runs if run]

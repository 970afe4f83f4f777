"""Tell the library what a foreign block computes."""

from torch import nn

from .._checks import fail
from .translation import BranchFunction, Declaration, PartFunction, declare


def register(
    kind: type[nn.Module],
    branch: BranchFunction,
    *,
    shortcut: PartFunction | None = None,
    activation: PartFunction | None = None,
) -> None:
    """Say what blocks of a class compute, so that the branch can be skipped.

        y = act(s(x) + F(x))

    Rarely needed: most blocks are found by following their forward. This is for those
    whose forward depends on the values of a tensor, or leaves PyTorch. Every block of
    exactly this class is then a block with one branch; what is said is checked against
    what it computes when the blocks of a model are found, and a block that computes
    something else is protected.

    Args:
        kind: class of the block. Its forward takes x first, and returns one tensor.
        branch: F, called as `branch(block, x, *other arguments of the forward)`.
        shortcut: s, called as `shortcut(block, x)`; None for the identity.
        activation: act, called as `activation(block, sum)`; None for none.

    Raises:
        InvalidArgument: `kind` is no module class.

    Example:
        >>> import torch, stochastic_depth as sd
        >>> class Clipped(torch.nn.Module):
        ...     def __init__(self):
        ...         super().__init__()
        ...         self.f = torch.nn.Linear(4, 4)
        ...     def branch(self, x):
        ...         y = self.f(x)
        ...         return y / y.norm() if y.norm() > 1 else y    # depends on values
        ...     def forward(self, x):
        ...         return x + self.branch(x)
        >>> sd.surgery.register(Clipped, Clipped.branch)
        >>> len(sd.find_blocks(torch.nn.Sequential(Clipped(), Clipped())))
        2
    """
    if not (isinstance(kind, type) and issubclass(kind, nn.Module)):
        raise fail("kind", "a class of modules", repr(kind))
    declare(kind, Declaration(branch, shortcut, activation))

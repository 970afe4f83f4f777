"""The masks of torchvision and timm, under their names and with their behaviour.

They multiply a branch that has already been computed, so they save nothing. They exist so
that code written for those libraries runs unchanged and can be traced by torch.fx,
scripted and mapped over. Only in these adapters is a probability a *drop* probability.
`stochastic_depth.apply` replaces them by gates.
"""

from typing import Literal, get_args

import torch
from torch import Tensor, nn

from .._checks import flag, one_of, probability

Mode = Literal["batch", "row"]


def stochastic_depth(x: Tensor, p: float, mode: str, training: bool = True) -> Tensor:
    """Drop `x` with probability `p`, else divide it by 1 - p: torchvision's function.

    Args:
        x: output of a residual branch, shape (N, ...).
        p: drop probability, in [0, 1]; survival is 1 - p.
        mode: `"batch"`, one draw for all samples, or `"row"`, one per sample.
        training: if False, `x` is returned unchanged.

    Returns:
        `x`, masked. It draws from the global random generator, as torchvision does.

    Raises:
        InvalidArgument: `p` outside [0, 1], or an unknown `mode`.

    Example:
        >>> import torch, stochastic_depth as sd
        >>> sd.stochastic_depth(torch.ones(2), p=1.0, mode="row")
        tensor([0., 0.])

    References:
        `torchvision.ops.stochastic_depth`.
    """
    # The checks cannot be scripted, and a scripted module was checked when it was made.
    if not torch.jit.is_scripting():  # type: ignore[attr-defined]
        p = probability("p (the drop probability)", p)
        one_of("mode", mode, get_args(Mode))
    if not training or p == 0:
        return x
    return x * _noise(x, 1 - p, mode == "row", True)


class StochasticDepth(nn.Module):
    """Module form of `stochastic_depth`: torchvision's class.

    Args:
        p: drop probability, in [0, 1].
        mode: `"batch"` or `"row"`.

    Raises:
        InvalidArgument: `p` outside [0, 1], or an unknown `mode`.

    Example:
        >>> import stochastic_depth as sd
        >>> sd.StochasticDepth(0.2, "row")
        StochasticDepth(survival 0.80 (drop 0.20), mode='row')

    References:
        `torchvision.ops.StochasticDepth`.
    """

    def __init__(self, p: float, mode: str) -> None:
        super().__init__()
        self.p = probability("p (the drop probability)", p)
        self.mode = one_of("mode", mode, get_args(Mode))

    def forward(self, input: Tensor) -> Tensor:
        """Mask the output of a branch."""
        return stochastic_depth(input, self.p, self.mode, self.training)

    def extra_repr(self) -> str:
        return f"survival {1 - self.p:.2f} (drop {self.p:.2f}), mode={self.mode!r}"


class DropPath(nn.Module):
    """Drop whole samples of a branch: timm's class.

    Args:
        drop_prob: drop probability, in [0, 1].
        scale_by_keep: divide the kept samples by 1 - drop_prob.

    Raises:
        InvalidArgument: `drop_prob` outside [0, 1].

    Example:
        >>> import stochastic_depth as sd
        >>> sd.DropPath(0.1)
        DropPath(survival 0.90 (drop 0.10), scale_by_keep=True)

    References:
        `timm.layers.DropPath`.
    """

    def __init__(self, drop_prob: float = 0.0, scale_by_keep: bool = True) -> None:
        super().__init__()
        self.drop_prob = probability("drop_prob", drop_prob)
        self.scale_by_keep = flag("scale_by_keep", scale_by_keep)

    def forward(self, x: Tensor) -> Tensor:
        """Mask the output of a branch."""
        if not self.training or self.drop_prob == 0:
            return x
        return x * _noise(x, 1 - self.drop_prob, True, self.scale_by_keep)

    def extra_repr(self) -> str:
        survival = f"survival {1 - self.drop_prob:.2f} (drop {self.drop_prob:.2f})"
        return f"{survival}, scale_by_keep={self.scale_by_keep}"


def _noise(x: Tensor, survival: float, rows: bool, rescale: bool) -> Tensor:
    shape = [x.shape[0] if rows else 1] + [1] * (x.ndim - 1)
    # `new_empty` follows `vmap`, so that each of its entries gets a draw of its own.
    noise = x.new_empty(shape).bernoulli_(survival)
    return noise.div_(survival) if rescale and survival > 0 else noise


# torch.fx records these as calls instead of tracing into them: what they do depends on the
# shape of the batch.
torch.fx.wrap("stochastic_depth")
torch.fx.wrap("_noise")

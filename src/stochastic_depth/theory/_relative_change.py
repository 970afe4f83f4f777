"""How much hidden states, or gradients, change from one end of a network to the other."""

from collections.abc import Iterable
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from .._checks import fail


@dataclass(frozen=True)
class RelativeChange:
    """The change of a vector along a network, relative to its start.

    Attributes:
        log10: log10( ||h_L - h_0|| / ||h_0|| ), float64; infinity where numbers overflowed,
            never NaN.
        overflow: the layer whose output was the first not to be finite; 0 where none was.
    """

    log10: Float[Tensor, "*batch"]
    overflow: Int[Tensor, "*batch"]

    @property
    def ratio(self) -> Float[Tensor, "*batch"]:
        """||h_L - h_0|| / ||h_0||."""
        return 10**self.log10


def relative_change(states: Iterable[Float[Tensor, "*batch width"]]) -> RelativeChange:
    """Measure ||h_L - h_0|| / ||h_0||, and where numbers overflowed on the way.

    Args:
        states: h_0, ..., h_L, consumed one at a time. For gradients pass them in the order
            in which they are computed: from p_L to p_0.

    Raises:
        InvalidArgument: no states, or an h_0 that is zero or not finite.

    Example:
        >>> import torch, stochastic_depth as sd
        >>> start = torch.tensor([[3.0, 4.0], [1.0, 0.0]])
        >>> change = sd.theory.relative_change([start, start * 11, start * float("inf")])
        >>> change.log10, change.overflow
        (tensor([inf, inf], dtype=torch.float64), tensor([2, 2]))

    References:
        Marion et al. 2022, the quantity of their figures 1, 3, 4, 5 and 7.
    """
    iterator = iter(states)
    first = last = _start(next(iterator, None))
    overflow = torch.zeros(first.shape[:-1], dtype=torch.long)
    for layer, last in enumerate(iterator, start=1):
        finite = last.isfinite().all(-1)
        overflow = torch.where(finite | (overflow > 0), overflow, layer)
    # float64: the square of a large float32 norm would overflow.
    change, size = ((x.detach().double()).norm(dim=-1) for x in (last - first, first))
    log10 = torch.where(overflow > 0, torch.inf, (change / size).log10())
    return RelativeChange(log10, overflow)


def _start(first: Tensor | None) -> Tensor:
    if first is None:
        raise fail("states", "at least h_0", "none")
    if not first.isfinite().all() or (first == 0).all(-1).any():
        raise fail("h_0", "finite and not zero", "a vector that is not", "Check the input map.")
    return first

"""How fast networks approach their limit as they get deeper."""

import math
from collections.abc import Sequence

from jaxtyping import Float
from torch import Tensor

from .._checks import fail
from ._slope import Slope, fit_slope


def convergence_order(depths: Sequence[int], errors: Sequence[Float[Tensor, " n"]]) -> Slope:
    """Return the order r of |E error| ~ L^-r, by a line through the logarithms.

    The strong order is that of the distance of a network to its limit on the same path,
    E||h_L - H_1||; the weak order is that of |E phi(h_L) - E phi(H_1)|, for which signed
    differences may be given.

    Args:
        depths: at least two different ones.
        errors: for each depth a sample of independent draws, at least two.

    Returns:
        r. Samples at different depths are taken to be independent; if all depths share
        their paths, the interval is a rough one.

    Raises:
        InvalidArgument: lengths differ, too few draws, a mean error of zero.

    Example:
        >>> import torch, stochastic_depth as sd
        >>> errors = [torch.tensor([0.9, 1.1]) / depth for depth in (10, 100, 1000)]
        >>> f"{sd.theory.convergence_order([10, 100, 1000], errors).value:.2f}"
        '1.00'
    """
    if len(depths) != len(errors):
        raise fail("errors", f"{len(depths)} samples, one per depth", len(errors))
    logs, uncertainty = [], []
    for sample in errors:
        if len(sample) < 2:
            raise fail("errors", "at least two draws at each depth", len(sample))
        mean = abs(float(sample.double().mean()))
        if mean == 0:
            raise fail("errors", "different from zero on average", "0")
        logs.append(-math.log(mean))
        uncertainty.append(float(sample.double().std()) / math.sqrt(len(sample)) / mean)
    return fit_slope([math.log(depth) for depth in depths], logs, uncertainty)

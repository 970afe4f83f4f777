"""Independent gates, the law of stochastic depth."""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Generator, Tensor

from .._checks import count
from .._typing import Gates
from ._law import SurvivalLaw, require_generator


@dataclass(frozen=True, eq=False, repr=False, init=False)
class Bernoulli(SurvivalLaw):
    """Each block runs with probability p_l, independently of the others.

    | rescale   | d_l             | mean | variance   | evaluated at |
    |-----------|-----------------|------|------------|--------------|
    | `"train"` | 0 or 1/p_l      | 1    | (1-p)/p    | 1            |
    | `"test"`  | 0 or 1          | p    | p(1-p)     | p            |
    | `"none"`  | 0 or 1          | p    | p(1-p)     | 1            |

    A block with p_l = 0 never runs, not even in evaluation (except under `"none"`, which
    always evaluates at 1).

    Args:
        survival: P(block l runs), shape (L,), in [0, 1].
        rescale: where the mean of the gate is corrected, see `Rescale`.

    Raises:
        InvalidArgument: a probability outside [0, 1] or NaN, unknown `rescale`.

    Example:
        >>> import stochastic_depth as sd
        >>> law = sd.gates.Bernoulli([1.0, 0.5], rescale="train")
        >>> law
        Bernoulli(2 blocks, survival 0.50..1.00 (drop 0.00..0.50), rescale='train')
        >>> law.sample(generator=sd.gates.stream(seed=0, step=3))
        tensor([1., 0.])

    References:
        Huang et al. 2016, section 3 (`"test"`); Hayou & Ayed 2021, equation 1.
    """

    @property
    def variance(self) -> Float[Tensor, " L"]:
        return self.mean * (1 - self.survival) * self.value

    @property
    def covariance(self) -> Float[Tensor, "L L"]:
        return self.variance.diag()

    def probability(self, active: Bool[Tensor, "L N"]) -> Float[Tensor, " N"]:
        p = self.survival[:, None]
        return torch.where(active, p, 1 - p).prod(0)

    @property
    def _log_odds(self) -> Float[Tensor, " L"]:
        """Of the coins whose law, given their number of heads, is this law given its depth."""
        return self.survival.logit()

    def _active(self, batch_size: int, generator: Generator) -> Tensor:
        uniform = torch.rand(len(self), batch_size, generator=generator, device="cpu")
        return uniform < self.survival[:, None]

    def sample_subset(self, batch_size: int, *, multiple: int = 1, generator: Generator) -> Gates:
        """Draw gates under which each block runs for a fixed number of samples.

        Block l runs for a random subset of k_l samples. The sizes allowed are the multiples
        of m up to N, and N itself. Let a <= p_l N < b be those on either side, or a = N:

            k_l = a + (b - a) floor(t + u),   t = (p_l N - a) / (b - a),   u uniform in [0, 1)

        It is b with probability t, else a, so E k_l = a + (b - a) t = p_l N. Each sample is
        in the subset with probability E k_l / N = p_l: exactly its survival probability. The
        price is a variance of k_l of (p_l N - a) (b - p_l N), at most m^2 / 4; it is 0 where
        p_l N is an allowed size.

        Args:
            batch_size: N, at least 0.
            multiple: m, at least 1; above N, the whole batch runs or nothing.
            generator: a CPU generator.

        Returns:
            float32 tensor of shape (L, N).

        Raises:
            InvalidArgument: `batch_size` below 0, `multiple` below 1.

        Example:
            >>> import stochastic_depth as sd
            >>> law = sd.gates.Bernoulli([0.75, 0.5], rescale="test")
            >>> law.sample_subset(8, generator=sd.gates.stream(0, 0)).sum(dim=1)
            tensor([6., 4.])
            >>> law.sample_subset(8, multiple=4, generator=sd.gates.stream(0, 0)).sum(dim=1)
            tensor([8., 4.])

        References:
            The fixed subset is DINOv2's drop path; the stochastic rounding is ours:
            rounding down instead keeps fewer samples than asked for in small batches.
        """
        size = count("batch_size", batch_size, least=0)
        step = count("multiple", multiple)
        require_generator(generator)
        offset = torch.rand(len(self), generator=generator, device="cpu")
        kept = _rounded(self.survival * size, size, step, offset)
        # The ranks of random numbers are a uniform permutation of the samples of each block.
        order = torch.rand(len(self), size, generator=generator, device="cpu").argsort(dim=1)
        rank = order.argsort(dim=1)
        return self._scaled(rank < kept[:, None])


def _rounded(wanted: Tensor, size: int, multiple: int, offset: Tensor) -> Tensor:
    """Return multiples of `multiple`, or `size` itself, that are `wanted` on average."""
    rest = size % multiple
    last = size - rest
    below = multiple * torch.floor(wanted / multiple + offset)
    above = last + rest * torch.floor((wanted - last) / max(rest, 1) + offset)
    return torch.where(wanted < last, below, above)

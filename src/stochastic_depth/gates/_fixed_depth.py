"""Gates with given marginals and a fixed number of blocks per draw."""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property

import torch
from jaxtyping import Bool, Float
from torch import Generator, Tensor

from ._conditional import ConditionalBernoulli
from ._law import Rescale, SurvivalLaw

WHOLE = 1e-9
"""A probability, or an expected depth, this close to a whole number counts as whole."""


@dataclass(frozen=True, eq=False, repr=False, init=False)
class FixedDepth(SurvivalLaw):
    """Exactly the marginals p, and floor(sum p) or ceil(sum p) blocks in every draw.

    It has the largest entropy of all laws with these marginals and this depth: independent
    coins conditioned on their sum, with odds fitted so that P(d_l != 0) = p_l. Every step
    then takes the same time and memory (to one block). If the expected depth lies between
    k and k+1, one more coin, which belongs to no block, makes up the difference.

    Args:
        survival: P(block l runs), shape (L,), in [0, 1]; within 1e-9 of 0 or 1 it counts
            as 0 or 1.
        rescale: where the mean of the gate is corrected, see `Rescale`.

    Raises:
        InvalidArgument: a probability outside [0, 1] or NaN, unknown `rescale`.

    Example:
        >>> import stochastic_depth as sd
        >>> law = sd.gates.FixedDepth([0.9, 0.8, 0.3], rescale="test")
        >>> [int(law.sample(generator=sd.gates.stream(0, step)).sum()) for step in range(5)]
        [2, 2, 2, 2, 2]

    References:
        Chen, Dempster & Liu 1994, Weighted finite population sampling to maximize
        entropy, Biometrika 81(3).
    """

    def __init__(self, survival: Tensor | Iterable[float], rescale: Rescale = "train") -> None:
        super().__init__(survival, rescale)
        whole = self.survival.round()
        p = torch.where((self.survival - whole).abs() > WHOLE, self.survival, whole)
        object.__setattr__(self, "survival", p)

    @cached_property
    def _random(self) -> Bool[Tensor, " L"]:
        """The blocks that are left to chance."""
        return (self.survival > 0) & (self.survival < 1)

    @cached_property
    def _coins(self) -> ConditionalBernoulli | None:
        """One coin per random block, and the one that belongs to no block."""
        p = self.survival[self._random]
        depth = float(p.sum())
        if len(p) == 0:
            return None
        if abs(depth - round(depth)) <= WHOLE:
            return ConditionalBernoulli.with_marginals(p, round(depth))
        size = math.ceil(depth)
        return ConditionalBernoulli.with_marginals(
            torch.cat([p, p.new_tensor([size - depth])]), size
        )

    @property
    def _log_odds(self) -> Float[Tensor, " L"]:
        """Of the coins whose law, given their number of heads, is this law given its depth."""
        odds = self.survival.logit()
        if self._coins is not None:
            odds[self._random] = self._coins.logits[: int(self._random.sum())]
        return odds

    @property
    def covariance(self) -> Float[Tensor, "L L"]:
        index = self._random.nonzero()[:, 0]
        matrix = self.survival.new_zeros(len(self), len(self))
        if self._coins is not None:
            joint = self._coins.covariance[: len(index), : len(index)]
            matrix[index[:, None], index] = joint
        return matrix * self.value[:, None] * self.value

    def probability(self, active: Bool[Tensor, "L N"]) -> Float[Tensor, " N"]:
        always = (self.survival == 1)[:, None]
        certain = (active == always)[~self._random].all(0).double()
        if self._coins is None:
            return certain
        heads = active[self._random]
        if len(self._coins.logits) > len(heads):
            # The extra coin makes up the number; if it cannot, `probability` finds a wrong sum.
            heads = torch.cat([heads, heads.sum(0, keepdim=True) < self._coins.size])
        return certain * self._coins.probability(heads)

    def _active(self, batch_size: int, generator: Generator) -> Tensor:
        active = (self.survival == 1)[:, None].repeat(1, batch_size)
        if self._coins is not None:
            index = self._random.nonzero()[:, 0]
            drawn = self._coins.sample(batch_size, generator)
            active = active.index_copy(0, index, drawn[: len(index)])
        return active

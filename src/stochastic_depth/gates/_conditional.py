"""Independent coins given their sum: the conditional Bernoulli distribution."""

from dataclasses import dataclass
from functools import cached_property

import torch
from jaxtyping import Bool, Float
from torch import Generator, Tensor

TOLERANCE = 1e-13
"""How closely the marginals are fitted."""

MAX_ITERATIONS = 100
"""Newton's method needs fewer than ten; the rest is for the line search."""


@dataclass(frozen=True, eq=False)
class ConditionalBernoulli:
    """m coins with probabilities q, conditioned on exactly `size` heads.

    The law depends on the odds q/(1-q) up to one common factor. Keeping that factor where
    `sum q` is near `size` conditions on a likely event, so that all sums below run over
    numbers of ordinary magnitude and need no logarithms.

    Attributes:
        logits: log odds of the coins, float64, shape (m,); infinite for certain ones.
        size: number of heads that the coins can show.
    """

    logits: Float[Tensor, " m"]
    size: int

    @classmethod
    def with_marginals(cls, p: Float[Tensor, " m"], size: int) -> "ConditionalBernoulli":
        """Return the law with P(coin i is heads) = p_i; the p_i sum to `size`.

        Newton's method for `logit(marginals) = logit(p)`: in log odds it has the right
        scale for probabilities of any size. Steps are halved until the error falls.
        """
        # Conditioning squares odds: starting further out, marginals would round to 0 and 1.
        law = cls(p.logit().clamp(-15, 15), size)
        for _ in range(MAX_ITERATIONS):
            if (p - law.marginals).abs().max() <= TOLERANCE:
                break
            error, scale = law._error(p), 1.0
            step = law._newton_step(error)
            while not (trial := cls(law.logits + scale * step, size))._falls_below(error, p):
                scale /= 2
                if scale < 1e-3:  # rounding, not the direction, is the obstacle
                    return law
            law = trial
        return law

    def _error(self, p: Tensor) -> Tensor:
        return p.logit() - self.marginals.logit()

    def _falls_below(self, error: Tensor, p: Tensor) -> bool:
        return bool(self._error(p).abs().max() < error.abs().max())  # False for NaN

    def _newton_step(self, error: Tensor) -> Tensor:
        # d logit(marginal_i) / d logit_j = Cov_ij / Var_i, solved through correlations,
        # whose scale does not depend on the probabilities. They are singular along the
        # standard deviations (the common factor of the odds); adding the outer product
        # makes them regular and keeps that factor in place.
        deviation = self.covariance.diagonal().clamp(min=1e-18).sqrt()
        correlation = self.covariance / torch.outer(deviation, deviation)
        direction = deviation / deviation.norm()
        regular = correlation + torch.outer(direction, direction)
        return torch.linalg.solve(regular, deviation * error) / deviation

    @cached_property
    def _before(self) -> Float[Tensor, "m1 size1"]:
        """Row i: P(k heads among the first i coins), k = 0..size."""
        return _counts(self.logits.sigmoid(), self.size)

    @cached_property
    def _after(self) -> Float[Tensor, "m1 size1"]:
        """Row i: P(k heads among the coins i, i+1, ...), k = 0..size."""
        return _counts(self.logits.sigmoid().flip(0), self.size).flip(0)

    @cached_property
    def marginals(self) -> Float[Tensor, " m"]:
        """P(coin i is heads): coin i, k heads before it and size-1-k after it."""
        q = self.logits.sigmoid()
        others = (self._before[:-1, :-1] * self._after[1:, :-1].flip(1)).sum(1)
        return q * others / self._after[0, self.size]

    @cached_property
    def covariance(self) -> Float[Tensor, "m m"]:
        """Cov(coin i, coin j), from P(both heads).

        Row i of `joint` is P(coin i heads, k heads among the coins before j), carried
        along j; it starts at j = i + 1 and meets `_after` at each later coin.
        """
        # O(m^2 size) by one sweep; each pair on its own would be O(m^3 size).
        q = self.logits.sigmoid()
        both = self.marginals.diag()
        joint = q.new_zeros(len(q), self.size + 1)
        for j in range(len(q)):
            meets = joint[:j, :-1] @ self._after[j + 1, :-1].flip(0)
            both[:j, j] = both[j, :j] = q[j] * meets / self._after[0, self.size]
            joint[:j] = _toss(joint[:j], q[j])
            joint[j, 1:] = q[j] * self._before[j, :-1]
        return both - torch.outer(self.marginals, self.marginals)

    @cached_property
    def _heads_given_left(self) -> Float[Tensor, "m size1"]:
        """P(coin i is heads, given k heads among the coins i, i+1, ...)."""
        heads = self.logits.new_zeros(len(self.logits), self.size + 1)
        heads[:, 1:] = self.logits.sigmoid()[:, None] * self._after[1:, :-1]
        # Where the condition is impossible the numerator is 0, too.
        return heads / self._after[:-1].clamp(min=torch.finfo(torch.float64).tiny)

    def probability(self, heads: Bool[Tensor, "m N"]) -> Float[Tensor, " N"]:
        """Return P(exactly these coins are heads), for each column."""
        q = self.logits.sigmoid()[:, None]
        independent = torch.where(heads, q, 1 - q).prod(0) / self._after[0, self.size]
        return torch.where(heads.sum(0) == self.size, independent, 0.0)

    def sample(self, batch_size: int, generator: Generator) -> Bool[Tensor, "m N"]:
        """Draw exactly, coin by coin, given the number of heads still to place."""
        shape = (len(self.logits), batch_size)
        uniform = torch.rand(shape, generator=generator, dtype=torch.float64, device="cpu")
        left = torch.full((batch_size,), self.size, device="cpu")
        heads = []
        for number, probability in zip(uniform, self._heads_given_left, strict=True):
            heads.append(number < probability[left])
            left = left - heads[-1].long()  # not in place, for `vmap`
        return torch.stack(heads)


def _counts(q: Tensor, size: int) -> Tensor:
    """Return the distribution of heads among the first i coins, truncated at `size`."""
    table = q.new_zeros(len(q) + 1, size + 1)
    table[0, 0] = 1
    for i, probability in enumerate(q):
        table[i + 1] = _toss(table[i], probability)
    return table


def _toss(distribution: Tensor, probability: Tensor) -> Tensor:
    """Return the distribution of heads after one more coin (last dimension: heads)."""
    tossed = distribution * (1 - probability)
    tossed[..., 1:] += distribution[..., :-1] * probability
    return tossed

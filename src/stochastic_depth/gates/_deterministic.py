"""Gates without chance: subnetworks, pruning, early exit."""

from collections.abc import Iterable
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Generator, Tensor

from .._checks import count, finite
from .._typing import Gates, Probabilities
from ._law import Law


@dataclass(frozen=True, eq=False, repr=False)
class Deterministic(Law):
    """A fixed gate vector: the same in every draw and in evaluation.

    Args:
        gates: one finite number per block, shape (L,); 0 drops the block.

    Raises:
        InvalidArgument: an entry that is not finite.

    Example:
        >>> import stochastic_depth as sd
        >>> sd.gates.Deterministic([1.0, 0.0, 1.0]).evaluation
        tensor([1., 0., 1.], dtype=torch.float64)
    """

    gates: Float[Tensor, " L"]

    def __init__(self, gates: Tensor | Iterable[float]) -> None:
        object.__setattr__(self, "gates", finite("gates", gates))

    @property
    def survival(self) -> Probabilities:  # type: ignore[override]
        return (self.gates != 0).to(torch.float64)

    @property
    def mean(self) -> Float[Tensor, " L"]:
        return self.gates

    @property
    def covariance(self) -> Float[Tensor, "L L"]:
        return torch.zeros(len(self), len(self), dtype=torch.float64)

    @property
    def evaluation(self) -> Float[Tensor, " L"]:
        return self.gates

    def sample(self, batch_size: int | None = None, *, generator: Generator) -> Gates:
        """Return the gates; the generator is left alone. See `Law.sample`."""
        gates = self.gates.to(torch.float32)
        if batch_size is None:
            return gates
        return gates[:, None].expand(-1, count("batch_size", batch_size)).contiguous()

    def __repr__(self) -> str:
        return f"Deterministic({self.gates.tolist()})"

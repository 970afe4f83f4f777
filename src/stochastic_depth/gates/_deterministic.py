"""Gates without chance: subnetworks, pruning, early exit."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Self

import torch
from jaxtyping import Float
from torch import Generator, Tensor

from .._checks import count, finite, same_length
from .._typing import Gates, Probabilities
from ._law import Law, require_generator


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
        return self.gates.new_zeros(len(self), len(self))

    @property
    def evaluation(self) -> Float[Tensor, " L"]:
        return self.gates

    def sample(self, batch_size: int | None = None, *, generator: Generator) -> Gates:
        """Return the gates; the generator is left alone. See `Law.sample`."""
        require_generator(generator)
        gates = self.gates.to(torch.float32)
        if batch_size is None:
            return gates
        return gates[:, None].expand(-1, count("batch_size", batch_size, least=0)).contiguous()

    def state(self) -> dict[str, Any]:
        """Describe the law by its gates; see `Law.state`."""
        return {"kind": type(self).__name__, "gates": self.gates.clone()}

    def with_state(self, state: Mapping[str, Any]) -> Self:
        """Return the law with the gates of `state`; see `Law.with_state`."""
        self._require(state, ("gates",))
        gates = finite("state['gates']", state["gates"])
        return type(self)(same_length("state['gates']", gates, len(self)))

    def __repr__(self) -> str:
        return f"Deterministic({self.gates.tolist()})"

"""What all weight processes share."""

from abc import ABC, abstractmethod
from collections.abc import Iterable
from dataclasses import fields
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Generator, Tensor

from ..._checks import count


class WeightProcess(ABC):
    """Abstract process: independent sequences over depth, of mean 0 and variance 1.

    Subclass it as a frozen dataclass and define `covariance` and `_draw`.

    Attributes:
        memoryless: layers are independent, so that one may be drawn without the others.
    """

    memoryless: ClassVar[bool] = False

    def sample(
        self,
        depth: int,
        shape: Iterable[int] = (),
        *,
        generator: Generator | None = None,
        dtype: torch.dtype = torch.float32,
    ) -> Float[Tensor, "L *shape"]:
        """Draw one sequence of `depth` values for every entry of `shape`.

        Args:
            depth: L, at least 1.
            shape: shape of one layer's weights; entries are independent.
            generator: a CPU generator; None draws from the global one, as `torch.nn.init`.
            dtype: floating-point type of the values.

        Returns:
            Tensor of shape (L, *shape) on the CPU: every value has mean 0 and variance 1.

        Raises:
            InvalidArgument: `depth` or an entry of `shape` below 1.
        """
        depth = count("depth", depth)
        shape = tuple(count("shape", size) for size in shape)
        values = torch.empty(depth, *shape, dtype=dtype, device="cpu")
        self._draw(values.view(depth, -1), generator)
        return values

    @abstractmethod
    def covariance(self, depth: int) -> Float[Tensor, "L L"]:
        """Return the covariance over depth of one entry, exact, float64, ones on the diagonal."""

    @abstractmethod
    def _draw(self, values: Float[Tensor, "L entries"], generator: Generator | None) -> None:
        """Fill `values`, one independent sequence per column."""

    def __repr__(self) -> str:
        arguments = ", ".join(f"{f.name}={getattr(self, f.name)!r}" for f in fields(self))  # type: ignore[arg-type]
        return f"{type(self).__name__.lower()}({arguments})"

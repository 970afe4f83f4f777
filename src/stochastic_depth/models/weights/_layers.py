"""The weights of many networks: held at once, or drawn again layer by layer."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import overload

import torch
from jaxtyping import Float
from torch import Tensor

from ..._checks import count
from ..._errors import Unsupported
from ...gates import stream
from ._process import WeightProcess


def draw(
    process: WeightProcess,
    depth: int,
    width: int,
    *,
    networks: int = 1,
    matrices: int = 2,
    seed: int = 0,
    dtype: torch.dtype = torch.float32,
) -> Float[Tensor, "L matrices networks width width"]:
    """Draw the weights of many independent networks: the process times 1/sqrt(width).

    Args:
        process: how entries vary over depth.
        depth: L.
        width: length of the hidden states.
        networks: number of networks.
        matrices: per layer: 1 for V (res-1), 2 for V and W (res-3).
        seed: at least 0.
        dtype: floating-point type.

    Returns:
        All weights, in `L * matrices * networks * width**2` numbers.

    Raises:
        InvalidArgument: a size below 1.

    Example:
        >>> from stochastic_depth.models import weights
        >>> weights.draw(weights.fractional(0.7), depth=100, width=8, networks=3).shape
        torch.Size([100, 2, 3, 8, 8])
    """
    shape = (matrices, networks, count("width", width), width)
    values = process.sample(depth, shape, generator=stream(seed, 0, purpose="weights"), dtype=dtype)
    return values.mul_(1 / math.sqrt(width))


@dataclass(frozen=True)
class Streamed(Sequence[Tensor]):
    """Weights that are not held: layer l is drawn whenever it is asked for, always the same.

    A sequence of L tensors of shape (matrices, networks, width, width). Ten thousand
    networks of width 100 and depth 1000 have 8 * 10^11 bytes of weights; a pass over this
    holds those of one layer.

    Args:
        process: a memoryless one: layers of others cannot be drawn one at a time.
        depth: L.
        width: length of the hidden states.
        networks: number of networks.
        matrices: per layer: 1 for V (res-1), 2 for V and W (res-3).
        seed: at least 0.

    Raises:
        InvalidArgument: a size below 1.
        Unsupported: layers of the process depend on each other.

    Example:
        >>> from stochastic_depth.models import weights
        >>> layers = weights.Streamed(weights.uniform(), depth=1000, width=100, networks=5)
        >>> len(layers), layers[999].shape
        (1000, torch.Size([2, 5, 100, 100]))
    """

    process: WeightProcess
    depth: int
    width: int
    networks: int = 1
    matrices: int = 2
    seed: int = 0

    def __post_init__(self) -> None:
        for field in ("depth", "width", "networks", "matrices"):
            count(field, getattr(self, field))
        if not self.process.memoryless:
            raise Unsupported(
                f"the layers of {self.process} depend on each other and cannot be streamed; "
                "use weights.draw, which holds them all."
            )

    def __len__(self) -> int:
        return self.depth

    @overload
    def __getitem__(self, layer: int) -> Tensor: ...
    @overload
    def __getitem__(self, layer: slice) -> Sequence[Tensor]: ...
    def __getitem__(self, layer: int | slice) -> Tensor | Sequence[Tensor]:
        if isinstance(layer, slice):
            return [self[index] for index in range(*layer.indices(self.depth))]
        if not -self.depth <= layer < self.depth:
            raise IndexError(f"layer {layer} of a network of depth {self.depth}")
        shape = (self.matrices, self.networks, self.width, self.width)
        generator = stream(self.seed, layer % self.depth, purpose="weights")
        values = self.process.sample(1, shape, generator=generator)[0]
        return values.mul_(1 / math.sqrt(self.width))

"""Schedules given by a formula in the depth of the block."""

import math
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from .._checks import one_of, positive, probability
from ._schedule import Schedule, depth_fraction

LinearRule = Literal["huang", "linspace", "offset"]


@dataclass(frozen=True, repr=False)
class Uniform(Schedule):
    """Every block survives with the same probability: `p_l = p`.

    Args:
        p: survival probability in [0, 1].

    Raises:
        InvalidArgument: `p` outside [0, 1] or NaN.

    Example:
        >>> import stochastic_depth as sd
        >>> sd.schedules.uniform(0.7)(3)
        tensor([0.7000, 0.7000, 0.7000], dtype=torch.float64)

    References:
        Huang et al. 2016, section 3, "uniform".
    """

    p: float

    def __post_init__(self) -> None:
        object.__setattr__(self, "p", probability("p", self.p))

    def survival(self, num_blocks: int) -> Tensor:
        return torch.full((num_blocks,), self.p, dtype=torch.float64, device="cpu")


@dataclass(frozen=True, repr=False)
class Linear(Schedule):
    """Survival falls linearly with depth: `p_l = 1 - t_l (1 - last)`.

    | rule         | t_l                     | expected depth, L=54, last=0.5 |
    |--------------|-------------------------|--------------------------------|
    | `"huang"`    | l/L, l = 1..L           | 40.25                          |
    | `"linspace"` | l/(L-1), l = 0..L-1     | 40.50                          |
    | `"offset"`   | l/L, l = 0..L-1         | 40.75                          |

    In closed form the expected depth is `L - (1-last)(L+1)/2`, `L - (1-last)L/2`
    and `L - (1-last)(L-1)/2`. With one block, `"linspace"` and `"offset"` give 1.

    Args:
        last: survival probability, in [0, 1], at the end of the ramp.
        rule: `"huang"` as in Huang et al., Hayou & Ayed and Composer; `"linspace"`
            as in timm, Swin, ConvNeXt, DINOv2 (the first block never drops);
            `"offset"` as in the TensorFlow and torchvision EfficientNets (the
            last block never reaches `last`).

    Raises:
        InvalidArgument: `last` outside [0, 1] or NaN, unknown `rule`.

    Example:
        >>> import stochastic_depth as sd
        >>> sd.schedules.linear(0.5)(4)
        tensor([0.8750, 0.7500, 0.6250, 0.5000], dtype=torch.float64)
        >>> sd.schedules.linear(0.8, rule="linspace")(16)[[0, 3, 15]]
        tensor([1.0000, 0.9600, 0.8000], dtype=torch.float64)

    References:
        Huang et al. 2016, equation 4.
    """

    last: float
    rule: LinearRule = "huang"

    def __post_init__(self) -> None:
        object.__setattr__(self, "last", probability("last", self.last))
        one_of("rule", self.rule, ("huang", "linspace", "offset"))

    def survival(self, num_blocks: int) -> Tensor:
        index = torch.arange(num_blocks, dtype=torch.float64, device="cpu")
        if self.rule == "huang":
            ramp = depth_fraction(num_blocks)
        elif self.rule == "linspace":
            ramp = index / max(num_blocks - 1, 1)
        else:
            ramp = index / num_blocks
        return 1 - ramp * (1 - self.last)


@dataclass(frozen=True, repr=False)
class Power(Schedule):
    """Survival falls as a power of depth: `p_l = 1 - (l/L)^exponent (1 - last)`.

    Exponent 1 is `linear`; above 1 the early blocks are spared longer, below 1 survival
    falls early.

    Args:
        last: survival probability of the last block, in [0, 1].
        exponent: positive and finite.

    Raises:
        InvalidArgument: `last` outside [0, 1] or NaN, `exponent` not positive.

    Example:
        >>> import stochastic_depth as sd
        >>> sd.schedules.power(0.5, exponent=2)(2)
        tensor([0.8750, 0.5000], dtype=torch.float64)
    """

    last: float
    exponent: float

    def __post_init__(self) -> None:
        object.__setattr__(self, "last", probability("last", self.last))
        object.__setattr__(self, "exponent", positive("exponent", self.exponent))

    def survival(self, num_blocks: int) -> Tensor:
        return 1 - depth_fraction(num_blocks) ** self.exponent * (1 - self.last)


@dataclass(frozen=True, repr=False)
class Cosine(Schedule):
    """Survival falls along half a cosine: `p_l = 1 - (1 - last)(1 - cos(pi l/L))/2`.

    Args:
        last: survival probability of the last block, in [0, 1].

    Raises:
        InvalidArgument: `last` outside [0, 1] or NaN.

    Example:
        >>> import stochastic_depth as sd
        >>> sd.schedules.cosine(0.5)(2)
        tensor([0.7500, 0.5000], dtype=torch.float64)
    """

    last: float

    def __post_init__(self) -> None:
        object.__setattr__(self, "last", probability("last", self.last))

    def survival(self, num_blocks: int) -> Tensor:
        return 1 - (1 - self.last) * (1 - torch.cos(math.pi * depth_fraction(num_blocks))) / 2


@dataclass(frozen=True, repr=False)
class Exponential(Schedule):
    """Survival falls as a power of two: `p_l = 1 - (2^(l/(L-1)) - 1)(1 - last)`, l = 0..L-1.

    The first block never drops, and later blocks drop faster than by a straight line. With
    one block it is 1.

    Args:
        last: survival probability of the last block, in [0, 1].

    Raises:
        InvalidArgument: `last` outside [0, 1] or NaN.

    Example:
        >>> import stochastic_depth as sd
        >>> sd.schedules.exponential(0.5)(3)
        tensor([1.0000, 0.7929, 0.5000], dtype=torch.float64)

    References:
        Elhoushi et al. 2024, "LayerSkip", section 4.1.
    """

    last: float

    def __post_init__(self) -> None:
        object.__setattr__(self, "last", probability("last", self.last))

    def survival(self, num_blocks: int) -> Tensor:
        index = torch.arange(num_blocks, dtype=torch.float64, device="cpu")
        return 1 - (2 ** (index / max(num_blocks - 1, 1)) - 1) * (1 - self.last)

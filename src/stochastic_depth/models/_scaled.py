"""The networks of Marion et al.: residual branches without normalisation, scaled by depth."""

import math
from collections.abc import Callable
from typing import Literal, TypeAlias, get_args

import torch
from jaxtyping import Float
from torch import Tensor, nn

from .._checks import count, one_of
from .._typing import Gates
from ..blocks import Residual
from . import weights
from ._chain import run_chain
from ._depth_scale import Beta, depth_scale

Branch = Literal["res-1", "res-3"]
"""`"res-1"`: V act(h). `"res-3"`: V act(W h)."""

Activation: TypeAlias = Callable[[Tensor], Tensor]

MATRICES = {"res-1": 1, "res-3": 2}


class ScaledResNet(nn.Module):
    """Residual network whose branches are scaled by a power of depth.

        h_0 = A x,   h_l = h_{l-1} + a d_l F_l(h_{l-1}),   output = B h_L,   a = L^-beta

        F_l(h) = V_l act(h) (res-1)   or   V_l act(W_l h) (res-3)

    The entries of V_l and W_l follow a weight process over depth, times 1/sqrt(width);
    A and B are Gaussian with variance 1/(fan in). Biases, where asked for, start at 0.

    Args:
        depth: number of blocks L, at least 1.
        width: length of every h_l.
        inputs: length of an input, after flattening.
        outputs: length of the output.
        beta: exponent of the scaling, or a callable L -> a.
        branch: `"res-1"` or `"res-3"`.
        init: weight process, or its name, such as `"fractional(0.7)"`.
        bias: add a trainable bias to V and W.
        activation: applied entry by entry, not in place; None is ReLU, as in the paper.

    Shapes:
        x: (N, ...) with `inputs` entries per sample; output (N, outputs).

    Raises:
        InvalidArgument: a size below 1, `beta` not finite, an unknown branch or process.

    Example:
        >>> import torch, stochastic_depth as sd
        >>> from stochastic_depth.models import weights
        >>> model = sd.models.ScaledResNet(
        ...     100, width=30, inputs=784, outputs=10, beta=1.0, init=weights.smooth(0.1)
        ... )
        >>> model(torch.rand(2, 1, 28, 28)).shape, len(model.blocks)
        (torch.Size([2, 10]), 100)

    References:
        Marion et al. 2022, section 1 (a), and their experiments (res-1, res-3).
    """

    def __init__(
        self,
        depth: int,
        width: int,
        inputs: int,
        outputs: int,
        beta: Beta = 0.5,
        *,
        branch: Branch = "res-3",
        init: weights.WeightProcess | str = "gaussian",
        bias: bool = False,
        activation: Activation | None = None,
    ) -> None:
        super().__init__()
        scale = depth_scale(beta, depth)
        matrices = MATRICES[one_of("branch", branch, get_args(Branch))]
        process = weights.parse(init) if isinstance(init, str) else init
        self.encoder = _gaussian_linear(count("inputs", inputs), count("width", width))
        initial = process.sample(depth, (matrices, width, width)) / math.sqrt(width)
        self.blocks = nn.ModuleList(
            Residual(ScaledBranch(layer, activation or torch.relu, bias), scale=scale, alias=True)
            for layer in initial
        )
        self.decoder = _gaussian_linear(width, count("outputs", outputs))

    def forward(
        self, x: Float[Tensor, "N *inputs"], gates: Gates | None = None
    ) -> Float[Tensor, "N outputs"]:
        """Return the output; `gates` of shape (L,) or (L, N), all ones by default."""
        return self.decoder(run_chain(self.blocks, self.encoder(x.flatten(1)), gates))

    def layer_weights(self) -> Float[Tensor, "L matrices width width"]:
        """Return a copy of the weights over depth, V before W, for measuring regularity."""
        branches = (module for module in self.modules() if isinstance(module, ScaledBranch))
        return torch.stack([branch.matrices() for branch in branches])


class ScaledBranch(nn.Module):
    """F(h) = V act(h) or V act(W h), by the number of matrices it is given.

    Args:
        matrices: V, or V and W, shape (1 or 2, width, width).
        activation: applied entry by entry.
        bias: give each matrix a trainable bias, initially 0.
    """

    def __init__(
        self, matrices: Float[Tensor, "n width width"], activation: Activation, bias: bool
    ) -> None:
        super().__init__()
        self.outer, *inner = (_linear(matrix, bias) for matrix in matrices)
        self.inner = inner[0] if inner else None
        self.activation = activation

    def forward(self, h: Float[Tensor, "N width"]) -> Float[Tensor, "N width"]:
        """Return F(h)."""
        return self.outer(self.activation(h if self.inner is None else self.inner(h)))

    def matrices(self) -> Float[Tensor, "n width width"]:
        """Return V, or V and W, detached."""
        layers = [self.outer] if self.inner is None else [self.outer, self.inner]
        return torch.stack([layer.weight.detach() for layer in layers])


def _linear(weight: Tensor, bias: bool) -> nn.Linear:
    layer = nn.Linear(weight.shape[1], weight.shape[0], bias=bias)
    with torch.no_grad():
        layer.weight.copy_(weight)
        if bias:
            layer.bias.zero_()
    return layer


def _gaussian_linear(inputs: int, outputs: int) -> nn.Linear:
    layer = nn.Linear(inputs, outputs, bias=False)
    nn.init.normal_(layer.weight, std=1 / math.sqrt(inputs))
    return layer

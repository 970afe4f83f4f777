"""The fully connected residual network of Hayou & Ayed."""

import math

import torch
from jaxtyping import Float
from torch import Tensor, nn

from .._checks import MOST_BLOCKS, count, flag
from .._typing import Gates
from ..blocks import Residual
from ._chain import run_chain


class VanillaResNet(nn.Module):
    """Residual network of identical fully connected blocks.

        y_0 = W_0 x,   y_l = y_{l-1} + a d_l W_l ReLU(y_{l-1}),   y_out = W_out ReLU(y_L)

    without biases, W_l ~ N(0, 2/width) (He), W_0 ~ N(0, 1/inputs), W_out ~ N(0, 1/width).

    Args:
        depth: number of blocks L, at least 1.
        width: number of neurons of every y_l.
        inputs: length of the input vector.
        outputs: length of the output vector.
        stable: a = 1/sqrt(L), under which moments stay bounded in L (Stable ResNet);
            otherwise a = 1.

    Shapes:
        x: (N, inputs); output (N, outputs).

    Raises:
        InvalidArgument: an argument below 1.

    Example:
        >>> import torch, stochastic_depth as sd
        >>> model = sd.models.VanillaResNet(depth=50, width=64, inputs=8, outputs=1)
        >>> model(torch.randn(3, 8), gates=torch.zeros(50)).shape
        torch.Size([3, 1])

    References:
        Hayou & Ayed 2021, equations 1 and 3, section 3. The paper's theory puts the
        activation before the weights, as here; its experiments section, after them.
    """

    def __init__(
        self, depth: int, width: int, inputs: int, outputs: int, stable: bool = True
    ) -> None:
        super().__init__()
        depth = count("depth", depth, most=MOST_BLOCKS)
        scale = 1 / math.sqrt(depth) if flag("stable", stable) else 1.0
        self.encoder = nn.Linear(count("inputs", inputs), count("width", width), bias=False)
        self.blocks = nn.ModuleList(
            Residual(
                nn.Sequential(nn.ReLU(), nn.Linear(width, width, bias=False)),
                scale=scale,
                alias=True,  # neither a branch nor the output layer changes the stream in place
            )
            for _ in range(depth)
        )
        self.decoder = nn.Linear(width, count("outputs", outputs), bias=False)
        self._initialise()

    def forward(
        self, x: Float[Tensor, "N inputs"], gates: Gates | None = None
    ) -> Float[Tensor, "N outputs"]:
        """Return the output; `gates` of shape (L,) or (L, N), all ones by default.

        Raises:
            InvalidArgument: gates of another shape.
        """
        y = run_chain(self.blocks, self.encoder(x), gates)
        return self.decoder(torch.relu(y))

    def _initialise(self) -> None:
        for layer in (self.encoder, self.decoder):
            nn.init.normal_(layer.weight, std=1 / math.sqrt(layer.in_features))
        for weight in self.blocks.parameters():
            nn.init.normal_(weight, std=math.sqrt(2 / weight.shape[1]))

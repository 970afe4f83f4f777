"""The ResNets for small images of He et al. and Huang et al."""

import math
from typing import Literal, get_args

from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d, pad

from .._checks import MOST_BLOCKS, count, fail, flag, one_of
from .._typing import Gates
from ..blocks import Residual
from ._chain import run_chain

Downsample = Literal["subsample", "average"]
BnInit = Literal["ones", "uniform", "normal"]


class CifarResNet(nn.Module):
    """Residual network for 32x32 images: three stages of (depth - 2)/6 blocks.

        h_l = ReLU( s(h_{l-1}) + a d_l F_l(h_{l-1}) ),   F = Conv-BN-ReLU-Conv-BN

    Stages have width, 2 width and 4 width channels; the first block of the second and
    third halves the resolution. Its shortcut has no parameters (option A: every second
    pixel or their mean, and zeros for the new channels), so that it may be dropped,
    too. L = (depth - 2)/2 blocks.

    Args:
        depth: number of layers, 6n + 2: 20, 32, 44, 56, 110, 152, 1202, ...
        num_classes: number of outputs.
        width: channels of the first stage; 16 in the papers.
        stable: scale branches by a = 1/sqrt(L) (Hayou et al. 2021); otherwise a = 1.
        in_channels: channels of the images.
        downsample: `"subsample"` takes every second pixel (He et al., and the code that
            produced the numbers of Huang et al.); `"average"` the mean of 2x2 pixels
            (the text of Huang et al.).
        conv_bias: give convolutions a bias, initially 0, as Huang et al. do.
        bn_init: weights of batch normalisation: `"ones"`; `"uniform"`, U(0, 1), the
            default of Torch7; `"normal"`, N(1, 0.002), of an early version of their code.

    Shapes:
        x: (N, in_channels, H, W) with H and W divisible by 4; output (N, num_classes).

    Raises:
        InvalidArgument: `depth` is not 6n + 2, or an argument out of range.

    Example:
        >>> import torch, stochastic_depth as sd
        >>> model = sd.models.CifarResNet(110, num_classes=10, conv_bias=True)
        >>> len(model.blocks), sum(p.numel() for p in model.parameters())
        (54, 1732010)

    References:
        He et al. 2016, section 4.2; Huang et al. 2016, section 4.
    """

    def __init__(
        self,
        depth: int,
        num_classes: int,
        width: int = 16,
        stable: bool = False,
        *,
        in_channels: int = 3,
        downsample: Downsample = "subsample",
        conv_bias: bool = False,
        bn_init: BnInit = "ones",
    ) -> None:
        super().__init__()
        blocks_per_stage = _blocks_per_stage(depth)
        count("num_classes", num_classes)
        one_of("downsample", downsample, get_args(Downsample))
        one_of("bn_init", bn_init, get_args(BnInit))
        channels = [count("width", width)] * blocks_per_stage
        channels += [2 * width] * blocks_per_stage + [4 * width] * blocks_per_stage
        scale = 1 / math.sqrt(len(channels)) if flag("stable", stable) else 1.0
        self.stem = nn.Sequential(
            _conv(count("in_channels", in_channels), width, bias=flag("conv_bias", conv_bias)),
            nn.BatchNorm2d(width),
            nn.ReLU(),
        )
        self.blocks = nn.ModuleList(
            _block(before, after, downsample, conv_bias, scale)
            for before, after in zip([width, *channels], channels, strict=False)
        )
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.head = nn.Linear(4 * width, num_classes)
        self._initialise(bn_init)

    def forward(
        self, x: Float[Tensor, "N C H W"], gates: Gates | None = None
    ) -> Float[Tensor, "N K"]:
        """Return the logits; `gates` of shape (L,) or (L, N), all ones by default.

        Raises:
            InvalidArgument: gates of another shape.
        """
        x = run_chain(self.blocks, self.stem(x), gates)
        return self.head(self.pool(x).flatten(1))

    def _initialise(self, bn_init: BnInit) -> None:
        """Initialise convolutions as He et al. (fan in), biases at 0."""
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_in", nonlinearity="relu")
                if module.bias is not None:
                    nn.init.zeros_(module.bias)
            elif isinstance(module, nn.BatchNorm2d) and bn_init == "uniform":
                nn.init.uniform_(module.weight)
            elif isinstance(module, nn.BatchNorm2d) and bn_init == "normal":
                nn.init.normal_(module.weight, 1.0, 0.002)


class PadShortcut(nn.Module):
    """The shortcut without parameters: half the resolution, zeros for new channels.

    Args:
        new_channels: how many zero channels are appended.
        downsample: `"subsample"` or `"average"`, see `CifarResNet`.
    """

    def __init__(self, new_channels: int, downsample: Downsample) -> None:
        super().__init__()
        self.new_channels = new_channels
        self.downsample = downsample

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, C, H, W) to (N, C + new_channels, H/2, W/2)."""
        small = x[:, :, ::2, ::2] if self.downsample == "subsample" else avg_pool2d(x, 2)
        return pad(small, (0, 0, 0, 0, 0, self.new_channels))  # keeps the memory layout

    def extra_repr(self) -> str:
        return f"new_channels={self.new_channels}, downsample={self.downsample!r}"


def _blocks_per_stage(depth: int) -> int:
    blocks, rest = divmod(count("depth", depth, least=8, most=MOST_BLOCKS) - 2, 6)
    if rest:
        nearest = f"Nearest: {6 * blocks + 2} and {6 * blocks + 8}."
        raise fail("depth", "6n + 2, such as 20, 56 or 110", depth, nearest)
    return blocks


def _block(
    before: int, after: int, downsample: Downsample, conv_bias: bool, scale: float
) -> Residual:
    transition = before != after
    branch = nn.Sequential(
        _conv(before, after, stride=2 if transition else 1, bias=flag("conv_bias", conv_bias)),
        nn.BatchNorm2d(after),
        nn.ReLU(),
        _conv(after, after, bias=flag("conv_bias", conv_bias)),
        nn.BatchNorm2d(after),
    )
    shortcut = PadShortcut(after - before, downsample) if transition else None
    # Stem and blocks end in a ReLU and the shortcut keeps signs, so the stream is
    # non-negative, and the ReLU after a dropped branch changes nothing. Its readers, the
    # next block or the pooling, do not change it in place.
    return Residual(
        branch, shortcut=shortcut, activation=nn.ReLU(), scale=scale, activated=True, alias=True
    )


def _conv(before: int, after: int, stride: int = 1, *, bias: bool) -> nn.Conv2d:
    return nn.Conv2d(before, after, 3, stride=stride, padding=1, bias=bias)

"""Plain dropout inside the branches of a ResNet, to compare stochastic depth with."""

from typing import Any

from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import dropout
from torchvision.models import ResNet
from torchvision.models.resnet import Bottleneck

from ..._checks import interval


class DropoutConv2d(nn.Conv2d):
    """A convolution of an input of which each number is dropped with probability p.

    The input is scaled by 1 / (1 - p) in training, as by `nn.Dropout`. The keys of the
    state dict are those of the convolution.

    Args:
        arguments: of `nn.Conv2d`.
        dropped: p, in [0, 1].
        keywords: of `nn.Conv2d`.
    """

    def __init__(self, *arguments: Any, dropped: float, **keywords: Any) -> None:
        super().__init__(*arguments, **keywords)
        self.dropped = interval("dropped", dropped, 0.0, 1.0)

    def forward(self, x: Float[Tensor, "N C H W"]) -> Float[Tensor, "N D H W"]:
        """Return the convolution of what dropout leaves of `x`."""
        return super().forward(dropout(x, self.dropped, self.training))

    def extra_repr(self) -> str:
        """Say what `nn.Conv2d` says, and p."""
        return f"{super().extra_repr()}, dropped={self.dropped:g}"


def add_dropout(model: ResNet, dropped: float) -> None:
    """Put dropout before the last convolution of every bottleneck, in place.

    Between the convolutions of a branch is where Wide ResNets have it; the shortcut
    stays whole.

    Args:
        model: of bottlenecks, such as a ResNet-50.
        dropped: probability that a number is dropped, in [0, 1].

    References:
        Zagoruyko & Komodakis 2016, "Wide residual networks", section 2.4.
    """
    for block in model.modules():
        if isinstance(block, Bottleneck):
            block.conv3 = _with_dropout(block.conv3, dropped)


def _with_dropout(plain: nn.Conv2d, dropped: float) -> DropoutConv2d:
    size = plain.kernel_size
    mine = DropoutConv2d(
        plain.in_channels, plain.out_channels, size, bias=plain.bias is not None, dropped=dropped
    )
    mine.load_state_dict(plain.state_dict())
    return mine

"""Networks of the recipes that come from torchvision.

model = networks.resnet50(num_classes=10, weights="IMAGENET1K_V2")
backbone = networks.Pyramid(model)              # feature maps at strides 8, 16 and 32
sd.apply(backbone, sd.schedules.linear(0.8, rule="linspace"))
"""

from typing import Any

from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import dropout
from torchvision.models import ResNet, ResNet50_Weights
from torchvision.models import resnet50 as torchvision_resnet50
from torchvision.models.feature_extraction import create_feature_extractor
from torchvision.models.resnet import BasicBlock, Bottleneck

from .._checks import interval
from .libraries import fitted, torchvision_weights


def resnet50(
    num_classes: int = 1000,
    in_channels: int = 3,
    *,
    weights: str | None = None,
    dropout: float = 0.0,
) -> ResNet:
    """Build a ResNet-50: 16 bottlenecks, of which 0, 3, 7 and 13 have a projection.

    From scratch every branch begins at zero, by the scale of its last normalization: on a
    few hundred images the network was seen to diverge without.

    Args:
        num_classes: of the head. A pretrained head of another number is left out, and the
            head begins at random.
        in_channels: of the images. Pretrained filters are summed over colours for grey
            images, and repeated for more than three channels, as timm does it.
        weights: None begins at random; else the path of a state dict of torchvision's
            ResNet-50, or one of torchvision's names, such as `"IMAGENET1K_V2"`, which are
            downloaded. Those expect images normalized per channel.
        dropout: probability that a number before the last convolution of a branch is
            dropped: plain dropout, to compare stochastic depth with.

    Returns:
        The network, without stochastic depth.

    Raises:
        InvalidArgument: no such weights, or weights of another network.
        DataError: the weights cannot be downloaded or read.

    Example:
        >>> import stochastic_depth as sd
        >>> from stochastic_depth.training.networks import resnet50
        >>> model = resnet50(num_classes=10)
        >>> handle = sd.apply(model, sd.schedules.linear(0.8, rule="linspace"))
        >>> [block.index for block in handle.blocks if not block.droppable]
        [0, 3, 7, 13]
        >>> round(float(handle.survival.sum()), 2)
        14.71

    References:
        He et al. 2016, "Deep residual learning", table 1; Goyal et al. 2017, "Accurate, large
        minibatch SGD", section 5.1, for the branches that begin at zero.
    """
    model = torchvision_resnet50(num_classes=num_classes, zero_init_residual=True)
    if in_channels != model.conv1.in_channels:
        model.conv1 = _first_convolution(model.conv1, in_channels)
    if weights is not None:
        fitted(model, torchvision_weights(ResNet50_Weights, weights), num_classes, weights)
    if dropout:
        add_dropout(model, dropout)
    return model


def _first_convolution(like: nn.Conv2d, in_channels: int) -> nn.Conv2d:
    size, stride, padding = like.kernel_size, like.stride, like.padding
    width = like.out_channels
    conv = nn.Conv2d(in_channels, width, size, stride, padding, bias=False)  # type: ignore[arg-type]
    # As torchvision initializes all its convolutions.
    nn.init.kaiming_normal_(conv.weight, mode="fan_out", nonlinearity="relu")
    return conv


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


LEVELS = {"layer2": "stride8", "layer3": "stride16", "layer4": "stride32"}


class Pyramid(nn.Module):
    """The feature maps of a ResNet at strides 8, 16 and 32.

    Put stochastic depth on the pyramid itself: what draws the gates of a forward pass must
    be what is called.

    Args:
        model: one of torchvision's ResNets, whose modules are shared; its classifier is
            left out.

    Shapes:
        x: (N, 3, H, W). The outputs of a ResNet-50 have 512, 1024 and 2048 channels.

    Example:
        >>> import torch, torchvision, stochastic_depth as sd
        >>> backbone = Pyramid(torchvision.models.resnet18())
        >>> handle = sd.apply(backbone, sd.schedules.linear(0.8, rule="linspace"))
        >>> {level: tuple(map.shape) for level, map in backbone(torch.ones(2, 3, 64, 64)).items()}
        {'stride8': (2, 128, 8, 8), 'stride16': (2, 256, 4, 4), 'stride32': (2, 512, 2, 2)}
    """

    def __init__(self, model: ResNet) -> None:
        super().__init__()
        # Blocks stay whole: what is left of a block whose operations are spread out has no gate.
        blocks = {"leaf_modules": [BasicBlock, Bottleneck]}
        self.body = create_feature_extractor(model, LEVELS, tracer_kwargs=blocks)

    def forward(self, x: Float[Tensor, "N C H W"]) -> dict[str, Float[Tensor, "N D h w"]]:
        """Return the feature maps `"stride8"`, `"stride16"` and `"stride32"`."""
        return self.body(x)

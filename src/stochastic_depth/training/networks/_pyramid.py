"""Feature maps of a ResNet at the three levels that a feature pyramid stands on."""

from jaxtyping import Float
from torch import Tensor, nn
from torchvision.models import ResNet
from torchvision.models.feature_extraction import create_feature_extractor
from torchvision.models.resnet import BasicBlock, Bottleneck

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

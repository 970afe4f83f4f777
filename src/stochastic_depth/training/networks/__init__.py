"""Networks of the recipes that come from torchvision.

model = networks.resnet50(num_classes=10, weights="IMAGENET1K_V2")
backbone = networks.Pyramid(model)              # feature maps at strides 8, 16 and 32
sd.apply(backbone, sd.schedules.linear(0.8, rule="linspace"))
"""

from ._dropout import DropoutConv2d, add_dropout
from ._pyramid import Pyramid
from ._resnet50 import resnet50

__all__ = ["DropoutConv2d", "Pyramid", "add_dropout", "resnet50"]

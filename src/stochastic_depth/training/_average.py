"""An exponential moving average of the weights, evaluated in their place."""

from typing import TYPE_CHECKING

from torch import Tensor, nn
from torch.func import functional_call

if TYPE_CHECKING:
    from timm.utils.model_ema import ModelEmaV3


def moving_average(model: nn.Module, decay: float) -> "ModelEmaV3":
    """Return timm's average of the parameters and buffers of `model`.

    Its decay begins at 0 and rises as 1 - (1 + t)^(-2/3) in step t, up to `decay`: a short
    training is not averaged with its beginning.

    Args:
        model: stays as it is.
        decay: in [0, 1).
    """
    from timm.utils.model_ema import ModelEmaV3  # a second of imports, which most runs do without

    return ModelEmaV3(model, decay=decay, use_warmup=True).requires_grad_(False)


def evaluate_average(model: nn.Module, average: "ModelEmaV3", x: Tensor) -> Tensor:
    """Return the output of `model` with the averaged weights.

    Only weights are replaced: the gates are the model's own, also where a curriculum has
    moved its law since the average began.
    """
    return functional_call(model, average.module.state_dict(), x)

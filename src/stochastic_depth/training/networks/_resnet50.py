"""torchvision's ResNet-50, from scratch or pretrained."""

from collections.abc import Mapping
from pathlib import Path
from urllib.error import URLError

import torch
from torch import Tensor
from torchvision.models import ResNet, ResNet50_Weights
from torchvision.models import resnet50 as torchvision_resnet50

from ..._checks import fail, nearest
from ..._errors import DataError
from ._dropout import add_dropout

HEAD = ("fc.weight", "fc.bias")


def resnet50(
    num_classes: int = 1000, *, weights: str | None = None, dropout: float = 0.0
) -> ResNet:
    """Build a ResNet-50: 16 bottlenecks, of which 0, 3, 7 and 13 have a projection.

    Args:
        num_classes: of the head. A pretrained head of another number is left out, and the
            head begins at random.
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
    """
    model = torchvision_resnet50(num_classes=num_classes)
    if weights is not None:
        _load(model, _read(weights), weights)
    if dropout:
        add_dropout(model, dropout)
    return model


def _read(weights: str) -> Mapping[str, Tensor]:
    path = Path(weights).expanduser()
    if path.is_file():
        try:
            return torch.load(path, map_location="cpu", weights_only=True)
        except Exception as error:  # damaged bytes fail in the archive, the pickle or the tensors
            reason = str(error).partition("\n")[0]
            raise DataError(
                f"{path} must hold a state dict; it cannot be read: {reason}"
            ) from error
    names = list(ResNet50_Weights.__members__)
    if weights not in names:
        requirement = f"the path of a state dict or one of {', '.join(names)}"
        raise fail("weights", requirement, repr(weights), nearest(weights, names))
    try:
        return ResNet50_Weights[weights].get_state_dict(progress=False, check_hash=True)
    except (URLError, OSError, RuntimeError) as error:
        raise DataError(
            f"{weights} cannot be downloaded ({error}). Pass the path of a state dict instead."
        ) from error


def _load(model: ResNet, state: Mapping[str, Tensor], source: str) -> None:
    """Load everything, and the head if it is of as many classes."""
    requirement = "a state dict of torchvision's ResNet-50"
    if not isinstance(state, Mapping) or not set(HEAD) <= state.keys():
        raise fail("weights", requirement, f"{source}, which has no {HEAD[0]}")
    same = state[HEAD[0]].shape == model.fc.weight.shape
    fresh = {} if same else {name: model.state_dict()[name] for name in HEAD}
    try:
        model.load_state_dict({**state, **fresh})
    except RuntimeError as error:
        reason = " ".join(str(error).split())[:200]
        raise fail("weights", requirement, f"{source}: {reason}") from error

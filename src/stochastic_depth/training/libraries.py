"""Networks of timm, torchvision and transformers by one name, from scratch or pretrained.

model = libraries.network(name="timm/resnet18", num_classes=10)
model = libraries.network(name="transformers/vit", weights="path/to/folder", num_classes=10)

A recipe, and every verb that takes a model, writes them `LIBRARY/NAME`.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Enum
from functools import partial
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from .._checks import fail, nearest
from .._errors import DataError

__all__ = ["ImageClassifier", "network"]

WITHIN = ("model", "state_dict")  # where training programs put the weights in a checkpoint
COUNTER = "num_batches_tracked"
COLOURS = 3


def network(
    num_classes: int = 1000,
    in_channels: int = COLOURS,
    *,
    name: str,
    image_size: int | None = None,
    weights: str | None = None,
    options: Mapping[str, Any] | None = None,
) -> nn.Module:
    """Build a network of a library that classifies images.

    Args:
        num_classes: of the head. A pretrained head of another number is left out, and the
            head begins at random.
        in_channels: of the images. Pretrained filters of timm's networks are summed over
            colours for grey images, and repeated for more than three channels.
        name: `"timm/NAME"`, `"torchvision/NAME"`, or `"transformers/FAMILY"` of
            `AutoModelForImageClassification`.
        image_size: of networks that are made for one size, such as vision transformers; None
            is the library's.
        weights: None begins at random; else the path of a state dict (`.pth`, `.safetensors`),
            of transformers of a folder that `save_pretrained` wrote. Or what the library
            downloads: torchvision's name such as `"IMAGENET1K_V2"`, timm's tag such as
            `"a1_in1k"`, a hub id of transformers.
        options: further arguments of the library: `{"drop_rate": 0.1}`.

    Returns:
        The network, without stochastic depth.

    Raises:
        InvalidArgument: no such network, or weights of another one.
        DataError: weights that cannot be read or downloaded.

    Example:
        >>> import stochastic_depth as sd
        >>> from stochastic_depth.training.libraries import network
        >>> model = network(name="timm/resnet18", num_classes=10)
        >>> handle = sd.apply(model, sd.schedules.linear(0.8, rule="linspace"))
        >>> model(torch.zeros(2, 3, 64, 64)).shape
        torch.Size([2, 10])
    """
    library, _, known_as = name.partition("/")
    if library not in BUILDERS or not known_as:
        requirement = f"{', '.join(f'{library}/NAME' for library in BUILDERS)} or an import path"
        raise fail("model", requirement, repr(name), "Example: torchvision/resnet50.")
    asked = _Asked(known_as, num_classes, in_channels, image_size, weights, dict(options or {}))
    return BUILDERS[library](asked)


@dataclass(frozen=True)
class _Asked:
    """What is asked of a library, as `network` takes it."""

    name: str
    num_classes: int
    in_channels: int
    image_size: int | None
    weights: str | None
    options: Mapping[str, Any]

    def sized(self, argument: str, fixed: bool) -> dict[str, int]:
        """Return the size of the images as an argument, of a network that is made for one."""
        return {argument: self.image_size} if fixed and self.image_size is not None else {}


def _timm(asked: _Asked) -> nn.Module:
    import timm

    plain, weights = asked.name.partition(".")[0], asked.weights
    _require_listed("timm", plain, timm.list_models())
    fixed = getattr(timm.get_pretrained_cfg(asked.name), "fixed_input_size", False)
    arguments = {
        "num_classes": asked.num_classes, "in_chans": asked.in_channels,
        **asked.sized("img_size", fixed), **asked.options,
    }  # fmt: skip
    if weights is None:
        return _built(timm.create_model, asked.name, arguments)
    if Path(weights).expanduser().exists():
        model = _built(timm.create_model, asked.name, arguments)
        return fitted(model, read_weights(weights), asked.num_classes, weights)
    tags = timm.list_pretrained(f"{plain}.*")
    if f"{plain}.{weights}" not in tags:
        listed = ", ".join(tag.partition(".")[2] for tag in tags) or "no tag"
        raise fail("weights", f"the path of a state dict, or {listed}", repr(weights))
    tagged = f"{plain}.{weights}"
    load = partial(timm.create_model, tagged, pretrained=True, **arguments)
    return _loaded(f"{tagged} cannot be downloaded", load)


def _torchvision(asked: _Asked) -> nn.Module:
    from torchvision import models

    _require_listed("torchvision", asked.name, models.list_models())
    if asked.in_channels != COLOURS:
        requirement = f"one of timm for images of {asked.in_channels} channel(s)"
        raise fail("model", requirement, repr(f"torchvision/{asked.name}"))
    size = asked.sized("image_size", asked.name.startswith("vit_"))
    arguments = {"weights": None, "num_classes": asked.num_classes, **size, **asked.options}
    model = _built(models.get_model, asked.name, arguments)
    if asked.weights is None:
        return model
    state = torchvision_weights(models.get_model_weights(asked.name), asked.weights)
    return fitted(model, state, asked.num_classes, asked.weights)


def torchvision_weights(kind: type[Enum], weights: str) -> Mapping[str, Tensor]:
    """Return the state dict at a path, or the one that torchvision downloads under a name.

    Raises:
        InvalidArgument: there is neither such a file nor such a name.
        DataError: weights that cannot be read or downloaded.
    """
    if Path(weights).expanduser().exists():
        return read_weights(weights)
    names = kind.__members__
    if weights not in names:
        requirement = f"the path of a state dict, or {', '.join(names) or 'no name'}"
        raise fail("weights", requirement, repr(weights), nearest(weights, names))
    named: Any = names[weights]
    load = partial(named.get_state_dict, progress=False, check_hash=True)
    return _loaded(f"{weights} cannot be downloaded", load)


def _transformers(asked: _Asked) -> nn.Module:
    from .language_models import transformers_or_refuse

    transformers = transformers_or_refuse("a network of transformers")
    families = transformers.models.auto.modeling_auto.MODEL_FOR_IMAGE_CLASSIFICATION_MAPPING_NAMES
    _require_listed("transformers", asked.name, list(families))
    kind, head = transformers.AutoModelForImageClassification, {"num_labels": asked.num_classes}
    if (weights := asked.weights) is not None:
        path = Path(weights).expanduser()
        place = str(path) if path.exists() else weights
        given = {"ignore_mismatched_sizes": True, **head, **asked.options}
        load = partial(kind.from_pretrained, place, **given)
        return ImageClassifier(_loaded(f"{weights} cannot be read or downloaded", load))
    default = transformers.AutoConfig.for_model(asked.name)
    channels = {"num_channels": asked.in_channels}
    given = channels | asked.sized("image_size", fixed=True)
    sizes = {field: n for field, n in given.items() if hasattr(default, field)}
    make = lambda family, **own: kind.from_config(  # noqa: E731
        transformers.AutoConfig.for_model(family, **own)
    )
    return ImageClassifier(_built(make, asked.name, {**head, **sizes, **asked.options}))


BUILDERS: Mapping[str, Callable[[_Asked], nn.Module]] = {
    "torchvision": _torchvision,
    "timm": _timm,
    "transformers": _transformers,
}


class ImageClassifier(nn.Module):
    """A classifier of images of transformers, as a map from images to logits.

    Args:
        model: of `AutoModelForImageClassification`.

    Shapes:
        x: (N, C, H, W). The logits are (N, K).
    """

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, x: Float[Tensor, "N C H W"]) -> Float[Tensor, "N K"]:
        """Return the logits of each class."""
        logits: Tensor = self.model(pixel_values=x).logits
        return logits


def _require_listed(library: str, known_as: str, names: list[str]) -> None:
    if known_as not in names:
        requirement = f"one of {library}'s {len(names)} models"
        raise fail("model", requirement, repr(f"{library}/{known_as}"), nearest(known_as, names))


def _built(build: Callable[..., nn.Module], name: str, arguments: dict[str, Any]) -> nn.Module:
    try:
        return build(name, **arguments)
    except Exception as error:  # each network checks its arguments in its own way
        reason = str(error).partition("\n")[0].rstrip(".")
        raise fail(f"model {name}", "given arguments it accepts", arguments, reason) from error


def _loaded(trouble: str, load: Callable[[], Any]) -> Any:
    try:
        return load()
    except Exception as error:  # of the file, the network, the hub or the weights
        reason = " ".join(str(error).split())[:200].rstrip(".")
        raise DataError(f"{trouble} ({reason}). Pass a path instead.") from error


def read_weights(weights: str) -> Mapping[str, Tensor]:
    """Read a state dict, or the one in a checkpoint: tensors and plain values, no code.

    Raises:
        DataError: a file that cannot be read, or holds no state dict.
    """
    path = Path(weights).expanduser()
    try:
        if path.suffix == ".safetensors":
            from safetensors.torch import load_file

            return load_file(path)
        state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # damaged bytes fail in the archive, the pickle or the tensors
        reason = str(error).partition("\n")[0]
        raise DataError(f"{path} must hold a state dict; it cannot be read: {reason}") from error
    for key in WITHIN:
        if isinstance(state, Mapping) and isinstance(state.get(key), Mapping):
            state = state[key]
    if not isinstance(state, Mapping) or not all(isinstance(x, Tensor) for x in state.values()):
        raise DataError(f"{path} must hold a state dict; it holds other values.")
    return {name.removeprefix("module."): tensor for name, tensor in state.items()}


def fitted(
    model: nn.Module, state: Mapping[str, Tensor], num_classes: int, source: str
) -> nn.Module:
    """Load pretrained weights; a head of another number of classes stays as it begins.

    The first filters are adapted to the channels of the images, as timm does it.

    Raises:
        InvalidArgument: weights of another network.
    """
    from timm.models import adapt_input_conv

    requirement, own = f"those of a {type(model).__name__}", model.state_dict()
    # Older weights do not count the batches of a norm, and need not.
    if odd := {name for name in own.keys() ^ state.keys() if not name.endswith(COUNTER)}:
        given = f"{source}, in which {len(odd)} entries are missing or too many, such as {min(odd)}"
        raise fail("weights", requirement, given)
    chosen = {}
    for name, mine in own.items():
        theirs = state.get(name, mine)
        if mine.ndim == theirs.ndim == 4 and mine.shape[1] != theirs.shape[1]:
            theirs = adapt_input_conv(mine.shape[1], theirs)
        if mine.shape != theirs.shape and len(mine) == num_classes != len(theirs):
            theirs = mine
        if mine.shape != theirs.shape:
            given = f"{source}, whose {name} is {tuple(theirs.shape)}, not {tuple(mine.shape)}"
            raise fail("weights", requirement, given)
        chosen[name] = theirs
    model.load_state_dict(chosen)
    return model

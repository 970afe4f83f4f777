"""What of a photograph a network sees: its centre, or a random crop and what is done to it."""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int, Shaped
from PIL import Image
from torch import Generator, Tensor

from ..._checks import fail
from .._component import Component
from ._augment import seeded, transformed
from ._data_config import DataConfig
from ._image_set import Normalization

Transform = Callable[[Any], Any]


@dataclass(frozen=True, eq=False)
class View:
    """A map from a photograph of any size to a square of pixels.

    Args:
        size: height and width of the square.
        steps: from an RGB image, one after the other, to an image or a tensor of that size.
        transforms: of the normalized pixels (3, size, size), which keep their shape.
        normalization: comes before `transforms`, and only where there are any.
    """

    size: int
    steps: Sequence[Transform]
    transforms: Sequence[Transform] = ()
    normalization: Normalization | None = None

    def __call__(self, image: Image.Image) -> Shaped[Tensor, "H W 3"]:
        """Return the square, its colours last: uint8, or normalized float32."""
        seen: Any = image
        for step in self.steps:
            seen = step(seen)
        pixels = seen.permute(1, 2, 0) if isinstance(seen, Tensor) else _pixels(seen)
        if pixels.shape != (self.size, self.size, 3) or pixels.dtype != torch.uint8:
            given = f"{tuple(pixels.shape)} of {pixels.dtype}"
            requirement = f"transforms to {self.size}x{self.size} RGB pixels of one byte"
            raise fail("data.pixel_transforms", requirement, given)
        return self._transformed(pixels) if self.transforms else pixels

    def _transformed(self, pixels: Tensor) -> Tensor:
        x = pixels.permute(2, 0, 1)[None]
        x = x / 255 if self.normalization is None else self.normalization(x)
        return transformed(self.transforms, x[0]).permute(1, 2, 0)


def _pixels(image: Image.Image) -> Tensor:
    return torch.from_numpy(np.array(image))


def centre_view(config: DataConfig) -> View:
    """Return the view of evaluations: the shorter side resized, and the centre cut out."""
    return View(config.image_size or 0, _centre(config))


def training_view(config: DataConfig, normalization: Normalization) -> View:
    """Return the view of training: crop, mirror, transforms of pixels, and of normalized ones."""
    from torchvision.transforms import v2  # a second of imports, which images in memory do without

    size, steps = config.image_size or 0, _centre(config)
    if config.crop_scale is not None:
        filter_ = v2.InterpolationMode(config.interpolation)
        steps = [v2.RandomResizedCrop(size, config.crop_scale, interpolation=filter_)]
    if config.flip:
        steps.append(v2.RandomHorizontalFlip())
    steps += [Component(**each).build() for each in config.pixel_transforms]
    transforms = [Component(**each).build() for each in config.transforms]
    return View(size, steps, transforms, normalization)


def checked(view: View) -> View:
    """Return a view that has shown a blank photograph without an error.

    Raises:
        InvalidArgument: a transform that photographs cannot have.
    """
    with seeded(0):
        view(Image.new("RGB", (view.size, 2 * view.size)))
    return view


def _centre(config: DataConfig) -> list[Transform]:
    from torchvision.transforms import v2

    size, filter_ = config.image_size or 0, v2.InterpolationMode(config.interpolation)
    return [v2.Resize(round(size / config.crop_share), filter_), v2.CenterCrop(size)]


class Mixing:
    """Mix the images of a batch, and their labels, by one transform drawn for the batch.

    Args:
        transforms: such as torchvision's MixUp and CutMix; each is as likely.

    Example:
        >>> from torchvision.transforms import v2
        >>> mixing = Mixing([v2.MixUp(num_classes=3)])
        >>> x, y = torch.rand(2, 3, 4, 4), torch.tensor([0, 2])
        >>> mixed, shares = mixing(x, y, torch.Generator().manual_seed(0))
        >>> mixed.shape, shares.sum(1)
        (torch.Size([2, 3, 4, 4]), tensor([1., 1.]))

    References:
        Zhang et al. 2018, "mixup"; Yun et al. 2019, "CutMix".
    """

    def __init__(self, transforms: Sequence[Callable[..., Any]]) -> None:
        self.transforms = tuple(transforms)

    def __call__(
        self, x: Float[Tensor, "N C H W"], y: Int[Tensor, " N"], generator: Generator
    ) -> tuple[Float[Tensor, "N C H W"], Float[Tensor, "N K"]]:
        """Return mixed images, and the share of each class in them."""
        which, seed = torch.randint(2**62, (2,), generator=generator).tolist()
        with seeded(seed):
            mixed: tuple[Tensor, Tensor] = self.transforms[which % len(self.transforms)](x, y)
        return mixed


def mixing_of(config: DataConfig, num_classes: int) -> Mixing | None:
    """Return what mixes the batches of a configuration, if anything does."""
    parts = [Component(**each) for each in config.mixing]
    return Mixing([part.build(num_classes=num_classes) for part in parts]) if parts else None


def seed_of(*key: object) -> int:
    """Return the seed of one image, or of one batch.

    The key is tagged and hashed, so that it is unrelated to the gates of the same seed.
    """
    digest = hashlib.blake2b(repr(("data", *key)).encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little") >> 1

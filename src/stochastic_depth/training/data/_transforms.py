"""Transforms of torchvision on batches that depend on their generator alone."""

from collections.abc import Callable, Sequence
from functools import reduce

import torch
from jaxtyping import Float
from torch import Generator, Tensor

from ..._checks import fail
from .._component import Component
from ._config import DataConfig
from ._shift_flip import Augmentation, ShiftFlip


class Transforms:
    """Apply transforms one after the other, to every image by draws of its own.

    torchvision's transforms draw from the global generator on the CPU, once for whatever
    they are given. Here they are given one image at a time, and the global generator is
    seeded from that of the batch and put back afterwards.

    Args:
        transforms: each from an image (C, H, W) to one of that shape, such as those of
            `torchvision.transforms.v2`; applied in this order.

    Example:
        >>> from torchvision.transforms import v2
        >>> augmentation = Transforms([v2.RandomErasing(p=1.0)])
        >>> images = torch.ones(2, 3, 8, 8)
        >>> erased = augmentation(images, torch.Generator().manual_seed(0)) == 0
        >>> erased.any(), torch.equal(erased[0], erased[1])
        (tensor(True), False)
    """

    def __init__(self, transforms: Sequence[Callable[[Tensor], Tensor]]) -> None:
        self.transforms = tuple(transforms)

    def __call__(
        self, x: Float[Tensor, "N C H W"], generator: Generator
    ) -> Float[Tensor, "N C H W"]:
        """Return the transformed images.

        Raises:
            InvalidArgument: a transform changes the shape of the images.
        """
        seed = int(torch.randint(2**62, (), generator=generator))
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(seed)
            images = [self._one(image) for image in x]
        return torch.stack(images)

    def _one(self, image: Tensor) -> Tensor:
        for transform in self.transforms:
            before = image.shape
            image = transform(image)
            if image.shape != before:
                requirement = f"a transform that keeps the shape {tuple(before)} of an image"
                raise fail("data.transforms", requirement, f"{transform}: {tuple(image.shape)}")
        return image


def augmentation_of(config: DataConfig) -> Augmentation | None:
    """Return what is done to training images: shift and flip, then the transforms."""
    steps: list[Augmentation] = []
    if config.shift or config.flip:
        steps.append(ShiftFlip(config.shift, config.flip))
    if config.transforms:
        steps.append(Transforms([Component(**each).build() for each in config.transforms]))
    if len(steps) < 2:
        return steps[0] if steps else None
    return lambda x, generator: reduce(lambda y, step: step(y, generator), steps, x)

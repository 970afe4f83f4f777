"""What is done to training images, by draws of the generator of their batch alone."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import reduce
from typing import TypeAlias

import torch
from jaxtyping import Float
from torch import Generator, Tensor
from torch.nn.functional import pad

from ..._checks import count, fail
from .._component import Component
from ._data_config import DataConfig

Augmentation: TypeAlias = Callable[[Tensor, Generator], Tensor]
"""Images (N, C, H, W) and the CPU generator of their batch -> images of the same shape."""


@dataclass(frozen=True)
class ShiftFlip:
    """Translate and mirror every image of a batch by its own draw.

    Offsets are uniform over the (2 shift + 1)^2 whole-pixel translations, vacated pixels
    are 0, and an image is mirrored with probability 1/2. Applied after normalization a
    vacated pixel is a mean one. The whole batch is one gather, on any device.

    Args:
        shift: greatest translation in pixels, at least 0.
        flip: whether to mirror left and right.

    Example:
        >>> x = torch.arange(4.0).view(1, 1, 1, 4)
        >>> ShiftFlip(shift=0, flip=True)(x, torch.Generator().manual_seed(0))
        tensor([[[[3., 2., 1., 0.]]]])

    References:
        Huang et al. 2016, section 4 (shift=4, flip=True).
    """

    shift: int = 0
    flip: bool = False

    def __post_init__(self) -> None:
        count("shift", self.shift, least=0)

    def __call__(
        self, x: Float[Tensor, "N C H W"], generator: Generator
    ) -> Float[Tensor, "N C H W"]:
        """Return the augmented images, channels-last in memory."""
        n, channels, height, width = x.shape
        rows, columns = self._source(x, generator)
        padded = pad(x.permute(0, 2, 3, 1), (0, 0, *[self.shift] * 4))
        first = torch.arange(n, device=x.device)[:, None] * padded.shape[1]
        index = (first + rows)[:, :, None] * padded.shape[2] + columns[:, None, :]
        moved = padded.reshape(-1, channels).index_select(0, index.flatten())
        return moved.view(n, height, width, channels).permute(0, 3, 1, 2)

    def _source(self, x: Tensor, generator: Generator) -> tuple[Tensor, Tensor]:
        """Draw, for every image, the padded rows (N, H) and columns (N, W) to read."""
        n, _, height, width = x.shape
        offsets = torch.randint(2 * self.shift + 1, (2, n, 1), generator=generator)
        mirrored = torch.rand(n, 1, generator=generator) < (0.5 if self.flip else 0.0)
        top, left = offsets.to(x.device, non_blocking=True)
        column = torch.arange(width, device=x.device)
        column = torch.where(mirrored.to(x.device, non_blocking=True), column.flip(0), column)
        return top + torch.arange(height, device=x.device), left + column


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
        with seeded(seed):
            return torch.stack([transformed(self.transforms, image) for image in x])


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Let the global generator on the CPU give the numbers of a seed, and put it back after."""
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        yield


def transformed(
    transforms: Iterable[Callable[[Tensor], Tensor]], image: Float[Tensor, "C H W"]
) -> Float[Tensor, "C H W"]:
    """Return an image after one transform and the next.

    Raises:
        InvalidArgument: a transform changes the shape of the image.
    """
    for transform in transforms:
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

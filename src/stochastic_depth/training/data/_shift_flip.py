"""The standard augmentation of small images: translation and mirroring."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

import torch
from jaxtyping import Float
from torch import Generator, Tensor
from torch.nn.functional import pad

from ..._checks import count

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

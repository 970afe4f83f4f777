"""Labelled images in memory, and what turns their pixels into network inputs."""

from dataclasses import dataclass, field, replace
from typing import Literal

import torch
from jaxtyping import Float, Int, Shaped
from torch import Tensor

from ..._checks import fail
from ..._errors import DataError

NormalizationKind = Literal["pixel", "channel", "imagenet", "none"]

# torchvision's statistics of ImageNet, of pixels in [0, 1]: red, green, blue.
IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)

CHUNK = 16  # images in float64 at a time: small enough to stay in the processor's cache


@dataclass(frozen=True, eq=False)
class Normalization:
    """Map pixels in 0..255 to network inputs: x = (pixels - mean) / std.

    Args:
        mean: broadcastable to (C, H, W), float32; 0 unless given.
        std: broadcastable to (C, H, W), float32, positive; 255 unless given.
    """

    mean: Tensor = field(default_factory=lambda: torch.zeros(1, 1, 1))
    std: Tensor = field(default_factory=lambda: torch.full((1, 1, 1), 255.0))

    def __call__(self, pixels: Shaped[Tensor, "N C H W"]) -> Float[Tensor, "N C H W"]:
        """Return the inputs as float32, in the memory order of `pixels`."""
        return pixels.to(torch.float32, copy=True).sub_(self.mean).div_(self.std)

    def to(self, device: torch.device | str) -> "Normalization":
        """Return the same map on another device."""
        return Normalization(self.mean.to(device), self.std.to(device))


def fit_normalization(pixels: Shaped[Tensor, "N C H W"], kind: NormalizationKind) -> Normalization:
    """Measure the statistics of the training images.

    `"pixel"` is the mean image and the standard deviation of all numbers around their
    common mean, as in the program of Huang et al.; `"channel"` is mean and standard
    deviation of each channel; `"imagenet"` measures nothing and takes those of ImageNet;
    `"none"` only divides by 255. Standard deviations divide by the number of values minus one.

    Args:
        pixels: training images (N, C, H, W), N at least 1, values in 0..255.
        kind: which statistics.

    Returns:
        The normalization, computed in float64.

    Raises:
        DataError: the pixels do not vary.
        InvalidArgument: ImageNet's statistics, of images without colours.

    Example:
        >>> black_and_white = torch.tensor([0, 255], dtype=torch.uint8).view(2, 1, 1, 1)
        >>> fit_normalization(black_and_white, "channel").mean.item()
        127.5

    References:
        Huang et al. 2016, section 4 and their program (`cifar-dataset.lua`).
    """
    if kind == "none":
        return Normalization()
    if kind == "imagenet":
        if pixels.shape[1] != len(IMAGENET_MEAN):
            requirement = "one of pixel, channel and none for images without colours"
            raise fail("data.normalization", requirement, repr(kind))
        mean, std = (255 * torch.tensor(s).view(3, 1, 1) for s in (IMAGENET_MEAN, IMAGENET_STD))
        return Normalization(mean, std)
    total, squares = _moments(pixels)
    over = (1, 2) if kind == "channel" else (0, 1, 2)
    number = len(pixels) * total.numel() // total.sum(over).numel()
    center = total.sum(over, keepdim=True) / number
    variance = (squares.sum(over, keepdim=True) - number * center**2) / max(number - 1, 1)
    if not (variance > 0).all():
        raise DataError("The training images must vary; all their pixels are equal in a channel.")
    mean = center if kind == "channel" else total / len(pixels)
    return Normalization(mean.float(), variance.sqrt().float())


def _moments(pixels: Tensor) -> tuple[Tensor, Tensor]:
    """Return the sums over images of values and of squares, (C, H, W) each, in float64."""
    # Of the same memory order as an image, so that the mean is subtracted without a transpose.
    total = torch.zeros_like(pixels[0], dtype=torch.float64)
    squares = torch.zeros_like(total)
    for chunk in pixels.split(CHUNK):
        values = chunk.to(torch.float64)
        total += values.sum(0)
        squares += values.square_().sum(0)
    return total, squares


@dataclass(frozen=True, eq=False)
class ImageSet:
    """Images and labels of one split.

    Images lie channels-last in memory, which is what decoders give and what augmentation
    reads fastest. An `ImageSet` may be a view of a file on disk.

    Args:
        images: (N, C, H, W), values in 0..255, uint8 or floating.
        labels: (N,), int64.
        normalization: what turns the pixels into inputs; divides by 255 unless given.

    Raises:
        InvalidArgument: shapes or types that do not fit.
    """

    images: Shaped[Tensor, "N C H W"]
    labels: Int[Tensor, " N"]
    normalization: Normalization = field(default_factory=Normalization)

    def __post_init__(self) -> None:
        if self.images.ndim != 4:
            raise fail("images", "a tensor (N, C, H, W)", f"shape {tuple(self.images.shape)}")
        if self.labels.shape != self.images.shape[:1] or self.labels.dtype != torch.int64:
            given = f"shape {tuple(self.labels.shape)} of {self.labels.dtype}"
            raise fail("labels", f"{len(self.images)} int64 numbers, one per image", given)

    def __len__(self) -> int:
        return len(self.images)

    def inputs(self, rows: Int[Tensor, " n"]) -> Float[Tensor, "n C H W"]:
        """Return the normalized images of `rows` as float32, channels-last in memory."""
        return self.normalization(self._pixels(rows))

    def targets(self, rows: Int[Tensor, " n"]) -> Int[Tensor, " n"]:
        """Return the labels of `rows`."""
        return self.labels[rows]

    @property
    def device(self) -> torch.device:
        """Where the images are."""
        return self.images.device

    def subset(self, rows: Int[Tensor, " n"]) -> "ImageSet":
        """Return the images of `rows`, in ascending order of their place in this set."""
        if len(rows) == len(self):
            return self
        rows = rows.sort().values
        return replace(self, images=self._pixels(rows), labels=self.labels[rows])

    def to(self, device: torch.device | str) -> "ImageSet":
        """Return the set on another device, where its batches are then made."""
        return ImageSet(
            self.images.to(device), self.labels.to(device), self.normalization.to(device)
        )

    def _pixels(self, rows: Tensor) -> Tensor:
        return self.images.permute(0, 2, 3, 1).index_select(0, rows).permute(0, 3, 1, 2)

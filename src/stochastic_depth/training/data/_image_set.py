"""Labelled images in memory."""

from dataclasses import dataclass, field, replace

import torch
from jaxtyping import Float, Int, Shaped
from torch import Tensor

from ..._checks import fail
from ._normalization import Normalization


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


@dataclass(frozen=True, eq=False)
class Splits:
    """A data set, ready to train on.

    Args:
        train: the images to learn from.
        validation: the images held out to choose an epoch; may be empty.
        test: the images to report.
        num_classes: K; labels are 0..K-1.
        class_names: K names.
        image_shape: (C, H, W).
    """

    train: ImageSet
    validation: ImageSet
    test: ImageSet
    num_classes: int
    class_names: tuple[str, ...]
    image_shape: tuple[int, int, int]

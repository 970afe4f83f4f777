"""The handwritten digits that scikit-learn carries: 1,797 grey images of 8x8."""

from collections.abc import Iterator
from functools import partial

import numpy as np
import torch
from jaxtyping import Int
from PIL import Image
from torch import Generator, Tensor

from ..._checks import fail
from ._records import Records, Source

TRAIN_SIZE = 1000  # images in the training part unless the configuration limits it
GREY_LEVELS = 16


def read_digits(train_size: int, seed: int) -> Source:
    """Split the digits into a training part, equally many of each class, and the rest.

    Args:
        train_size: number of training images; of each class floor or ceil of a tenth,
            as long as there are as many.
        seed: of the draw.

    Returns:
        The splits train and test.

    Raises:
        InvalidArgument: nothing is left to test on.
    """
    from sklearn.datasets import load_digits  # slow to import, and the other sources do without

    digits = load_digits()
    pixels = np.rint(digits.images * (255 / GREY_LEVELS)).astype(np.uint8)
    labels = torch.from_numpy(digits.target.astype(np.int64))
    if train_size >= len(labels):
        most = f"at most {len(labels) - 1}, the rest being the test"
        raise fail("data.limit plus data.validation", most, train_size)
    order = balanced_order(labels, torch.Generator().manual_seed(seed))
    parts = {"train": order[:train_size], "test": order[train_size:]}
    splits = {name: _records(pixels, labels, rows) for name, rows in parts.items()}
    return Source("digits", splits, tuple(str(digit) for digit in digits.target_names))


def balanced_order(labels: Int[Tensor, " N"], generator: Generator) -> Int[Tensor, " N"]:
    """Shuffle so that every beginning of the order has its classes as equal as can be.

    Args:
        labels: (N,), 0..K-1.
        generator: of the shuffle.

    Returns:
        A permutation (N,): a random image of every class, then another of every class,
        and so on until the classes run out.
    """
    order = torch.randperm(len(labels), generator=generator)
    shuffled = labels[order]
    turn = torch.zeros_like(shuffled)  # how many of its class come before an image
    for label in shuffled.unique():
        own = shuffled == label
        turn[own] = torch.arange(int(own.sum()))
    return order[turn.argsort(stable=True)]


def _records(pixels: np.ndarray, labels: Tensor, rows: Tensor) -> Records:
    def images() -> Iterator[Image.Image]:
        return map(Image.fromarray, pixels[rows.numpy()])

    return Records(labels[rows], images, partial("digits, image {}".format))

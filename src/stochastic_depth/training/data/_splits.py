"""A data set, ready to train on: what every kind of data is brought to."""

from dataclasses import dataclass
from typing import TypeAlias

import torch
from jaxtyping import Shaped
from torch import Tensor

from ._image_set import ImageSet
from ._photographs import Photographs
from ._token_set import TokenSet

Examples: TypeAlias = ImageSet | Photographs | TokenSet
"""Inputs and targets of one split: labelled images, in memory or not, or sequences of tokens."""


@dataclass(frozen=True, eq=False)
class Splits:
    """A data set, ready to train on.

    Args:
        train: the examples to learn from.
        validation: those held out to choose an epoch; may be empty.
        test: those to report.
        num_classes: K; labels are 0..K-1. Of text the size of the vocabulary.
        class_names: K names; none of text.
        input_shape: of one example: (C, H, W) of an image, (T,) of a sequence.
        tokenizer: of text, as the file `tokenizer.json` of `tokenizers`, if it has one.
        notes: sentences on how images are held, and on what was made of their splits.
    """

    train: Examples
    validation: Examples
    test: Examples
    num_classes: int
    class_names: tuple[str, ...]
    input_shape: tuple[int, ...]
    tokenizer: str | None = None
    notes: tuple[str, ...] = ()

    @property
    def is_text(self) -> bool:
        """Whether the examples are sequences of tokens."""
        return isinstance(self.train, TokenSet)

    @property
    def skipped(self) -> list[str]:
        """What is wrong with the images that this process has skipped so far."""
        return list(self.train.skipped) if isinstance(self.train, Photographs) else []

    @property
    def example(self) -> Shaped[Tensor, "2 *input"]:
        """Zeros like the inputs of two examples."""
        kind = torch.int64 if self.is_text else torch.float32
        return torch.zeros(2, *self.input_shape, dtype=kind)

    @property
    def targets_each(self) -> int:
        """How many targets an example has: the label of an image, the tokens of a sequence."""
        return self.input_shape[0] if self.is_text else 1

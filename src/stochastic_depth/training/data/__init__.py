"""Images or text by name or by path, made into batches.

    config = DataConfig("cifar10", validation=5000, flip=True, shift=4)
    splits = load(config)
    batches = Batches(splits.train, batch_size=128, seed=0, augmentation=ShiftFlip(4, flip=True))

Images that fit into memory are decoded once; where they were decoded from files, the copy on
disk is mapped into memory. A batch of them is normalized and augmented by a handful of tensor
operations, so no worker processes are needed. Larger sets, and photographs of any size, stay on
the disk: worker processes read and augment each when its turn comes. Text is read with a
`tokenizer` and cut into sequences.
"""

from ._augment import Augmentation, ShiftFlip, Transforms, augmentation_of
from ._batches import Batch, Batches, even
from ._data_config import DataConfig
from ._image_set import ImageSet, Normalization, fit_normalization
from ._load_images import load
from ._photographs import Photographs
from ._splits import Examples, Splits
from ._token_set import TokenSet
from ._views import Mixing, mixing_of

__all__ = [
    "Augmentation",
    "Batch",
    "Batches",
    "DataConfig",
    "Examples",
    "ImageSet",
    "Mixing",
    "Normalization",
    "Photographs",
    "ShiftFlip",
    "Splits",
    "TokenSet",
    "Transforms",
    "augmentation_of",
    "even",
    "fit_normalization",
    "load",
    "mixing_of",
]

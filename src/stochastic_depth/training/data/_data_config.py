"""Which images to train on, and how they are prepared."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Literal, get_args

from ..._checks import count, fail, nearest, one_of, seed_or_step
from .._component import Component
from ._image_set import NormalizationKind

EmbeddedName = Literal["digits"]
PublishedName = Literal["fashion-mnist", "cifar10", "cifar100", "svhn"]
NAMES = (*get_args(EmbeddedName), *get_args(PublishedName))


@dataclass(frozen=True)
class DataConfig:
    """The images of a run.

    Args:
        name: `"digits"` (embedded in scikit-learn), `"fashion-mnist"`, `"cifar10"`,
            `"cifar100"`, `"svhn"`, a Hugging Face hub id such as `"owner/name"`, or the
            path of a folder of parquet files or of class folders (`train/<class>/*`).
        data_dir: folder that holds the named data set; None downloads it.
        cache_dir: folder of decoded copies; None means `stochastic_depth` under
            `$XDG_CACHE_HOME`, or under `~/.cache`.
        limit: number of training images, at least 1, drawn by `split_seed` without
            replacement; None takes all.
        test_limit: number of test images, drawn in the same way; None takes all.
        validation: number of images held out of the training images, at least 0: the
            last ones of a random permutation. None takes the validation images that
            come with the data set (for SVHN the 6,000 of Huang et al.), none where it
            has none.
        split_seed: seed of every draw of images above. It is not the run's seed, so
            that runs with different seeds hold out the same images.
        image_size: height and width to bring the images to, at least 1; None keeps them.
        flip: whether training images are mirrored with probability 1/2.
        shift: greatest translation of a training image in pixels, 0 for none.
        normalization: `"pixel"` (mean image and one standard deviation, as Huang et
            al.), `"channel"` (mean and standard deviation of each channel) or `"none"`
            (pixels in [0, 1]); statistics of the training images alone.
        transforms: of training images, after all of the above: import path and arguments
            of each, such as `{"class_path": "torchvision.transforms.v2.RandomErasing",
            "init_args": {"p": 0.25}}`; see `Transforms`.

    Raises:
        InvalidArgument: a field out of range, or an unknown name.

    Example:
        >>> DataConfig("cifar10", validation=5000, flip=True, shift=4).normalization
        'pixel'

    References:
        Huang et al. 2016, section 4.
    """

    name: str = "digits"
    data_dir: str | None = None
    cache_dir: str | None = None
    limit: int | None = None
    test_limit: int | None = None
    validation: int | None = None
    split_seed: int = 0
    image_size: int | None = None
    flip: bool = False
    shift: int = 0
    normalization: NormalizationKind = "pixel"
    transforms: tuple[Mapping[str, Any], ...] = ()

    def __post_init__(self) -> None:
        for name in ("limit", "test_limit", "image_size"):
            if getattr(self, name) is not None:
                count(f"data.{name}", getattr(self, name))
        if self.validation is not None:
            count("data.validation", self.validation, least=0)
        seed_or_step("data.split_seed", self.split_seed)
        count("data.shift", self.shift, least=0)
        one_of("data.normalization", self.normalization, get_args(NormalizationKind))
        for transform in self.transforms:
            _check_component("data.transforms", transform)
        self._check_name()

    def _check_name(self) -> None:
        if self.name not in NAMES and self.folder is None and not _is_hub_id(self.name):
            requirement = f"one of {', '.join(NAMES)}, a hub id or the path of a folder"
            raise fail("data.name", requirement, repr(self.name), nearest(self.name, NAMES))
        if self.data_dir is not None and self.name not in get_args(PublishedName):
            requirement = f"left out for {self.name!r}"
            raise fail("data.data_dir", requirement, self.data_dir, "Pass the path as data.name.")

    @property
    def folder(self) -> Path | None:
        """The local folder of the data set, if the configuration names one."""
        if self.data_dir is not None:
            return Path(self.data_dir).expanduser()
        if not self.name or self.name in NAMES:
            return None
        path = Path(self.name).expanduser()
        written_as_path = path.is_absolute() or self.name.startswith((".", "~"))
        return path if written_as_path or path.exists() else None


def _is_hub_id(name: str) -> bool:
    owner, slash, title = name.partition("/")
    return bool(owner and slash and title) and "/" not in title


def _check_component(field: str, given: Mapping[str, Any]) -> None:
    known = [item.name for item in fields(Component)]
    if "class_path" not in given or not set(given) <= set(known):
        raise fail(field, f"mappings with class_path, and perhaps {', '.join(known[1:])}", given)
    # Refused here: what leads nowhere, and what is no transform, which will not be called.
    Component(**given).require(field, Callable, "a class of transforms")

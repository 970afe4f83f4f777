"""Which images or which text to train on, and how they are prepared."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Literal, get_args

from ..._checks import count, fail, inside, nearest, one_of, positive, seed_or_step
from .._component import Component
from ._image_set import NormalizationKind

Loading = Literal["auto", "memory", "disk", "stream"]
Corrupt = Literal["stop", "skip"]
Interpolation = Literal["bilinear", "bicubic"]

EmbeddedName = Literal["digits"]
PublishedName = Literal["fashion-mnist", "cifar10", "cifar100", "svhn"]
NAMES = (*get_args(EmbeddedName), *get_args(PublishedName))

LEARNED = "bpe"
TOKENIZERS = ("bytes", "characters", LEARNED)
# What is said of images alone, and what it is of text.
OF_IMAGES: dict[str, Any] = {
    "cache_dir": None,
    "image_size": None,
    "flip": False,
    "shift": 0,
    "normalization": "pixel",
    "transforms": (),
    "loading": "auto",
    "crop_scale": None,
    "pixel_transforms": (),
    "crop_share": 1.0,
    "interpolation": "bilinear",
    "workers": None,
    "mixing": (),
    "corrupt": "stop",
}
# What is done to an image before it has its final size, which images in memory have.
DISK_FIELDS = ("crop_scale", "crop_share", "interpolation", "pixel_transforms", "corrupt")
DISK_ALONE = "left out for images in memory"
MOST_WORKERS = 1024


@dataclass(frozen=True)
class DataConfig:
    """The images, or the text, of a run: text where a `tokenizer` is given.

    Text is read whole and cut into sequences of `length` tokens that follow each other. It is
    divided by files whose names begin with train, validation or test, or by the splits of the
    hub; else the last tenth of it is the test, and the tenth before it validates.

    Args:
        name: `"digits"` (embedded in scikit-learn), `"fashion-mnist"`, `"cifar10"`,
            `"cifar100"`, `"svhn"`, a Hugging Face hub id such as `"owner/name"`, or the
            path of a folder of parquet files, of WebDataset shards (`train-0000.tar`), or of
            class folders (`train/<class>/*`, or `<class>/*` alone). Of text, the path of a file or
            of a folder of `.txt` files, or a hub id with a column `text`, and perhaps a
            configuration: `"Salesforce/wikitext:wikitext-2-raw-v1"`.
        data_dir: folder that holds the named data set; None downloads it.
        cache_dir: folder of decoded copies; None means `stochastic_depth` under
            `$XDG_CACHE_HOME`, or under `~/.cache`.
        limit: number of training images or sequences, at least 1, drawn by `split_seed`
            without replacement; None takes all.
        test_limit: number of test images, drawn in the same way; of test sequences, taken at
            equal distances. None takes all.
        validation: number of images held out of the training images, at least 0: the
            last ones of a random permutation. A share in (0, 1) is taken of every class, unless
            validation images come with the data set beside the test. None takes those (for SVHN
            the 6,000 of Huang et al.), none where it has none. Of text, the number of sequences
            taken of its validation part at equal distances; None takes all.
        split_seed: seed of every draw of images above. It is not the run's seed, so
            that runs with different seeds hold out the same images.
        image_size: height and width to bring the images to, at least 1; None keeps them.
        flip: whether training images are mirrored with probability 1/2.
        shift: greatest translation of a training image in pixels, 0 for none.
        normalization: `"pixel"` (mean image and one standard deviation, as Huang et
            al.), `"channel"` (mean and standard deviation of each channel), both of the training
            images alone; `"imagenet"` (those of ImageNet's channels, which pretrained weights
            expect) or `"none"` (pixels in [0, 1]).
        transforms: of training images, after all of the above: import path and arguments
            of each, such as `{"class_path": "torchvision.transforms.v2.RandomErasing",
            "init_args": {"p": 0.25}}`; see `Transforms`.
        loading: `"memory"` decodes all images once, to one size; `"disk"` reads each one when
            its turn comes, in worker processes; `"stream"` reads shards from their first image
            to their last, and shuffles on the way. `"auto"` takes memory for up to 4 GiB of
            pixels that need nothing of the other two.
        workers: processes that read and augment what is not in memory; 0 does it in the
            training process, None takes one per core, at most 8. Changes no result.
        crop_scale: least and greatest share of its area that a random crop shows of a training
            image, resized to `image_size`: torchvision's `RandomResizedCrop`. None shows the
            centre. Not of images in memory, as the next four.
        crop_share: share of the shorter side that the centre of an image is, in (0, 1].
        interpolation: `"bilinear"` or `"bicubic"`, both antialiased.
        pixel_transforms: of training images after crop and flip, before normalization, such as
            `torchvision.transforms.v2.RandAugment`; given as `transforms`.
        corrupt: `"stop"` at an image that cannot be read, or `"skip"` it: training sees the next
            one of its batch instead, evaluations leave it out. Counted and named either way.
        mixing: of whole training batches and their labels: `torchvision.transforms.v2.MixUp`,
            `CutMix`; of several, every batch draws one. Of any images.
        tokenizer: of text: `"bytes"`, `"characters"` (those of the training text), `"bpe"`
            (byte pairs learned from the training text), the path of a `tokenizer.json` or of
            a folder that holds one, or a hub id. None reads images.
        length: tokens of a sequence, at least 1; given exactly for text.
        vocabulary: size of the vocabulary that `"bpe"` learns, at least 257.

    Raises:
        InvalidArgument: a field out of range, or an unknown name.

    Example:
        >>> DataConfig("cifar10", validation=5000, flip=True, shift=4).normalization
        'pixel'
        >>> DataConfig("path/to/text.txt", tokenizer="bytes", length=128).is_text
        True

    References:
        Huang et al. 2016, section 4.
    """

    name: str = "digits"
    data_dir: str | None = None
    cache_dir: str | None = None
    limit: int | None = None
    test_limit: int | None = None
    validation: int | float | None = None
    split_seed: int = 0
    image_size: int | None = None
    flip: bool = False
    shift: int = 0
    normalization: NormalizationKind = "pixel"
    transforms: tuple[Mapping[str, Any], ...] = ()
    loading: Loading = "auto"
    workers: int | None = None
    crop_scale: tuple[float, float] | None = None
    crop_share: float = 1.0
    interpolation: Interpolation = "bilinear"
    pixel_transforms: tuple[Mapping[str, Any], ...] = ()
    corrupt: Corrupt = "stop"
    mixing: tuple[Mapping[str, Any], ...] = ()
    tokenizer: str | None = None
    length: int | None = None
    vocabulary: int | None = None

    def __post_init__(self) -> None:
        for name in ("limit", "test_limit", "image_size", "length"):
            if getattr(self, name) is not None:
                count(f"data.{name}", getattr(self, name))
        if isinstance(self.validation, float):
            inside("data.validation", self.validation, 0.0, 1.0)
        elif self.validation is not None:
            count("data.validation", self.validation, least=0)
        seed_or_step("data.split_seed", self.split_seed)
        count("data.shift", self.shift, least=0)
        one_of("data.normalization", self.normalization, get_args(NormalizationKind))
        for field in ("transforms", "pixel_transforms", "mixing"):
            for transform in getattr(self, field):
                _check_component(f"data.{field}", transform)
        self._check_loading()
        self._check_text()
        self._check_name()

    def _check_loading(self) -> None:
        one_of("data.loading", self.loading, get_args(Loading))
        one_of("data.corrupt", self.corrupt, get_args(Corrupt))
        one_of("data.interpolation", self.interpolation, get_args(Interpolation))
        if self.workers is not None:
            count("data.workers", self.workers, least=0, most=MOST_WORKERS)
        least, most = self.crop_scale or (1.0, 1.0)
        positive("data.crop_scale", least)
        if not least <= most <= 1:
            requirement = "two shares of an area in (0, 1], the smaller one first"
            raise fail("data.crop_scale", requirement, self.crop_scale)
        if not 0 < self.crop_share <= 1:
            raise fail("data.crop_share", "in (0, 1]", self.crop_share)
        if self.loading == "memory":
            for field in self._of_disk:
                raise fail(f"data.{field}", DISK_ALONE, getattr(self, field))
        elif self.loading != "auto" or self._of_disk:
            self._check_disk()

    def _check_disk(self) -> None:
        why = f"data.{self._of_disk[0]}" if self._of_disk else f"data.loading {self.loading}"
        if self.image_size is None:
            requirement = f"given beside {why}, for images that are not held in memory"
            raise fail("data.image_size", requirement, None, "Example: --image-size 224.")
        if self.shift:
            raise fail("data.shift", f"0 beside {why}", self.shift, "Pass data.crop_scale.")

    @property
    def _of_disk(self) -> list[str]:
        """The fields that are given, and that images in memory cannot have."""
        plain = {field.name: field.default for field in fields(self)}
        return [name for name in DISK_FIELDS if getattr(self, name) != plain[name]]

    @property
    def held_out(self) -> int | None:
        """How many are held out to validate, where that is a number."""
        return None if isinstance(self.validation, float) else self.validation

    @property
    def needs_disk(self) -> bool:
        """Whether something is asked for that images in memory cannot have."""
        return bool(self._of_disk)

    def _check_text(self) -> None:
        if (self.length is not None) != self.is_text:
            raise fail("data.length", "given exactly when data.tokenizer is", self.length)
        if (self.vocabulary is not None) != (self.tokenizer == LEARNED):
            requirement = f"given exactly when data.tokenizer is {LEARNED}"
            raise fail("data.vocabulary", requirement, self.vocabulary)
        if self.vocabulary is not None:
            count("data.vocabulary", self.vocabulary, least=257)
        if isinstance(self.validation, float) and (self.is_text or self.name in ("digits", "svhn")):
            what = "text" if self.is_text else self.name
            raise fail("data.validation", f"a number, not a share, for {what}", self.validation)
        for name, default in OF_IMAGES.items() if self.is_text else ():
            if getattr(self, name) != default:
                raise fail(f"data.{name}", "left out for text", getattr(self, name))

    @property
    def is_text(self) -> bool:
        """Whether the data are text."""
        return self.tokenizer is not None

    def _check_name(self) -> None:
        if self.is_text and (self.name in NAMES or not self.name):
            requirement = "the path of a text file, of a folder of them, or a hub id"
            raise fail("data.name", requirement, repr(self.name))
        known = self.name in NAMES or self.folder is not None or _is_hub_id(self.name)
        if not known:
            requirement = f"one of {', '.join(NAMES)}, a hub id or the path of a folder"
            raise fail("data.name", requirement, repr(self.name), nearest(self.name, NAMES))
        if self.data_dir is not None and self.name not in get_args(PublishedName):
            requirement = f"left out for {self.name!r}"
            raise fail("data.data_dir", requirement, self.data_dir, "Pass the path as data.name.")

    @property
    def folder(self) -> Path | None:
        """The local folder of the data set, of text perhaps a file, if one is named."""
        if self.data_dir is not None:
            return Path(self.data_dir).expanduser()
        if not self.name or self.name in NAMES:
            return None
        path = Path(self.name).expanduser()
        written_as_path = path.is_absolute() or self.name.startswith((".", "~"))
        if self.is_text:
            written_as_path |= path.suffix == ".txt" or not _is_hub_id(self.name)
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

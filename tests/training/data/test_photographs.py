"""Photographs on the disk: what is seen of them, in which order, and what cannot be read."""

import logging
import os
from pathlib import Path

import pytest
import torch
from PIL import Image
from torchvision.transforms import v2

from stochastic_depth import DataError, InvalidArgument
from stochastic_depth.training.data import Batches, DataConfig, ImageSet, Photographs, load
from stochastic_depth.training.data._photographs import Reader
from stochastic_depth.training.data._views import seed_of

from .conftest import write_parquet, write_shard

FIELDS = {"image_size": 8, "crop_scale": (0.3, 1.0), "flip": True, "workers": 0}
ERASING = {"class_path": "torchvision.transforms.v2.RandomErasing", "init_args": {"p": 1.0}}
AUGMENT = {"class_path": "torchvision.transforms.v2.RandAugment"}


def training(folder: Path, **fields) -> Photographs:
    return load(DataConfig(str(folder), **FIELDS | fields)).train


def batches(examples, seed=3, **options) -> Batches:
    return Batches(examples, 5, seed, augmented=True, **options)


def assert_same(left, right):
    left, right = list(left), list(right)
    assert len(left) == len(right) > 0
    for pair, other in zip(left, right, strict=True):
        assert all(map(torch.equal, pair, other))


def test_batches_depend_on_seed_epoch_and_index_alone(photographs):
    """Not on the workers, on where the epoch began, nor on the global generator."""
    walked = batches(training(photographs))
    torch.manual_seed(5)
    state = torch.get_rng_state()
    epochs = [list(walked.walk(epoch)) for epoch in (0, 1)]
    assert_same(batches(training(photographs, workers=2)).walk(1, 2), epochs[1][2:])
    assert torch.equal(torch.get_rng_state(), state)
    assert_same([walked.batch(0, 4), walked.batch(0, 1)], [epochs[0][4], epochs[0][1]])
    assert not torch.equal(epochs[0][0][0], epochs[1][0][0])
    assert not torch.equal(epochs[0][0][0], batches(training(photographs), seed=4).batch(0, 0)[0])


def test_training_sees_what_torchvision_makes_of_the_photograph(photographs):
    """Crop, mirror, augment, normalize, erase: in this order, by draws of each image."""
    fields = {"pixel_transforms": (AUGMENT,), "transforms": (ERASING,), "normalization": "imagenet"}
    examples = training(photographs, **fields)
    made = batches(examples)
    reference = v2.Compose(
        [
            v2.RandomResizedCrop(8, (0.3, 1.0)),
            v2.RandomHorizontalFlip(),
            v2.RandAugment(),
            v2.ToImage(),
            v2.ToDtype(torch.float32, scale=True),
            v2.Normalize((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
            v2.RandomErasing(1.0),
        ]
    )
    rows = made.order(1)[5:10]
    x, y = made.batch(1, 1)
    for row, seen, label in zip(rows.tolist(), x, y.tolist(), strict=True):
        number = int(examples.rows[row])
        path = sorted(photographs.glob("*/*.png"))[number]
        torch.manual_seed(seed_of("image", 3, 1, number))
        torch.testing.assert_close(seen, reference(Image.open(path)), rtol=0, atol=2e-6)
        assert path.parent.name == ("ant", "bee", "cat")[label]


def test_evaluation_sees_the_centre(photographs):
    examples = training(photographs, crop_share=0.8, normalization="none", interpolation="bicubic")
    centre = v2.Compose(
        [v2.Resize(10, v2.InterpolationMode.BICUBIC), v2.CenterCrop(8), v2.PILToTensor()]
    )
    x, _ = Batches(examples, 4, 0, shuffle=False).batch(0, 0)
    for number, seen in zip(examples.rows[:4].tolist(), x, strict=True):
        image = Image.open(sorted(photographs.glob("*/*.png"))[number])
        assert torch.equal((seen * 255).round().byte(), centre(image))


def test_processes_share_what_one_would_have(photographs):
    examples = training(photographs)
    alone, *others = (batches(examples, rank=r, world=w) for r, w in ((0, 1), (0, 2), (1, 2)))
    for index in range(len(alone)):
        parts = [other.batch(0, index) for other in others]
        assert_same([alone.batch(0, index)], [tuple(map(torch.cat, zip(*parts, strict=True)))])


def test_statistics_are_those_of_the_training_images(photographs):
    examples = training(photographs, normalization="channel", crop_share=1.0)
    x, _ = Batches(examples, len(examples), 0).batch(0, 0)
    assert torch.allclose(x.mean((0, 2, 3)), torch.zeros(3), atol=1e-5)
    assert torch.allclose(x.std((0, 2, 3)), torch.ones(3), atol=1e-3)


class TestCorrupt:
    """An image in the middle that cannot be read."""

    @pytest.fixture
    def splits(self, photographs):
        return lambda **fields: load(DataConfig(str(photographs), **FIELDS | fields))

    def damage(self, examples, row) -> str:
        path = Path(examples.pictures.where(int(examples.rows[row])))
        path.write_bytes(path.read_bytes()[:90])
        return str(path)

    @pytest.mark.parametrize("workers", [0, 2])
    def test_stops_and_is_named(self, splits, workers):
        examples = splits(workers=workers).train
        path = self.damage(examples, 12)
        message = rf"{path} must be an image; .*To go on .* pass data\.corrupt skip"
        with pytest.raises(DataError, match=message):
            list(batches(examples).walk(0))

    def test_is_skipped_named_and_counted(self, splits, caplog):
        found = splits(corrupt="skip")
        path, examples = (
            self.damage(found.train, 12),
            found.train.subset(torch.tensor([11, 12, 13])),
        )
        with caplog.at_level(logging.WARNING):
            for _ in range(2):
                x, y = next(iter(Batches(examples, 3, 0, augmented=True, shuffle=False)))
        # In training the next one of the batch takes its place, so that no batch shrinks.
        assert torch.equal(x[1], x[2])
        assert not torch.equal(x[0], x[1])
        assert y.tolist() == examples.labels[[0, 2, 2]].tolist()
        assert caplog.text.count("Skipped: ") == 1
        assert len(found.skipped) == 1
        assert path in found.skipped[0]
        # An evaluation leaves it out.
        assert len(Batches(examples, 3, 0).batch(0, 0)[1]) == 2

    def test_a_batch_of_nothing_else(self, splits):
        examples = splits(corrupt="skip").train
        self.damage(examples, 2)
        with pytest.raises(DataError, match="A batch must have an image that can be read"):
            examples.inputs(torch.tensor([2]))


class Deadly:
    """A picture that ends the process which opens it."""

    def open(self, index):
        os._exit(3)

    def where(self, index):
        return "nowhere"


def test_a_worker_that_is_lost(photographs):
    examples = training(photographs, workers=1)
    object.__setattr__(examples, "pictures", Deadly())
    with pytest.raises(DataError, match="processes that read images must stay alive; one has"):
        next(batches(examples).walk(0))


def test_a_transform_that_photographs_cannot_have(photographs):
    wrong = {"class_path": "torchvision.transforms.v2.Resize", "init_args": {"size": [4, 4]}}
    with pytest.raises(InvalidArgument, match=r"to 8x8 RGB pixels of one byte; got \(4, 4, 3\)"):
        training(photographs, pixel_transforms=(wrong,))
    with pytest.raises(InvalidArgument, match=r"keeps the shape \(3, 8, 8\) of an image"):
        training(photographs, transforms=(wrong,))


def test_which_images_are_held_in_memory(photographs, parquet_folder, monkeypatch):
    small = load(DataConfig(str(parquet_folder)))
    assert isinstance(small.train, ImageSet)
    assert "held in memory: 2.8 kiB of pixels" in small.notes[0]
    read = load(DataConfig(str(parquet_folder), image_size=8, loading="disk", workers=0))
    assert isinstance(read.train, Photographs)
    assert "read from the disk in every epoch, by no worker processes" in read.notes[0]
    rows = torch.arange(len(read.train))
    assert torch.equal(read.train.targets(rows), small.train.labels)
    plain = DataConfig(str(parquet_folder), normalization="none")
    by_disk = DataConfig(
        str(parquet_folder), normalization="none", image_size=8, loading="disk", workers=0
    )
    assert torch.equal(load(by_disk).train.inputs(rows), load(plain).train.inputs(rows))
    monkeypatch.setattr("stochastic_depth.training.data._load_images.MEMORY", 100)
    assert isinstance(load(DataConfig(str(parquet_folder), image_size=8)).train, Photographs)
    with pytest.raises(InvalidArgument, match=r"not held in memory \(above 0\.1 kiB\)"):
        load(DataConfig(str(parquet_folder)))


def test_a_tenth_of_every_class_is_the_test_and_a_share_validates(photographs):
    splits = load(DataConfig(str(photographs), **FIELDS, validation=0.2))
    parts = (splits.train, splits.validation, splits.test)
    assert [part.labels.bincount().tolist() for part in parts] == [[7] * 3, [2] * 3, [1] * 3]
    everything = torch.cat([part.rows for part in parts])
    assert sorted(everything.tolist()) == list(range(30))
    assert any("3 training images, a tenth of every class, are the test" in n for n in splits.notes)
    assert any("6 training images are held out to validate" in note for note in splits.notes)


def test_a_share_leaves_validation_images_that_are_there(parquet_folder, image_folder):
    write_parquet(parquet_folder / "validation.parquet", [b"x"], [0])
    config = DataConfig(str(parquet_folder), image_size=8, validation=0.5, loading="disk")
    assert len(load(config).validation) == 1
    both = load(DataConfig(str(image_folder), validation=0.25, image_size=8))
    assert [len(part) for part in (both.train, both.validation, both.test)] == [6, 2, 4]
    assert "the split validation is the test" in " ".join(both.notes)


def test_a_class_that_nothing_can_be_learned_of(parquet_folder):
    names = ("ant", "bee", "cat", "dog")
    for file in ("train-0", "train-1", "test-0"):
        labels = [3] if file == "test-0" else [0, 1, 2]
        write_parquet(parquet_folder / f"{file}.parquet", [b"x"] * len(labels), labels, names=names)
    with pytest.raises(DataError, match="must have an image to train on; dog has some in test"):
        load(DataConfig(str(parquet_folder)))


def test_an_empty_class_folder_is_named(photographs):
    (photographs / "dog").mkdir()
    with pytest.raises(DataError, match=r"one folder of images per class; .* dog"):
        load(DataConfig(str(photographs), image_size=8))


def test_shards_hold_what_the_folder_holds(photographs, tmp_path):
    paths = sorted(photographs.glob("*/*.png"))
    labels = [("ant", "bee", "cat").index(path.parent.name) for path in paths]
    samples = [
        (f"photo/{path.stem}", path.read_bytes(), label)
        for path, label in zip(paths, labels, strict=True)
    ]
    for number in (0, 1):
        write_shard(tmp_path / "shards" / f"train-{number}.tar", samples[number::2])
    fields = {"image_size": 8, "loading": "disk", "workers": 0, "normalization": "none"}
    ours = load(DataConfig(str(tmp_path / "shards"), **fields, validation=0))
    theirs = load(DataConfig(str(photographs), **fields, validation=0))
    assert ours.class_names == ("0", "1", "2")

    def seen(splits):
        rows = [torch.arange(len(part)) for part in (splits.train, splits.test)]
        parts = zip((splits.train, splits.test), rows, strict=True)
        return sorted((int(part.labels[r]), part.inputs(r[None])[0].flatten().tolist())
                      for part, own in parts for r in own)  # fmt: skip

    assert seen(ours) == seen(theirs)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda path: path.write_bytes(path.read_bytes()[:700]), "must be a whole WebDataset"),
        (lambda path: write_shard(path, [("a", b"x", "ant")]), "must be a whole WebDataset shard"),
        (lambda path: path.write_bytes(_without_class(path)), "one is missing of b"),
    ],
)
def test_a_damaged_shard_is_named(damage, message, tmp_path):
    path = tmp_path / "train.tar"
    write_shard(path, [("a", b"x" * 600, 0), ("b", b"y" * 600, 1)])
    damage(path)
    with pytest.raises(DataError, match=message):
        load(DataConfig(str(tmp_path), image_size=8))


def _without_class(path: Path) -> bytes:
    """Return an archive without its last member: a header of 512 bytes and a block."""
    return path.read_bytes()[: 2 * (512 + 1024 + 512 + 512) - 1024] + bytes(1024)


@pytest.mark.parametrize("loading", ["memory", "disk"])
def test_a_cache_without_room(loading, parquet_folder, monkeypatch):
    import datasets

    def full(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "posix_fallocate", full)
    monkeypatch.setattr(datasets, "load_dataset", full)
    with pytest.raises(DataError, match=r"No space left on device.* Pass another data\.cache_dir"):
        load(DataConfig(str(parquet_folder), image_size=8, loading=loading))


def test_a_reader_can_be_sent_to_another_process(photographs):
    import pickle

    examples = training(photographs)
    reader = Reader(examples.pictures, examples.training, whole=True)
    copy = pickle.loads(pickle.dumps(reader))
    share = ((1, 2), [0, 7], [0, 1])
    assert torch.equal(copy[share][0], reader[share][0])

"""Photographs that come in the order of a stream."""

from types import SimpleNamespace

import pytest
import torch

from stochastic_depth import DataError, InvalidArgument
from stochastic_depth.training.data import Batches, DataConfig, load

from .conftest import random_images, write_parquet, write_shard

FIELDS = {"image_size": 8, "loading": "stream", "crop_scale": (0.5, 1.0), "workers": 0}
PIXELS = random_images(23, (12, 10, 3))


@pytest.fixture
def shards(tmp_path):
    """Three training shards with 23 images, and a validation shard with 4; label = number % 3."""
    samples = [(f"{n:03d}", pixels, n % 3) for n, pixels in enumerate(PIXELS)]
    for number, part in enumerate((samples[:9], samples[9:14], samples[14:])):
        write_shard(tmp_path / "shards" / f"train-{number}.tar", part)
    write_shard(tmp_path / "shards" / "val-0.tar", samples[:4])
    return tmp_path / "shards"


def walk(examples, epoch=0, start=0, **options):
    batches = Batches(examples, 5, 3, augmented=True, **options)
    return [(x.clone(), y) for x, y in batches.walk(epoch, start)]


def assert_same(left, right):
    assert len(left) == len(right) > 0
    for pair, other in zip(left, right, strict=True):
        assert all(map(torch.equal, pair, other))


def test_an_epoch_is_every_image_once_in_an_order_of_its_own(shards):
    splits = load(DataConfig(str(shards), **FIELDS | {"crop_scale": None, "normalization": "none"}))
    assert (len(splits.train), len(splits.validation), len(splits.test)) == (23, 0, 4)
    assert splits.class_names == ("0", "1", "2")
    assert any("the split validation is the test" in note for note in splits.notes)
    seen = [
        torch.cat([x for x, _ in walk(splits.train, epoch)]).flatten(1).sum(1) for epoch in (0, 1)
    ]
    assert len(set(seen[0].tolist())) == 23
    assert not torch.equal(seen[0], seen[1])
    torch.testing.assert_close(seen[0].sort().values, seen[1].sort().values)
    rest = Batches(splits.train, 5, 3, shuffle=False).batch(0, 0)[1]
    assert rest.tolist() == [0, 1, 2, 0, 1]  # an evaluation reads on from the beginning


def test_an_epoch_is_resumed_where_it_was(shards):
    train = load(DataConfig(str(shards), **FIELDS)).train
    whole = walk(train, epoch=1)
    assert_same(walk(train, epoch=1, start=3), whole[3:])
    with_workers = load(DataConfig(str(shards), **FIELDS | {"workers": 2})).train
    assert_same(walk(with_workers, epoch=1, start=2), whole[2:])
    assert_same([Batches(train, 5, 3, augmented=True).batch(1, 4)], whole[4:])


def test_processes_share_what_one_would_have(shards):
    train = load(DataConfig(str(shards), **FIELDS)).train
    parts = zip(*(walk(train, rank=rank, world=2) for rank in (0, 1)), strict=True)
    joined = [tuple(map(torch.cat, zip(*pair, strict=True))) for pair in parts]
    assert_same(joined, walk(train))


def test_parquet_as_a_stream_and_in_memory(parquet_folder):
    fields = {"image_size": 8, "normalization": "none"}
    stream = load(DataConfig(str(parquet_folder), **fields, loading="stream", workers=0, limit=7))
    memory = load(DataConfig(str(parquet_folder), **fields))
    rows = torch.arange(7)
    assert len(stream.train) == 7
    assert torch.equal(stream.train.inputs(rows), memory.train.inputs(rows))
    assert torch.equal(stream.train.targets(rows), memory.train.targets(rows))


def test_an_image_that_cannot_be_read_is_named(shards):
    samples = [("good", PIXELS[0], 0), ("bad", b"no image", 1), ("fine", PIXELS[2], 2)]
    for path in shards.glob("train*"):
        path.unlink()
    write_shard(shards / "train-0.tar", samples)
    with pytest.raises(
        DataError, match=r"shards, train, bad\.png must be an image; it is of no known"
    ):
        walk(load(DataConfig(str(shards), **FIELDS)).train)
    splits = load(DataConfig(str(shards), **FIELDS, corrupt="skip"))
    [(_, y)] = walk(splits.train)
    assert len(y) == 3
    assert 1 not in y.tolist()
    assert len(splits.skipped) == 1


@pytest.mark.parametrize(
    ("fields", "error", "message"),
    [
        ({"validation": 0.1}, InvalidArgument, "0 for a stream, of which none can be held out"),
        ({"validation": 3}, InvalidArgument, "0 for a stream, of which none can be held out"),
    ],
)
def test_what_a_stream_cannot_do(fields, error, message, shards):
    with pytest.raises(error, match=message):
        load(DataConfig(str(shards), **FIELDS, **fields))


def test_files_are_no_stream(photographs, image_folder):
    with pytest.raises(InvalidArgument, match=r"data\.loading must be disk for images that come"):
        load(DataConfig(str(image_folder), **FIELDS))


def test_shards_that_end_too_early(shards):
    train = load(DataConfig(str(shards), **FIELDS)).train
    (shards / "train-2.tar").unlink()
    write_shard(shards / "train-2.tar", [("x", PIXELS[0], 0)])
    with pytest.raises(DataError, match="must have 23 images, as it says; it has ended before"):
        walk(train)


def test_a_hub_that_cannot_be_reached_and_one_that_does_not_count(monkeypatch, parquet_folder):
    import datasets

    def offline(*_, **__):
        raise ConnectionError("no network")

    monkeypatch.setattr(datasets, "load_dataset_builder", offline)
    with pytest.raises(DataError, match=r"owner/name cannot be loaded \(no network\)"):
        load(DataConfig("owner/name", **FIELDS))


def test_a_hub_id_is_counted_by_what_it_says_of_itself(monkeypatch, parquet_folder):
    import datasets

    names = ("ant", "bee", "cat")
    splits = {split: SimpleNamespace(num_examples=n) for split, n in (("train", 9), ("test", 6))}
    features = {"image": datasets.Image(), "label": datasets.ClassLabel(names=list(names))}
    builder = SimpleNamespace(info=SimpleNamespace(features=features, splits=splits))
    load_dataset = datasets.load_dataset

    def local(path, configuration=None, *, split, streaming):
        assert (path, streaming) == ("owner/name", True)
        files = [str(file) for file in sorted(parquet_folder.glob(f"{split}*"))]
        return load_dataset("parquet", data_files={split: files}, split=split, streaming=True)

    monkeypatch.setattr(datasets, "load_dataset_builder", lambda *_: builder)
    monkeypatch.setattr(datasets, "load_dataset", local)
    splits = load(DataConfig("owner/name", **FIELDS))
    assert (len(splits.train), len(splits.test), splits.class_names) == (9, 6, names)
    labels = torch.cat([y for _, y in walk(splits.train)])
    assert labels.bincount().tolist() == [3, 3, 3]


def test_a_label_that_is_no_class(monkeypatch, parquet_folder):
    train = load(DataConfig(str(parquet_folder), **FIELDS)).train
    write_parquet(parquet_folder / "train-0.parquet", random_images(5), [7] * 5)
    with pytest.raises(DataError, match=r"Labels must be 0 to 2; image \d of .* has 7"):
        walk(train)

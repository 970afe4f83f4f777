"""Which images are for training, for validation and for the test."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from stochastic_depth import DataError, InvalidArgument
from stochastic_depth.training.data import DataConfig, ImageSet, fit_normalization, load
from stochastic_depth.training.data._hold_out import (
    hold_out,
    hold_out_svhn,
    join_svhn,
)

from .conftest import random_images, write_parquet


def test_statistics_come_from_the_training_part_alone(parquet_folder):
    splits = load(DataConfig(str(parquet_folder), validation=3, limit=4))
    wanted = fit_normalization(splits.train.images, "pixel")
    for part in (splits.train, splits.validation, splits.test):
        assert torch.equal(part.normalization.mean, wanted.mean)
    assert not torch.equal(
        wanted.mean, load(DataConfig(str(parquet_folder))).train.normalization.mean
    )


def test_images_and_labels_stay_together_through_every_draw(parquet_folder):
    config = DataConfig(str(parquet_folder), validation=3, limit=4, test_limit=2, split_seed=5)
    splits = load(config)
    images = [image.transpose(2, 0, 1).tolist() for image in random_images(15)]
    origin = {}
    for name in ("train", "validation", "test"):
        part = getattr(splits, name)
        origin[name] = {images.index(image) for image in part.images.tolist()}
        for image, label in zip(part.images.tolist(), part.labels.tolist(), strict=True):
            assert images.index(image) % 3 == label
    assert [len(rows) for rows in origin.values()] == [4, 3, 2]
    assert origin["train"] | origin["validation"] <= set(range(9))
    assert not origin["train"] & origin["validation"]
    assert origin["test"] <= set(range(9, 15))


@pytest.fixture
def three_splits(parquet_folder):
    write_parquet(parquet_folder / "validation.parquet", random_images(2, seed=1), [0, 1])
    return parquet_folder


@pytest.mark.parametrize(("validation", "sizes"), [(None, (9, 2)), (0, (9, 0)), (4, (5, 4))])
def test_validation_images_are_the_given_ones_unless_a_number_is_asked_for(
    three_splits, validation, sizes
):
    splits = load(DataConfig(str(three_splits), validation=validation))
    assert (len(splits.train), len(splits.validation)) == sizes
    assert len(splits.test) == 6


def test_svhn_is_joined_from_two_training_parts(parquet_folder):
    write_parquet(parquet_folder / "extra.parquet", random_images(4, seed=1), [0, 1, 2, 0])
    config = {"name": "svhn", "data_dir": str(parquet_folder)}
    assert len(load(DataConfig(**config, validation=2)).train) == 11
    with pytest.raises(DataError, match="SVHN must have more than 400 images of class 0"):
        load(DataConfig(**config))


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"limit": 10}, r"data\.limit must be at most 9, the images there are; got 10"),
        ({"test_limit": 7}, r"data\.test_limit must be at most 6, the images there are; got 7"),
        ({"validation": 9}, r"data\.validation must be less than the 9 training images; got 9"),
        ({"validation": 5, "limit": 5}, r"data\.limit must be at most 4"),
        ({"shift": 8}, r"data\.shift must be less than 8, the size of the images; got 8"),
    ],
)
def test_more_than_there_is_is_refused(parquet_folder, fields, message):
    with pytest.raises(InvalidArgument, match=message):
        load(DataConfig(str(parquet_folder), **fields))


def test_splits_of_different_sizes_need_an_image_size(parquet_folder):
    write_parquet(parquet_folder / "test-0.parquet", random_images(2, (6, 6, 3)), [0, 1])
    with pytest.raises(DataError, match=r"one image size; .*\(3, 6, 6\).*Pass data.image_size"):
        load(DataConfig(str(parquet_folder)))
    assert load(DataConfig(str(parquet_folder), image_size=4)).input_shape == (3, 4, 4)


@given(st.data())
def test_parts_are_disjoint_and_as_large_as_asked_for(data):
    size = data.draw(st.integers(1, 300))
    validation = data.draw(st.integers(0, size - 1))
    limit = data.draw(st.none() | st.integers(1, size - validation))
    train, held_out = (rows.tolist() for rows in hold_out(size, validation, limit, seed=4))
    assert len(train) == (size - validation if limit is None else limit)
    assert len(held_out) == validation
    assert len({*train, *held_out}) == len(train) + len(held_out)
    assert {*train, *held_out} <= set(range(size))


def test_validation_is_the_end_of_a_seeded_permutation():
    order = torch.randperm(50, generator=torch.Generator().manual_seed(8))
    train, held_out = hold_out(50, validation=5, limit=None, seed=8)
    assert torch.equal(torch.cat([train, held_out]), order)


def test_a_limit_moves_neither_the_validation_images_nor_the_beginning():
    train, held_out = hold_out(100, validation=20, limit=None, seed=1)
    fewer, same = hold_out(100, validation=20, limit=30, seed=1)
    assert torch.equal(same, held_out)
    assert torch.equal(fewer, train[:30])


def test_no_more_are_held_out_than_there_are():
    with pytest.raises(
        InvalidArgument, match=r"data\.validation must be less than the 50 training"
    ):
        hold_out(50, validation=50, limit=None, seed=0)
    with pytest.raises(
        InvalidArgument, match=r"data\.limit must be at most 45, the images there are"
    ):
        hold_out(50, validation=5, limit=46, seed=0)


def part(per_class, offset):
    """A set of 1x1 images in which every image is another number."""
    labels = torch.arange(10).repeat(per_class)
    images = (offset + torch.arange(len(labels))).float().view(-1, 1, 1, 1)
    return ImageSet(images, labels)


@pytest.fixture
def splits():
    return {"train": part(410, 0), "extra": part(260, 10_000), "test": part(3, 20_000)}


def test_600_images_of_each_class_are_held_out_400_of_them_from_train(splits):
    divided = hold_out_svhn(splits, seed=0)
    held_out = divided["validation"]
    assert held_out.labels.bincount().tolist() == [600] * 10
    from_train = held_out.images.flatten() < 10_000
    assert held_out.labels[from_train].bincount().tolist() == [400] * 10
    assert len(divided["train"]) == 410 * 10 + 260 * 10 - 6000
    everything = torch.cat([divided["train"].images, held_out.images]).flatten()
    assert len(everything.unique()) == 6700
    assert divided["test"] is splits["test"]


def test_the_draw_is_random_and_seeded(splits):
    first, again, other = (hold_out_svhn(splits, seed)["validation"].images for seed in (0, 0, 1))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert first.flatten()[:4000].max() > 4000  # not simply the first of each class


def test_joining_keeps_all(splits):
    joined = join_svhn(splits)
    assert len(joined["train"]) == 6700
    assert set(joined) == {"train", "test"}


def test_a_missing_part_or_class_is_named(splits):
    with pytest.raises(DataError, match="splits train, extra and test; extra is missing"):
        join_svhn({"train": splits["train"], "test": splits["test"]})
    with pytest.raises(DataError, match=r"more than 200 images of class 0 in each .* got 200"):
        hold_out_svhn({**splits, "extra": part(200, 0)}, seed=0)

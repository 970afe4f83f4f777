import pytest
import torch

from stochastic_depth import DataError, InvalidArgument
from stochastic_depth.training.data import DataConfig, fit_normalization, load

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
    assert load(DataConfig(str(parquet_folder), image_size=4)).image_shape == (3, 4, 4)

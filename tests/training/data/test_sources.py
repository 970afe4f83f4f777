"""Digits and folders, and what every source must have."""

import shutil

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from sklearn.datasets import load_digits

from stochastic_depth import DataError, InvalidArgument
from stochastic_depth.training.data import DataConfig, load
from stochastic_depth.training.data._sources import balanced_order, read, read_folder

from .conftest import random_images, write_parquet


def test_a_missing_or_foreign_folder_says_what_is_there(tmp_path):
    with pytest.raises(DataError, match="must be a folder with images; there is none"):
        read(DataConfig(str(tmp_path / "missing")))
    with pytest.raises(DataError, match=r"or a folder train/<class>/; it holds nothing\."):
        read(DataConfig(str(tmp_path)))
    (tmp_path / "images").mkdir()
    with pytest.raises(DataError, match=r"it holds images\."):
        read(DataConfig(str(tmp_path)))


def test_a_missing_training_split_is_named(parquet_folder):
    for file in parquet_folder.glob("train*"):
        file.unlink()
    with pytest.raises(DataError, match="must have a non-empty split train; it has test"):
        read(DataConfig(str(parquet_folder)))


def test_an_empty_split_is_missing(parquet_folder):
    write_parquet(parquet_folder / "test-0.parquet", random_images(1)[:0], [])
    with pytest.raises(DataError, match="must have a non-empty split test; it has test, train"):
        read(DataConfig(str(parquet_folder)))


@pytest.mark.parametrize("label", [-1, 3, 255])
def test_a_label_out_of_range_is_named_with_its_row(parquet_folder, label):
    write_parquet(parquet_folder / "test-0.parquet", random_images(2), [0, label])
    message = rf"Labels must be 0 to 2; .*test-0\.parquet, row 1 \(test\) has {label}"
    with pytest.raises(DataError, match=message):
        read(DataConfig(str(parquet_folder)))


def test_labels_without_names_must_have_no_gap(tmp_path):
    for split in ("train", "test"):
        write_parquet(tmp_path / f"{split}.parquet", random_images(2), [0, 2])
    with pytest.raises(DataError, match=r"0 to 2 without a gap; .* no training image of class 1"):
        read(DataConfig(str(tmp_path)))


def test_classes_without_names_are_called_by_number(tmp_path):
    for split in ("train", "test"):
        write_parquet(tmp_path / f"{split}.parquet", random_images(2), [1, 0])
    assert read(DataConfig(str(tmp_path))).class_names == ("0", "1")


@given(st.lists(st.integers(0, 4), min_size=1, max_size=60), st.integers(0, 2**31))
def test_every_beginning_of_a_balanced_order_is_as_equal_as_the_classes_allow(labels, seed):
    labels = torch.tensor(labels)
    order = balanced_order(labels, torch.Generator().manual_seed(seed))
    assert sorted(order.tolist()) == list(range(len(labels)))
    sizes = labels.bincount(minlength=5)
    for length in range(1, len(labels) + 1):
        taken = labels[order[:length]].bincount(minlength=5)
        unfinished = taken[taken < sizes]
        assert not len(unfinished) or taken.max() - unfinished.min() <= 1


@pytest.mark.parametrize("limit", [10, 200, 1000])
def test_training_images_are_balanced_and_the_rest_is_the_test(limit):
    splits = load(DataConfig("digits", limit=limit))
    assert splits.train.labels.bincount().tolist() == [limit // 10] * 10
    assert len(splits.test) == 1797 - limit
    assert splits.class_names == tuple("0123456789")
    images = torch.cat([splits.train.images, splits.test.images]).flatten(1)
    everything = {tuple(image) for image in images.tolist()}
    assert len(everything) == 1797  # scikit-learn's digits are all different


def test_pixels_are_the_grey_levels_spread_over_a_byte():
    splits = load(DataConfig("digits"))
    images = torch.cat([splits.train.images, splits.test.images]).squeeze(1).numpy()
    levels = sorted(map(tuple, np.rint(images * (16 / 255)).reshape(-1, 64)))
    assert levels == sorted(map(tuple, load_digits().data))
    assert images.max() == 255


def test_another_split_seed_draws_other_images():
    first, again, other = (load(DataConfig("digits", split_seed=s)).train.images for s in (0, 0, 1))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_something_must_be_left_to_test_on():
    message = r"data\.limit plus data\.validation must be at most 1796, .* got 1800"
    with pytest.raises(InvalidArgument, match=message):
        load(DataConfig("digits", limit=1700, validation=100))


def test_classes_are_numbered_by_name(image_folder):
    source = read_folder(image_folder)
    assert source.class_names == ("ant", "bee")
    assert source.splits["train"].labels.tolist() == [0] * 4 + [1] * 4
    assert source.splits["validation"].where(2).endswith("val/bee/0.png")


def test_the_only_held_out_split_is_the_test(image_folder):
    splits = load(DataConfig(str(image_folder), image_size=4))
    assert [len(part) for part in (splits.train, splits.validation, splits.test)] == [8, 0, 4]
    assert splits.input_shape == (3, 4, 4)


def test_splits_with_different_classes_are_refused(image_folder):
    (image_folder / "val" / "bee").rename(image_folder / "val" / "wasp")
    with pytest.raises(DataError, match=r"in train and validation; only one .* bee, wasp"):
        read_folder(image_folder)


def test_an_empty_class_and_a_folder_without_classes_are_refused(image_folder):
    shutil.rmtree(image_folder / "val" / "bee")
    (image_folder / "val" / "bee").mkdir()
    with pytest.raises(DataError, match=r"val must hold one folder of images per class; .*bee"):
        read_folder(image_folder)
    shutil.rmtree(image_folder / "train")
    (image_folder / "train").mkdir()
    with pytest.raises(DataError, match="train must hold one folder of images per class"):
        read_folder(image_folder)


@pytest.mark.parametrize("keep", [0, 30, 90])
def test_a_corrupt_image_is_named(image_folder, keep):
    file = image_folder / "train" / "bee" / "1.png"
    file.write_bytes(file.read_bytes()[:keep])
    with pytest.raises(DataError, match=r"bee/1\.png must be an image; it"):
        load(DataConfig(str(image_folder)))


def test_colour_comes_from_any_split(image_folder):
    for file in (image_folder / "val").rglob("*.png"):
        Image.open(file).convert("L").save(file)
    splits = load(DataConfig(str(image_folder)))
    assert splits.test.images.shape == (4, 3, 8, 8)

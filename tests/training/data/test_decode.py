"""Decoding, against slow references, and the decoded copies on disk."""

import os

import numpy as np
import pytest
import torch
from PIL import Image
from torch.nn.functional import interpolate

from stochastic_depth import DataError
from stochastic_depth.training.data import _decode
from stochastic_depth.training.data._decode import decode, decoded, survey
from stochastic_depth.training.data._records import Records
from stochastic_depth.training.data._tabular import read_parquet

from .conftest import random_images, write_parquet


def train(folder):
    return read_parquet(folder).splits["train"]


def test_images_are_decoded_once(parquet_folder, cache, monkeypatch):
    first = decoded(train(parquet_folder), None, None)
    monkeypatch.delattr(_decode, "decode")
    second = decoded(train(parquet_folder), None, None)
    assert torch.equal(first, second)
    assert torch.equal(first, torch.from_numpy(random_images(15)[:9]).permute(0, 3, 1, 2))
    assert [file.suffix for file in cache.iterdir()] == [".npy"]


def test_each_size_and_each_version_of_the_files_has_its_own_copy(parquet_folder, cache):
    for size in (None, 4):
        decoded(train(parquet_folder), size, None)
    write_parquet(parquet_folder / "train-1.parquet", random_images(4, seed=9), [0, 1, 2, 0])
    latest = decoded(train(parquet_folder), None, None)
    os.utime(parquet_folder / "train-0.parquet", ns=(0, 0))  # as large as before
    decoded(train(parquet_folder), None, None)
    assert len(list(cache.iterdir())) == 4
    assert torch.equal(latest[5:], torch.from_numpy(random_images(4, seed=9)).permute(0, 3, 1, 2))


def test_writing_to_the_images_does_not_change_the_file(parquet_folder):
    decoded(train(parquet_folder), None, None).zero_()
    assert decoded(train(parquet_folder), None, None).any()


def test_a_failure_leaves_no_file(parquet_folder, cache):
    images = [*random_images(3), b"not an image"]
    write_parquet(parquet_folder / "train-1.parquet", images, [0, 1, 2, 0])
    with pytest.raises(DataError, match=r"train-1\.parquet, row 3 must be an image"):
        decoded(train(parquet_folder), None, None)
    assert list(cache.iterdir()) == []


def test_the_folder_can_be_chosen(parquet_folder, cache, tmp_path):
    decoded(train(parquet_folder), None, str(tmp_path / "mine"))
    assert len(list((tmp_path / "mine").iterdir())) == 1
    assert not cache.exists()


def test_a_damaged_copy_and_an_unusable_folder_are_named(parquet_folder, cache, tmp_path):
    decoded(train(parquet_folder), None, None)
    (copy,) = cache.iterdir()
    os.truncate(copy, 300)
    with pytest.raises(DataError, match=rf"{copy.name} must be readable .* or delete the file"):
        decoded(train(parquet_folder), None, None)
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match=r"file/.*Pass another data\.cache_dir"):
        decoded(train(parquet_folder), None, str(tmp_path / "file"))


def test_the_copy_is_an_ordinary_array(parquet_folder, cache):
    decoded(train(parquet_folder), None, None)
    (copy,) = cache.iterdir()
    assert np.array_equal(np.load(copy), random_images(15)[:9])


def records(images, mode=None):
    opened = [
        image if isinstance(image, Image.Image) else Image.fromarray(image) for image in images
    ]
    return Records(torch.zeros(len(opened)).long(), lambda: iter(opened), "image {}".format)


def rendered(some_records, size=None):
    layout = survey(some_records, size)
    pixels = np.stack(list(decode(some_records, layout)))
    return torch.from_numpy(pixels.astype(layout.dtype)).permute(0, 3, 1, 2)


def as_floats(images):
    return torch.from_numpy(images).permute(0, 3, 1, 2).float()


def block_means(images, block):
    """Means of block x block pixels, in float64."""
    number, height, width, channels = images.shape
    shape = (number, height // block, block, width // block, block, channels)
    return torch.from_numpy(images.reshape(shape).mean((2, 4))).permute(0, 3, 1, 2)


@pytest.mark.parametrize("size", [None, 32])
def test_images_that_have_the_size_are_left_as_they_are(size):
    images = random_images(3, (32, 32, 3))
    result = rendered(records(images), size)
    assert result.dtype == torch.uint8
    assert torch.equal(result.float(), as_floats(images))


def test_half_the_size_is_exactly_the_mean_of_2x2_pixels():
    images = random_images(20, (32, 32, 3))
    assert torch.equal(rendered(records(images), 16).double(), block_means(images, 2))


@pytest.mark.parametrize("block", [3, 4])
def test_a_whole_fraction_of_the_size_is_the_mean_of_blocks(block):
    images = random_images(5, (12 * block, 12 * block, 3))
    result = rendered(records(images), 12).double()
    torch.testing.assert_close(result, block_means(images, block), rtol=2**-11, atol=0)


@pytest.mark.parametrize("block", [1, 2])
def test_an_oblong_image_gives_its_centre(block):
    images = random_images(2, (8, 14, 3))
    result = rendered(records(images), 8 // block).double()
    assert torch.equal(result, block_means(images[:, :, 3:11], block))


@pytest.mark.parametrize("size", [13, 40])
def test_other_sizes_are_antialiased_bilinear(size):
    images = random_images(3, (32, 32, 3))
    wanted = interpolate(as_floats(images), (size, size), mode="bilinear", antialias=True)
    result = rendered(records(images), size)
    assert result.dtype == torch.uint8
    # Pillow rounds to bytes after each of its two passes.
    torch.testing.assert_close(result.float(), wanted, rtol=0, atol=1.01)


def test_images_of_several_sizes_are_brought_to_one():
    images = [random_images(1, (h, w, 3))[0] for h, w in ((20, 30), (16, 16), (40, 33))]
    assert rendered(records(images), 16).shape == (3, 3, 16, 16)
    with pytest.raises(
        DataError, match=r"image 0 has \(30, 20\), image 1 has \(16, 16\)\. Pass data"
    ):
        survey(records(images), None)


def test_grey_images_have_one_channel_unless_some_have_colours():
    grey, colour = random_images(1, (8, 8)), random_images(1)
    assert rendered(records(grey)).shape == (1, 1, 8, 8)
    mixed = rendered(records([*grey, *colour]))
    assert torch.equal(mixed[0], torch.from_numpy(grey).expand(3, -1, -1))


def test_more_than_8_bits_per_channel_are_refused():
    wide = Image.fromarray(np.zeros((4, 4), dtype=np.uint16))
    with pytest.raises(DataError, match="image 0 must have 8 bits per channel; got mode I;16"):
        survey(records([wide]), None)

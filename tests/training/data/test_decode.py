import numpy as np
import pytest
import torch
from PIL import Image
from torch.nn.functional import interpolate

from stochastic_depth import DataError
from stochastic_depth.training.data._decode import decode, survey
from stochastic_depth.training.data._records import Records

from .conftest import random_images


def records(images, mode=None):
    opened = [
        image if isinstance(image, Image.Image) else Image.fromarray(image) for image in images
    ]
    return Records(torch.zeros(len(opened)).long(), lambda: iter(opened), "image {}".format)


def decoded(some_records, size=None):
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
    result = decoded(records(images), size)
    assert result.dtype == torch.uint8
    assert torch.equal(result.float(), as_floats(images))


def test_half_the_size_is_exactly_the_mean_of_2x2_pixels():
    images = random_images(20, (32, 32, 3))
    assert torch.equal(decoded(records(images), 16).double(), block_means(images, 2))


@pytest.mark.parametrize("block", [3, 4])
def test_a_whole_fraction_of_the_size_is_the_mean_of_blocks(block):
    images = random_images(5, (12 * block, 12 * block, 3))
    result = decoded(records(images), 12).double()
    torch.testing.assert_close(result, block_means(images, block), rtol=2**-11, atol=0)


@pytest.mark.parametrize("block", [1, 2])
def test_an_oblong_image_gives_its_centre(block):
    images = random_images(2, (8, 14, 3))
    result = decoded(records(images), 8 // block).double()
    assert torch.equal(result, block_means(images[:, :, 3:11], block))


@pytest.mark.parametrize("size", [13, 40])
def test_other_sizes_are_antialiased_bilinear(size):
    images = random_images(3, (32, 32, 3))
    wanted = interpolate(as_floats(images), (size, size), mode="bilinear", antialias=True)
    result = decoded(records(images), size)
    assert result.dtype == torch.uint8
    # Pillow rounds to bytes after each of its two passes.
    torch.testing.assert_close(result.float(), wanted, rtol=0, atol=1.01)


def test_images_of_several_sizes_are_brought_to_one():
    images = [random_images(1, (h, w, 3))[0] for h, w in ((20, 30), (16, 16), (40, 33))]
    assert decoded(records(images), 16).shape == (3, 3, 16, 16)
    with pytest.raises(
        DataError, match=r"image 0 has \(30, 20\), image 1 has \(16, 16\)\. Pass data"
    ):
        survey(records(images), None)


def test_grey_images_have_one_channel_unless_some_have_colours():
    grey, colour = random_images(1, (8, 8)), random_images(1)
    assert decoded(records(grey)).shape == (1, 1, 8, 8)
    mixed = decoded(records([*grey, *colour]))
    assert torch.equal(mixed[0], torch.from_numpy(grey).expand(3, -1, -1))


def test_more_than_8_bits_per_channel_are_refused():
    wide = Image.fromarray(np.zeros((4, 4), dtype=np.uint16))
    with pytest.raises(DataError, match="image 0 must have 8 bits per channel; got mode I;16"):
        survey(records([wide]), None)

"""Labelled images in memory, and the statistics they are normalized by."""

import numpy as np
import pytest
import torch

from stochastic_depth import DataError, InvalidArgument
from stochastic_depth.training.data import ImageSet, Normalization, fit_normalization

from .conftest import random_images


def pixels(dtype=torch.uint8, number=37):
    return torch.from_numpy(random_images(number)).permute(0, 3, 1, 2).to(dtype)


@pytest.mark.parametrize("dtype", [torch.uint8, torch.float16])
def test_pixel_statistics_are_a_mean_image_and_one_deviation_of_all_numbers(dtype):
    x = pixels(dtype)
    reference = x.numpy().astype(np.float64)
    fitted = fit_normalization(x, "pixel")
    np.testing.assert_allclose(fitted.mean, reference.mean(0), rtol=1e-6)
    # Around the common mean, not around the mean image: as Torch7's tensor:std().
    np.testing.assert_allclose(fitted.std, reference.std(ddof=1).reshape(1, 1, 1), rtol=1e-6)


def test_channel_statistics_are_those_of_each_channel():
    x = pixels()
    reference = x.numpy().astype(np.float64)
    fitted = fit_normalization(x, "channel")
    deviation = reference.std((0, 2, 3), ddof=1).reshape(3, 1, 1)
    np.testing.assert_allclose(fitted.mean, reference.mean((0, 2, 3), keepdims=True)[0], rtol=1e-6)
    np.testing.assert_allclose(fitted.std, deviation, rtol=1e-6)


def test_none_maps_bytes_to_the_unit_interval():
    x = torch.tensor([0, 51, 255], dtype=torch.uint8).view(3, 1, 1, 1)
    torch.testing.assert_close(fit_normalization(x, "none")(x).flatten(), torch.tensor([0, 0.2, 1]))


@pytest.mark.parametrize("kind", ["pixel", "channel"])
def test_normalized_training_images_have_mean_zero_and_variance_one(kind):
    x = pixels(number=200)
    inputs = fit_normalization(x, kind)(x)
    assert inputs.dtype == torch.float32
    assert abs(float(inputs.mean())) < 1e-4
    # Subtracting the mean image takes 1/200 of the variance of independent pixels away.
    assert float(inputs.std()) == pytest.approx(1, abs=6e-3)


def test_images_given_as_float32_are_left_alone():
    x = pixels(torch.float32)
    before = x.clone()
    Normalization()(x)
    assert torch.equal(x, before)


def test_constant_images_are_refused():
    flat = torch.full((4, 1, 2, 2), 7, dtype=torch.uint8)
    with pytest.raises(DataError, match="training images must vary"):
        fit_normalization(flat, "channel")


@pytest.fixture
def images():
    return torch.from_numpy(random_images(6)).permute(0, 3, 1, 2)


def test_inputs_are_the_normalized_rows_channels_last(images):
    normalization = Normalization(torch.full((3, 1, 1), 9.0), torch.full((1, 1, 1), 4.0))
    inputs = ImageSet(images, torch.arange(6), normalization).inputs(torch.tensor([4, 1]))
    torch.testing.assert_close(inputs, (images[[4, 1]].float() - 9) / 4)
    assert inputs.is_contiguous(memory_format=torch.channels_last)


def test_subset_keeps_images_labels_and_normalization_together(images):
    normalization = Normalization()
    subset = ImageSet(images, torch.arange(6) + 10, normalization).subset(torch.tensor([5, 0, 3]))
    assert subset.labels.tolist() == [10, 13, 15]
    assert torch.equal(subset.images, images[[0, 3, 5]])
    assert subset.normalization is normalization


def test_the_whole_set_is_not_copied(images):
    image_set = ImageSet(images, torch.arange(6))
    assert image_set.subset(torch.randperm(6)) is image_set


def test_moving_takes_everything_along(images):
    moved = ImageSet(images, torch.arange(6)).to("meta")
    parts = (moved.images, moved.labels, moved.normalization.mean, moved.normalization.std)
    assert {part.device.type for part in parts} == {"meta"}


def test_shapes_and_types_that_do_not_fit_are_refused(images):
    with pytest.raises(InvalidArgument, match=r"images must be a tensor \(N, C, H, W\)"):
        ImageSet(images[0], torch.arange(6))
    with pytest.raises(InvalidArgument, match="labels must be 6 int64 numbers"):
        ImageSet(images, torch.arange(5))
    with pytest.raises(InvalidArgument, match=r"got shape \(6,\) of torch.float32"):
        ImageSet(images, torch.arange(6.0))

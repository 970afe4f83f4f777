import pytest
import torch

from stochastic_depth import InvalidArgument
from stochastic_depth.training.data import ImageSet, Normalization

from .conftest import random_images


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

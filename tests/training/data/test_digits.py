import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from sklearn.datasets import load_digits

from stochastic_depth import InvalidArgument
from stochastic_depth.training.data import DataConfig, load
from stochastic_depth.training.data._digits import balanced_order


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

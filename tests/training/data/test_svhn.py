import pytest
import torch

from stochastic_depth import DataError
from stochastic_depth.training.data import ImageSet
from stochastic_depth.training.data._svhn import hold_out_svhn, join_svhn


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

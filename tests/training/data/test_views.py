"""Mixed batches."""

import pytest
import torch
from torchvision.transforms import v2

from stochastic_depth import InvalidArgument
from stochastic_depth.training.data import Batches, DataConfig, ImageSet, Mixing, mixing_of

LABELS = torch.tensor([0, 1, 1, 0, 1, 0])
IMAGES = LABELS.view(-1, 1, 1, 1).expand(-1, 1, 16, 16) * 255


@pytest.mark.parametrize("transform", [v2.MixUp, v2.CutMix])
def test_labels_are_mixed_as_the_images_are(transform):
    """Images of class 1 are white and others black: the mean pixel is the share of class 1."""
    mixing = Mixing([transform(num_classes=2)])
    examples = ImageSet(IMAGES.to(torch.uint8), LABELS)
    x, shares = Batches(examples, 6, 0, mixing=mixing).batch(0, 0)
    torch.testing.assert_close(x.mean((1, 2, 3)), shares[:, 1])
    torch.testing.assert_close(shares.sum(1), torch.ones(6))
    assert ((shares > 0.01) & (shares < 0.99)).any()


def test_batches_draw_which_transform_and_how():
    """Of 64 batches each of two has 32 on average, standard deviation 4; fixed seed."""
    seen = []

    def noted(name):
        return lambda x, y: (seen.append((name, float(torch.rand(())))), (x, y))[1]

    batches = Batches(
        ImageSet(IMAGES.to(torch.uint8), LABELS), 1, 0, mixing=Mixing([noted("a"), noted("b")])
    )
    torch.manual_seed(2)
    state = torch.get_rng_state()
    for epoch in range(11):
        list(batches.walk(epoch))
    assert torch.equal(torch.get_rng_state(), state)
    assert abs(sum(name == "a" for name, _ in seen[:64]) - 32) < 16
    assert len({number for _, number in seen}) == len(seen) == 66
    batches.batch(4, 3)
    assert seen[-1] == seen[4 * 6 + 3]


def test_the_number_of_classes_comes_from_the_data():
    mixup = {"class_path": "torchvision.transforms.v2.MixUp", "init_args": {"alpha": 0.2}}
    mixing = mixing_of(DataConfig("digits", mixing=(mixup,)), 10)
    assert mixing is not None
    assert mixing.transforms[0].num_classes == 10
    assert mixing_of(DataConfig("digits"), 10) is None


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"loading": "memory", "crop_scale": (0.1, 1)}, r"data\.crop_scale must be left out for"),
        ({"loading": "disk"}, r"data\.image_size must be given beside data\.loading disk"),
        ({"crop_scale": (0.5, 1)}, r"data\.image_size must be given beside data\.crop_scale"),
        ({"crop_scale": (0.5, 1), "image_size": 8, "shift": 1}, r"data\.shift must be 0 beside"),
        ({"crop_scale": (0.5, 0.2)}, "two shares of an area in .0, 1., the smaller one first"),
        ({"crop_scale": (0.0, 0.2)}, r"data\.crop_scale must be positive and finite"),
        ({"crop_share": 0.0}, r"data\.crop_share must be in \(0, 1\]; got 0\.0"),
        ({"validation": 1.5}, r"data\.validation must be strictly between 0 and 1; got 1\.5"),
        ({"loading": "ram"}, r"data\.loading must be one of"),
        ({"workers": -1}, r"data\.workers must be at least 0"),
        ({"tokenizer": "bytes", "length": 8, "mixing": ({},)}, r"data\.mixing must be"),
        ({"tokenizer": "bytes", "length": 8, "validation": 0.1}, "a number, not a share, for text"),
    ],
)
def test_fields_that_do_not_fit_together(fields, message):
    with pytest.raises(InvalidArgument, match=message):
        DataConfig("./folder", **fields)

"""Printed numbers, written out here a second time, and what the claims make of some results."""

import pytest

from stochastic_depth.papers import Measurement, load
from stochastic_depth.papers.huang2016.imagenet import variants
from stochastic_depth.training import load as load_recipe
from stochastic_depth.training import override

PRINTED = {
    "figure3_cifar10": [6.41, 5.25],
    "figure3_cifar100": [27.76, 24.98],
    "figure4_svhn": [1.80, 1.75],
    "figure4_1202": [6.67, 4.91],
    "table1": [6.41, 5.25, 27.76, 24.98, 1.80, 1.75, 13.63, 11.66, 44.74, 37.8],
    "imagenet": [23.06, 23.38, 21.78, 21.98],
    "low_survival": [40.0],
}


def claims(name):
    return {claim.name: claim for claim in load(f"huang2016/{name}").claims}


@pytest.mark.parametrize("name", PRINTED)
def test_printed_numbers(name):
    printed = [claim.expected for claim in claims(name).values() if claim.name.endswith("%")]
    assert printed == PRINTED[name]


def test_savings_of_table_2():
    """27.0, 26.5 and 24.2 %, from hours and minutes."""
    saved = [c.expected for c in claims("table2").values() if c.name.startswith("time saved")]
    assert saved == pytest.approx([26.97, 26.46, 24.22], abs=0.005)
    (ratio, *_) = claims("fifty_epochs").values()
    assert ratio.expected == pytest.approx(0.7514, abs=5e-5)


def test_imagenet_claims_that_equal_epochs_do_not_help():
    (equal, longer, time, *_) = claims("imagenet").values()
    for claim in (equal, longer):
        assert claim.verdict(Measurement(-0.32, 0.1)) == "held"
        assert claim.verdict(Measurement(0.32, 0.1)) == "not held"
        assert claim.verdict(Measurement(0.1, 0.1)) == "cannot tell"
    assert time.verdict(Measurement(23.06 - 21.98, 0.2)) == "held"


@pytest.mark.parametrize(("variant", "epochs"), [("stochastic", 90), ("stochastic longer", 120)])
def test_rates_of_imagenet_fall_every_thirty_epochs(variant, epochs):
    config = load_recipe("huang2016_cifar10", load("huang2016/imagenet").settings("paper").fields)
    config = override(config, variants(90)[variant])
    assert config.epochs == epochs
    for epoch in range(1, epochs + 1):
        rate = config.learning_rate.at((epoch - 1) * 10, 10, epochs)
        assert rate == pytest.approx(0.1 ** (1 + (epoch - 1) // 30))
    assert config.model.class_path == "torchvision.models.resnet152"
    assert "depth" not in config.model.init_args

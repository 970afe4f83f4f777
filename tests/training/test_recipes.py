"""The recipes against the numbers of the papers, written out here a second time."""

import math

import pytest

from stochastic_depth.training import load, recipes
from stochastic_depth.training.data import DataConfig

HUANG = ("huang2016_cifar10", "huang2016_cifar100", "huang2016_svhn", "huang2016_cifar10_1202")

# Name: data set, depth, epochs, validation, shift, flip, spans of epochs by learning rate.
PROTOCOLS = {
    "huang2016_cifar10": ("cifar10", 110, 500, 5000, 4, True, {0.1: 249, 0.01: 374, 0.001: 500}),
    "huang2016_cifar100": ("cifar100", 110, 500, 5000, 4, True, {0.1: 249, 0.01: 374, 0.001: 500}),
    "huang2016_svhn": ("svhn", 152, 50, None, 0, False, {0.1: 29, 0.01: 34, 0.001: 50}),
}


def test_the_recipes_are_listed():
    assert {"demo_cifar10", "demo_digits", *HUANG} <= set(recipes())


@pytest.mark.parametrize("name", recipes())
def test_every_recipe_names_itself(name):
    assert load(name).name == name


@pytest.mark.parametrize("name", PROTOCOLS)
def test_protocol_of_huang_et_al(name):
    data, depth, epochs, validation, shift, flip, spans = PROTOCOLS[name]
    config = load(name)
    assert config.data == DataConfig(
        data, validation=validation, split_seed=1, shift=shift, flip=flip, normalization="pixel"
    )
    assert config.model.init_args["depth"] == depth
    assert (config.epochs, config.batch_size) == (epochs, 128)
    first = 1
    for rate, last in spans.items():
        for epoch in (first, last):
            for step in (0, 351):
                measured = config.learning_rate.at((epoch - 1) * 352 + step, 352, epochs)
                assert math.isclose(measured, rate), epoch
        first = last + 1


def test_1202_layers_warm_up_at_a_tenth_of_the_rate():
    config = load("huang2016_cifar10_1202")
    assert config.epochs == 300
    assert config.model.init_args["depth"] == 1202
    rates = {e: config.learning_rate.at((e - 1) * 352, 352, 300) for e in (1, 10, 11, 149, 150)}
    assert rates == pytest.approx({1: 0.01, 10: 0.01, 11: 0.1, 149: 0.1, 150: 0.01})
    assert config.learning_rate.at(224 * 352, 352, 300) == pytest.approx(0.001)
    assert config.learning_rate.at(224 * 352 - 1, 352, 300) == pytest.approx(0.01)


@pytest.mark.parametrize("name", HUANG)
def test_huang_et_al_drop_linearly_to_one_half_and_scale_at_test(name):
    config = load(name)
    depth, number = config.depth, (config.model.init_args["depth"] - 2) // 2
    expected = [1 - block / number * 0.5 for block in range(1, number + 1)]
    assert depth.survival(number).tolist() == pytest.approx(expected, abs=1e-15)
    assert (depth.per, depth.rescale, depth.dropped_grads) == ("batch", "test", "zero")
    assert (depth.enabled, depth.transitions, depth.law) == (True, "drop", "bernoulli")


@pytest.mark.parametrize("name", HUANG)
def test_huang_et_al_network_and_optimizer(name):
    config = load(name)
    arguments = config.model.init_args
    assert (arguments["width"], arguments["stable"]) == (16, False)
    assert (arguments["downsample"], arguments["conv_bias"]) == ("subsample", True)
    assert arguments["bn_init"] == "uniform"
    assert config.optimizer.class_path == "torch.optim.SGD"
    given = {key: config.optimizer.init_args[key] for key in ("momentum", "dampening", "nesterov")}
    assert given == {"momentum": 0.9, "dampening": 0.0, "nesterov": True}
    assert config.optimizer.init_args["weight_decay"] == 1e-4


def test_svhn_is_validated_every_200_iterations():
    svhn = load("huang2016_svhn")
    assert (svhn.evaluate_every_steps, svhn.evaluate_every) == (200, svhn.epochs)
    assert load("huang2016_cifar10").evaluate_every_steps is None


def test_the_digits_of_the_demo():
    config = load("demo_digits")
    assert config.data == DataConfig("digits", limit=200, validation=0, normalization="channel")
    assert (config.model.init_args["depth"], config.model.init_args["width"]) == (56, 8)
    assert (config.epochs, config.batch_size) == (150, 32)
    assert config.optimizer.init_args["weight_decay"] == 1e-4
    assert (config.learning_rate.initial, config.learning_rate.warmup_epochs) == (0.05, 5)
    assert config.learning_rate.decay == "cosine"


def test_the_cifar_of_the_demo():
    config = load("demo_cifar10")
    assert config.data == DataConfig(
        "cifar10", limit=2000, test_limit=3000, image_size=16, validation=0, normalization="channel"
    )
    assert (config.model.init_args["depth"], config.model.init_args["width"]) == (20, 16)
    assert (config.epochs, config.batch_size) == (24, 64)
    assert config.optimizer.init_args["weight_decay"] == 5e-4
    assert (config.learning_rate.initial, config.learning_rate.warmup_epochs) == (0.1, 1)


@pytest.mark.parametrize("name", ["demo_digits", "demo_cifar10"])
def test_the_demos_drop_as_huang_et_al(name):
    depth = load(name).depth
    assert (depth.schedule, depth.rule, depth.last) == ("linear", "huang", 0.5)
    assert (depth.rescale, depth.dropped_grads, depth.per) == ("test", "none", "batch")


def test_the_backbone():
    """A ResNet-50 whose schedule is 1 - l / (L - 1) * 0.2, of which four blocks always run."""
    config = load("backbone_resnet50")
    depth = config.depth
    expected = [1 - block / 15 * 0.2 for block in range(16)]
    assert depth.survival(16).tolist() == pytest.approx(expected, abs=1e-15)
    assert (depth.per, depth.rescale, depth.transitions) == ("batch", "train", "protect")
    assert [each["class_path"].rpartition(".")[2] for each in config.data.transforms] == [
        "RandomAffine",
        "RandomErasing",
    ]
    assert (config.label_smoothing, config.ema_decay) == (0.1, 0.999)
    assert config.model.init_args["dropout"] == 0.0


@pytest.mark.parametrize("rescale", ["train", "test", "none"])
def test_the_convention_of_inference_is_a_field(rescale):
    assert load("backbone_resnet50", {"depth.rescale": rescale}).depth.rescale == rescale

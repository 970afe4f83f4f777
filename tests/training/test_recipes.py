"""Recipes: how they are read and overridden, and their numbers against those of the papers."""

import dataclasses
import math

import pytest
import torch
import yaml

from stochastic_depth import InvalidArgument
from stochastic_depth.training import RunConfig, load, override, recipes
from stochastic_depth.training.data import DataConfig


@pytest.mark.parametrize("name", recipes())
def test_a_written_configuration_reads_back_the_same(name, tmp_path):
    config = load(name)
    path = tmp_path / "config.yaml"
    path.write_text(yaml.safe_dump(config.to_mapping(), sort_keys=False))
    assert load(path) == config


def test_every_field_is_written():
    written = load("demo_digits").to_mapping()
    assert set(written) == {field.name for field in dataclasses.fields(RunConfig)}
    assert written["depth"]["budget"] is None


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("epochs", 3, 3),
        ("epochs", "3", 3),
        ("data.limit", 20, 20),
        ("data.limit", None, None),
        ("data.flip", True, True),
        ("data.flip", "true", True),
        ("depth.last", 0.75, 0.75),
        ("depth.enabled", False, False),
        ("learning_rate.initial", 0.2, 0.2),
        ("precision", "bf16", "bf16"),
        ("loggers", [], ()),
    ],
)
def test_override(name, value, expected):
    for config in (
        load("demo_digits", {name: value}),
        override(load("demo_digits"), {name: value}),
    ):
        for part in name.split("."):
            config = getattr(config, part)
        assert config == expected


def test_overrides_leave_the_other_fields():
    config = load("demo_digits", {"model.init_args.depth": 20, "optimizer.init_args.momentum": 0.5})
    assert (config.model.init_args["depth"], config.model.init_args["width"]) == (20, 8)
    assert config.optimizer.init_args["momentum"] == 0.5
    assert config.optimizer.init_args["nesterov"] is True
    assert override(config, {"seed": 3}) == dataclasses.replace(config, seed=3)


def test_another_model_and_optimizer():
    config = load("demo_digits", {"model": "torchvision.models.resnet18", "optimizer": "AdamW"})
    assert config.model.class_path == "torchvision.models.resnet18"
    assert config.optimizer.class_path == "torch.optim.AdamW"
    assert "depth" not in config.model.init_args


def test_arguments_that_a_function_passes_on():
    config = load(
        "demo_digits",
        {
            "model": "timm.create_model",
            "model.init_args.model_name": "vit_tiny_patch16_224",
            "model.dict_kwargs.img_size": 16,
        },
    )
    assert config.model.dict_kwargs == {"img_size": 16}
    assert override(config, {}) == config


def test_milestones_and_probabilities_are_lists():
    config = load(
        "huang2016_cifar10",
        {
            "learning_rate.milestones": [0.25, 0.5],
            "depth.schedule": "fixed",
            "depth.last": None,
            "depth.probabilities": [0.5] * 54,
        },
    )
    assert config.learning_rate.milestones == (0.25, 0.5)
    assert config.depth.probabilities == (0.5,) * 54


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ({"epoch": 3}, "epoch.* Did you mean 'epochs'"),
        ({"data.limt": 3}, "data.limt.* Did you mean 'data.limit'"),
        ({"epochs": "x"}, "epochs must be a whole number; got 'x'"),
        ({"epochs": 0}, "epochs must be at least 1; got 0"),
        ({"data.limit": 3.5}, "data.limit must be a whole number or null; got '3.5'"),
        ({"depth.schedule": "lin"}, "depth.schedule must be one of .* Did you mean 'linear'"),
        (
            {"model.init_args.dept": 3},
            "init_args.dept is not an argument of .*CifarResNet. Did you mean 'depth'",
        ),
        (
            {"model": "torch.nn.Linea"},
            "class or function; got 'torch.nn.Linea'. Did you mean 'Linear'",
        ),
        ({"precision": "fp16"}, "precision must be one of float32, .*; got 'fp16'"),
        ({"threads": 0}, "threads must be at least 1"),
        ({"seed": -1}, "seed must be at least 0"),
        ({"evaluate_every_steps": 0}, "evaluate_every_steps must be at least 1"),
    ],
)
def test_refusals_are_one_line_and_name_the_field(overrides, message):
    with pytest.raises(InvalidArgument, match=message) as refusal:
        load("demo_digits", overrides)
    assert "\n" not in str(refusal.value)
    with pytest.raises(InvalidArgument, match=message):
        override(load("demo_digits"), overrides)


def test_an_unknown_recipe():
    with pytest.raises(InvalidArgument, match="recipe must be .* Did you mean 'demo_digits'"):
        load("demo_digit")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("epochs: [1", r"cannot be read \(it is not YAML in line 1, column 11\)"),
        ("foo: 1\n", "foo"),
        ("epochs: 3\n", "model"),
        ("[]\n", "must hold named fields; it holds list"),
    ],
)
def test_a_file_that_is_no_recipe(text, message, tmp_path):
    path = tmp_path / "recipe.yaml"
    path.write_text(text)
    with pytest.raises(InvalidArgument, match=message) as refusal:
        load(path)
    assert "\n" not in str(refusal.value)


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
    assert (config.epochs, config.batch_size) == (80, 32)
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


LANGUAGE = (
    "elhoushi2024_layerskip",
    "elhoushi2026_shakespeare",
    "fan2020_layerdrop",
    "nanogpt_pr348",
    "zhang2020_progressive",
)


def _rates(config, progress):
    """Return the probability that each block of a recipe drops, after a share of training."""
    depth = config.depth
    survival = depth.survival(config.model.init_args["depth"])
    return (1 - depth.curriculum_of(survival)(progress)).tolist()


@pytest.mark.parametrize("name", LANGUAGE)
def test_language_models_are_clipped_and_warm_up_by_steps(name):
    config = load(name)
    assert config.model.class_path.endswith(".CausalLM")
    assert config.data.is_text
    assert config.gradient_clip is not None
    assert (config.learning_rate.decay, config.learning_rate.warmup_steps > 0) == ("cosine", True)
    assert config.optimizer.class_path == "torch.optim.AdamW"


@pytest.mark.parametrize("progress", [0.0, 0.25, 1.0])
def test_dropping_rises_with_depth_and_falls_to_nothing_with_time(progress):
    """Elhoushi et al. 2026: l/(L-1) of the largest rate, times 1 - t/T; scaled as equation 6."""
    config = load("elhoushi2026_shakespeare")
    expected = [0.8 * block / 5 * (1 - progress) for block in range(6)]
    assert _rates(config, progress) == pytest.approx(expected, abs=1e-12)
    depth = config.depth
    assert (depth.per, depth.rescale, depth.scale) == ("sample", "train", "branch")
    assert (config.batch_size, config.data.limit, config.data.length) == (16, 16 * 800, 64)
    steps = [config.learning_rate.at(step, 800, 1) for step in (0, 19, 20, 799)]
    assert steps == pytest.approx([0.0005, 0.01, 0.01, 0.001], rel=1e-3)


def test_full_depth_at_the_end_is_a_field_of_the_curriculum():
    config = load("elhoushi2026_shakespeare", {"depth.until": 0.9})
    assert _rates(config, 0.45) == pytest.approx([0.4 * block / 5 for block in range(6)])
    assert _rates(config, 0.9) == _rates(config, 0.95) == [0.0] * 6


def test_layerskip():
    config = load("elhoushi2024_layerskip")
    expected = [0.1 * math.expm1(block * math.log(2) / 31) for block in range(32)]
    for progress in (0.0, 1.0):
        assert _rates(config, progress) == pytest.approx(expected, abs=1e-12)
    assert (config.depth.per, config.depth.rescale) == ("sample", "none")


@pytest.mark.parametrize("progress", [0.0, 0.01, 0.5])
def test_progressive_layer_dropping(progress):
    config = load("zhang2020_progressive")
    theta = 0.5 * math.exp(-100 * progress) + 0.5
    expected = [block / 12 * (1 - theta) for block in range(1, 13)]
    assert _rates(config, progress) == pytest.approx(expected, abs=1e-12)
    assert (config.depth.per, config.depth.rescale, config.depth.scale) == (
        "batch",
        "train",
        "branch",
    )


def test_layerdrop():
    config = load("fan2020_layerdrop")
    assert _rates(config, 0.5) == pytest.approx([0.2] * 16)
    assert (config.depth.rescale, config.depth.independent) == ("none", True)


@pytest.mark.parametrize(("step", "rate"), [(0, 0.2), (400, 0.2), (450, 0.1), (500, 0.0)])
def test_the_odd_blocks_of_nanogpt_drop_for_a_third_of_the_steps(step, rate):
    config = load("nanogpt_pr348")
    expected = [rate * (block % 2) for block in range(11)]
    assert _rates(config, step / 1308) == pytest.approx(expected, abs=2e-4)
    assert (config.depth.law, config.depth.independent) == ("fixed-depth", True)


def test_every_process_of_nanogpt_leaves_out_exactly_one_block():
    depth = load("nanogpt_pr348").depth
    law = depth.law_of(depth.survival(11))
    for seed in range(50):
        dropped = (law.sample(generator=torch.Generator().manual_seed(seed)) == 0).nonzero()
        assert len(dropped) == 1
        assert int(dropped) % 2 == 1

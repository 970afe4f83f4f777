import dataclasses

import pytest
import yaml

from stochastic_depth import InvalidArgument
from stochastic_depth.training import RunConfig, load, override, recipes


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
        ({"epochs": "x"}, "epochs must be int; got x"),
        ({"epochs": 0}, "epochs must be at least 1; got 0"),
        ({"data.limit": 3.5}, "data.limit must be int; got 3.5"),
        ({"depth.schedule": "lin"}, "depth.schedule must be one of .* Did you mean 'linear'"),
        ({"model.init_args.dept": 3}, "CifarResNet: Option 'dept' .* Did you mean 'depth'"),
        ({"model": "torch.nn.Linea"}, "no attribute 'Linea'. Did you mean 'Linear'"),
        ({"precision": "fp16"}, "precision must be one of 'float32', .*; got fp16"),
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
        ("epochs: [1", "parsing"),
        ("foo: 1\n", "foo"),
        ("epochs: 3\n", "model"),
        ("[]\n", "Unexpected config"),
    ],
)
def test_a_file_that_is_no_recipe(text, message, tmp_path):
    path = tmp_path / "recipe.yaml"
    path.write_text(text)
    with pytest.raises(InvalidArgument, match=message) as refusal:
        load(path)
    assert "\n" not in str(refusal.value)

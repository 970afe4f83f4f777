"""From a recipe and the fields that override it to a configuration."""

import json
from collections.abc import Mapping
from dataclasses import fields
from functools import cache
from importlib.resources import files
from inspect import signature
from pathlib import Path
from typing import Any

from jsonargparse import (  # type: ignore[attr-defined]
    ActionConfigFile,
    ArgumentParser,
    Namespace,
)
from torch import nn, optim

from .._arguments import check_fields, new_parser, parse
from .._checks import fail, nearest
from .._errors import InvalidArgument
from .._mappings import read_yaml
from .._trust import require_trusted_names
from ._component import Component
from ._depth_config import NAMED
from ._run_config import SGD, TENSORBOARD, TENSORBOARD_ARGS, RunConfig

RECIPES = Path(str(files(__package__) / "recipes"))
# Arguments that the data and the schedule of the run fill in.
DERIVED = {"num_classes", "in_channels", "image_size", "vocab_size", "length", "params", "lr"}


def recipes() -> tuple[str, ...]:
    """Return the names of the recipes that come with the library.

    Example:
        >>> "huang2016_cifar10" in recipes()
        True
    """
    return tuple(sorted(path.stem for path in RECIPES.glob("*.yaml")))


def load(recipe: str | Path, overrides: Mapping[str, Any] | None = None) -> RunConfig:
    """Return the configuration of a recipe with some fields replaced.

    Args:
        recipe: one of `recipes()`, or the path of a YAML file.
        overrides: new values by dotted field, such as `{"depth.last": 0.8}`; strings are
            read as on the command line.

    Returns:
        The configuration.

    Raises:
        InvalidArgument: no such recipe or field, or a value out of range.

    Example:
        >>> load("huang2016_cifar10", {"depth.last": 0.8}).depth.last
        0.8
    """
    parser = _parser()
    parser.recipe = {}  # type: ignore[attr-defined]
    arguments = [f"--recipe={recipe}", *_options(overrides or {})]
    return run_config(parser, parse(parser, arguments))


def override(config: RunConfig, overrides: Mapping[str, Any]) -> RunConfig:
    """Return a configuration with some fields replaced.

    Args:
        config: stays as it is.
        overrides: new values by dotted field, such as `{"depth.enabled": False}`.

    Raises:
        InvalidArgument: no such field, or a value out of range.

    Example:
        >>> override(load("demo_digits"), {"depth.enabled": False}).depth.enabled
        False
    """
    parser = _parser()
    base = parser.parse_object(config.to_mapping())
    return run_config(parser, parse(parser, _options(overrides), base))


def add_run_config(parser: ArgumentParser) -> None:
    """Give `parser` an option for each field of a run, and `--recipe`."""
    parser.add_argument("--recipe", action=_Recipe, help="name of a recipe, or a YAML file")
    parser.add_class_arguments(RunConfig, skip={"model", "optimizer", "loggers"})
    parser.add_subclass_arguments(
        nn.Module, "model", instantiate=False, skip=DERIVED, required=True
    )
    parser.add_subclass_arguments(
        optim.Optimizer, "optimizer", instantiate=False, skip=DERIVED, default={"class_path": SGD}
    )
    logger = {"class_path": TENSORBOARD, "init_args": TENSORBOARD_ARGS}
    parser.add_argument("--loggers", type=list[dict[str, Any]], default=[logger])


def run_config(parser: ArgumentParser, namespace: Namespace) -> RunConfig:
    """Return the configuration that `parser`, given `add_run_config`, has read."""
    values = parser.instantiate(namespace)
    # As read: instantiating, jsonargparse drops `dict_kwargs`.
    model, optimizer = (Component(**namespace[name].as_dict()) for name in ("model", "optimizer"))
    loggers = tuple(map(_logger, values.loggers))
    components: dict[str, Any] = {"model": model, "optimizer": optimizer, "loggers": loggers}
    plain = (item.name for item in fields(RunConfig) if item.name not in components)
    return RunConfig(**components, **{name: values[name] for name in plain})


def recipe_path(recipe: str | Path) -> Path:
    """Return the file of a recipe, given its name or its path.

    Raises:
        InvalidArgument: there is none.
    """
    for path in (RECIPES / f"{recipe}.yaml", Path(recipe)):
        if path.is_file():
            return path
    requirement = f"a YAML file or one of {', '.join(recipes())}"
    raise fail("recipe", requirement, repr(str(recipe)), nearest(str(recipe), recipes()))


def check_trust(values: Mapping[str, Any]) -> None:
    """Refuse a recipe that names code which may not be imported, in the fields that do.

    Raises:
        InvalidArgument: naming the field.
    """
    data, depth = values.get("data"), values.get("depth")
    named = {name: values.get(name) for name in ("model", "optimizer", "loggers")}
    if isinstance(data, Mapping):
        for name in ("transforms", "pixel_transforms", "mixing"):
            named[f"data.{name}"] = data.get(name)
    if isinstance(depth, Mapping):
        named |= {f"depth.{choice}": depth.get(choice) for choice in NAMED}
    for field, value in named.items():
        require_trusted_names(field, value)


def _logger(values: Mapping[str, Any]) -> Component:
    try:
        signature(Component).bind(**values)
    except TypeError as error:
        requirement = "a list of class_path, init_args"
        raise fail("loggers", requirement, f"{dict(values)} in it", str(error)) from error
    from lightning.fabric.loggers.logger import Logger

    return Component(**values).require("loggers", Logger, "a Lightning logger")


class _Recipe(ActionConfigFile):
    """A configuration file that may be given by the name of a recipe."""

    def __call__(
        self, parser: Any, namespace: Any, values: Any, option_string: str | None = None
    ) -> None:
        path = recipe_path(values)
        # What is not understood is refused here, and what is not trusted before it is imported.
        parser.recipe = read_yaml(path, InvalidArgument)
        check_trust(parser.recipe)
        check_fields(parser, parser.recipe)
        super().__call__(parser, namespace, str(path), option_string)


@cache  # reading a recipe takes less time than making the parser
def _parser() -> ArgumentParser:
    parser = new_parser()
    add_run_config(parser)
    return parser


def _options(overrides: Mapping[str, Any]) -> list[str]:
    """Return overrides as the command line has them: strings stay, the rest is YAML."""
    return [
        f"--{name}={value if isinstance(value, str) else json.dumps(value)}"
        for name, value in overrides.items()
    ]

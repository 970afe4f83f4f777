"""Variants of a recipe: a name, and the fields it overrides."""

import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from .._checks import fail
from ..training import RunConfig, load

# What a reader wants to know first: is it better than not doing it?
CONSTANT_AGAINST_STOCHASTIC: Mapping[str, Mapping[str, Any]] = {
    "constant": {"depth.enabled": False},
    "stochastic": {"depth.enabled": True},
}


def parse_variant(words: Sequence[str]) -> tuple[str, dict[str, str]]:
    """Return a name and its overrides from the words of a command line.

    Args:
        words: The name, then `FIELD=VALUE` for each field to override.

    Returns:
        The name and the values by dotted field.

    Raises:
        InvalidArgument: A word after the name is not `FIELD=VALUE`.

    Example:
        >>> parse_variant(["uniform", "depth.schedule=uniform", "depth.last=0.7"])
        ('uniform', {'depth.schedule': 'uniform', 'depth.last': '0.7'})
    """
    name, *assignments = words
    if "=" in name:
        raise fail("--variant", "a name and then FIELD=VALUE ...", name, "Put a name first.")
    overrides = {}
    for assignment in assignments:
        field, equals, value = assignment.partition("=")
        if not (field and equals):
            raise fail(f"--variant {name}", "followed by FIELD=VALUE ...", repr(assignment))
        overrides[field] = value
    return name, overrides


def override(config: RunConfig, overrides: Mapping[str, Any]) -> RunConfig:
    """Return `config` with some fields replaced, checked like any recipe.

    Args:
        config: The configuration to start from.
        overrides: New values by dotted field.

    Raises:
        InvalidArgument: No such field, or a value out of range.
    """
    with tempfile.TemporaryDirectory() as directory:
        recipe = Path(directory) / "recipe.yaml"
        recipe.write_text(yaml.safe_dump(config.to_mapping()), encoding="utf-8")
        return load(recipe, overrides)


def check_variants(variants: Mapping[str, Mapping[str, Any]]) -> None:
    """Refuse names that cannot be directories, and a comparison of nothing."""
    if not variants:
        raise fail("variants", "at least one", "none")
    for name in variants:
        if not name or name.startswith(".") or set(name) & set('/\\:*?"<>|'):
            raise fail("variant", "a name that can be a directory", repr(name))

"""Variants of a recipe: a name, and the fields it overrides."""

import shlex
from collections.abc import Mapping
from typing import Any

from .._checks import fail
from ._jobs import LOGS

# What a reader wants to know first: is it better than not doing it?
CONSTANT_AGAINST_STOCHASTIC: Mapping[str, Mapping[str, Any]] = {
    "constant": {"depth.enabled": False},
    "stochastic": {"depth.enabled": True},
}


def parse_variant(text: str) -> tuple[str, dict[str, str]]:
    """Return the name and the overrides of a variant written as `NAME FIELD=VALUE ...`.

    Args:
        text: The name, then the fields it overrides; quotes protect spaces, as in a shell.

    Returns:
        The name and the values by dotted field.

    Raises:
        InvalidArgument: There is no name, or a word after it is not `FIELD=VALUE`.

    Example:
        >>> parse_variant("uniform depth.schedule=uniform depth.last=0.7")
        ('uniform', {'depth.schedule': 'uniform', 'depth.last': '0.7'})
    """
    requirement, remedy = "NAME FIELD=VALUE ...", 'Write --variant "NAME FIELD=VALUE ...".'
    name, *assignments = shlex.split(text) or [""]
    overrides = dict(assignment.partition("=")[::2] for assignment in assignments)
    if not name or "=" in name or not all(f and v for f, v in overrides.items()):
        raise fail("--variant", requirement, repr(text), remedy)
    return name, overrides


def check_variants(variants: Mapping[str, Mapping[str, Any]]) -> None:
    """Refuse names that cannot be directories, and a comparison of nothing."""
    if not variants:
        raise fail("variants", "at least one", "none")
    for name in variants:
        if name in ("", LOGS) or name.startswith(".") or set(name) & set('/\\:*?"<>|'):
            raise fail("variant", "a name that can be a directory", repr(name))

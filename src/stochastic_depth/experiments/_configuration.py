"""Configurations as flat tables of fields, and where two of them differ."""

import hashlib
import json
from collections.abc import Mapping
from typing import Any

IDENTITY = ("name", "variant", "seed", "split_seed")  # tell runs apart, do not describe them


def flatten(config: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return `config` with dotted names.

    Example:
        >>> flatten({"epochs": 3, "depth": {"last": 0.5}})
        {'epochs': 3, 'depth.last': 0.5}
    """
    flat: dict[str, Any] = {}
    for name, value in config.items():
        dotted = f"{prefix}{name}"
        flat |= flatten(value, f"{dotted}.") if isinstance(value, Mapping) else {dotted: value}
    return flat


def differing_fields(*configs: Mapping[str, Any]) -> dict[str, tuple[Any, ...]]:
    """Return the fields in which `configs` are not all equal, with the value in each.

    Names and seeds tell runs apart and are left out.

    Example:
        >>> differing_fields({"epochs": 3, "seed": 0}, {"epochs": 4, "seed": 1})
        {'epochs': (3, 4)}
    """
    flats = [flatten(config) for config in configs]
    names = dict.fromkeys(name for flat in flats for name in flat)
    rows = {name: tuple(flat.get(name) for flat in flats) for name in names if _describes(name)}
    return {name: row for name, row in rows.items() if any(value != row[0] for value in row)}


def identity(config: Mapping[str, Any]) -> str:
    """Return twelve characters that two configurations share if they are equal in every field.

    Example:
        >>> identity({"epochs": 3, "seed": 0}) == identity({"seed": 0, "epochs": 3})
        True
    """
    text = json.dumps(config, sort_keys=True)
    return hashlib.blake2b(text.encode(), digest_size=6).hexdigest()


def _describes(name: str) -> bool:
    return name.rpartition(".")[2] not in IDENTITY

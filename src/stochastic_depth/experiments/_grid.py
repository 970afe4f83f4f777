"""The grid of a sweep: axes over fields of a run, and their cells."""

import re
from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal
from itertools import product
from typing import Any

import yaml

from .._checks import fail, nearest

EXAMPLE = "Write --grid schedule=uniform,linear budget=0.5:1.0:0.1 seed=0:4."
NUMBER = r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?"
RANGE = re.compile(rf"({NUMBER}):({NUMBER})(?::({NUMBER}))?")
SEED = "seed"
# Each sets how much is dropped, so an axis over one of them replaces the others.
LEVELS = ("depth.last", "depth.budget", "depth.probabilities")

Grid = Mapping[str, Sequence[Any]]
"""Values of each axis, by field."""


def parse_grid(words: Sequence[str]) -> dict[str, tuple[Any, ...]]:
    """Return the axes of a grid written as `FIELD=VALUE,VALUE` or `FIELD=FIRST:LAST:STEP`.

    Args:
        words: One axis each. A range includes both ends; its step is 1 if left out.

    Returns:
        The values of each axis, by field as written.

    Raises:
        InvalidArgument: There is no axis, or one without values, or one given twice.

    Example:
        >>> parse_grid(["schedule=uniform,linear", "budget=0.8:1.0:0.1", "seed=0:4"])
        {'schedule': ('uniform', 'linear'), 'budget': (0.8, 0.9, 1.0), 'seed': (0, 1, 2, 3, 4)}
    """
    grid: dict[str, tuple[Any, ...]] = {}
    for word in words:
        field, _, text = word.partition("=")
        if not field or not text:
            raise fail("--grid", "FIELD=VALUE,VALUE or FIELD=FIRST:LAST:STEP", repr(word), EXAMPLE)
        if field in grid:
            raise fail("--grid", "one axis per field", f"{field} twice")
        grid[field] = _values(field, text)
    return grid


def axes(grid: Grid, fields: Sequence[str]) -> dict[str, tuple[Any, ...]]:
    """Return a grid by the full names of its fields.

    Args:
        grid: Fields may be named by their last part, where one field alone ends in it.
        fields: All dotted fields of a configuration.

    Raises:
        InvalidArgument: The grid is empty, an axis is empty or repeats a value, or its field
            is unknown or could be several.
    """
    if not grid:
        raise fail("grid", "at least one axis", "none", EXAMPLE)
    named: dict[str, tuple[Any, ...]] = {}
    for key, values in grid.items():
        field = _field(key, fields)
        if field in named:
            raise fail("grid", "one axis per field", f"{field} twice")
        if not values:
            raise fail(f"grid axis {key}", "at least one value", "none", EXAMPLE)
        if any(value in values[:index] for index, value in enumerate(values)):
            raise fail(f"grid axis {key}", "distinct values", list(values))
        named[field] = tuple(values)
    return named


def cells(named: Grid) -> Iterator[dict[str, Any]]:
    """Yield the values of every cell by field, the last axis moving fastest, without seeds."""
    rest = {field: values for field, values in named.items() if field != SEED}
    for values in product(*rest.values()):
        yield dict(zip(rest, values, strict=True))


def cell_name(cell: Mapping[str, Any]) -> str:
    """Return the name of a cell: `schedule=uniform budget=0.5`."""
    return " ".join(f"{field.rpartition('.')[2]}={value}" for field, value in cell.items())


def overrides(cell: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields that a cell replaces, and clear those that contradict it."""
    given = any(field in LEVELS for field in cell)
    cleared = {field: None for field in LEVELS if given and field not in cell}
    return {**cleared, **cell}


def _field(key: str, fields: Sequence[str]) -> str:
    short = {field: field.rpartition(".")[2] for field in fields}
    matches = [field for field in fields if key in (field, short[field])]
    if key in matches:
        return key
    if len(matches) > 1:
        raise fail("grid", "an unambiguous field", repr(key), f"Say {' or '.join(matches)}.")
    if matches:
        return matches[0]
    if ".init_args." in key or ".dict_kwargs." in key:
        return key  # the component itself refuses arguments it does not take
    raise fail("grid", "over fields of a run", repr(key), nearest(key, [*fields, *short.values()]))


def _values(field: str, text: str) -> tuple[Any, ...]:
    items = yaml.load(f"[{text}]", Loader=yaml.BaseLoader)  # noqa: S506  # makes strings only
    return tuple(value for item in items for value in _expand(field, item))


def _expand(field: str, item: Any) -> list[Any]:
    if isinstance(item, list):
        return [[value for part in item for value in _expand(field, part)]]
    ends = RANGE.fullmatch(item)
    return [yaml.safe_load(item)] if ends is None else _range(field, *ends.groups())


def _range(field: str, first: str, last: str, step: str | None) -> list[int | float]:
    """Return an inclusive range, counted in decimal: 0.1:1.0:0.1 holds 0.3, not 0.1 + 0.2."""
    start, stop, stride = Decimal(first), Decimal(last), Decimal(step or 1)
    if stride <= 0 or stop < start:
        text = f"{first}:{last}" + (f":{step}" if step else "")
        raise fail(f"grid axis {field}", "FIRST:LAST:STEP, growing", text, EXAMPLE)
    whole = all(number == number.to_integral_value() for number in (start, stop, stride))
    number = int if whole else float
    return [number(start + k * stride) for k in range(int((stop - start) / stride) + 1)]

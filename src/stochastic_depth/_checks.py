"""Validation, used where an object is born and nowhere else.

Each check returns the value in its canonical form or raises `InvalidArgument`
with one sentence: what must hold, what was given, what to do.
"""

import difflib
import math
from collections.abc import Collection, Iterable
from typing import SupportsFloat, SupportsIndex, TypeVar

import torch
from torch import Tensor

from ._errors import InvalidArgument

Choice = TypeVar("Choice")

PROBABILITY_REMEDY = "Survival is P(block runs): to drop 20 % of the time pass 0.8."


def fail(field: str, requirement: str, value: object, remedy: str = "") -> InvalidArgument:
    """Return the error for `field`; the caller raises it."""
    sentence = f"{field} must be {requirement}; got {value}."
    return InvalidArgument(f"{sentence} {remedy}".strip())


def probability(field: str, value: SupportsFloat) -> float:
    """Return `value` as a float in [0, 1]."""
    return interval(field, value, 0.0, 1.0, remedy=PROBABILITY_REMEDY)


def interval(
    field: str, value: SupportsFloat, low: float, high: float, *, remedy: str = ""
) -> float:
    """Return `value` as a float in [low, high]."""
    number = _number(field, value)
    if not low <= number <= high:
        raise fail(field, f"in [{low:g}, {high:g}]", f"{number:g}", remedy)
    return number


def inside(field: str, value: SupportsFloat, low: float, high: float, *, remedy: str = "") -> float:
    """Return `value` as a float strictly between `low` and `high`."""
    number = _number(field, value)
    if not low < number < high:
        raise fail(field, f"strictly between {low:g} and {high:g}", f"{number:g}", remedy)
    return number


def positive(field: str, value: SupportsFloat, *, remedy: str = "") -> float:
    """Return `value` as a positive finite float."""
    number = _number(field, value)
    if not (math.isfinite(number) and number > 0):
        raise fail(field, "positive and finite", f"{number:g}", remedy)
    return number


def count(field: str, value: SupportsIndex, *, least: int = 1) -> int:
    """Return `value` as an integer of at least `least`."""
    if isinstance(value, bool) or not isinstance(value, SupportsIndex):
        raise fail(field, "an integer", repr(value))
    number = value.__index__()
    if number < least:
        raise fail(field, f"at least {least}", number)
    return number


def probabilities(field: str, values: Tensor | Iterable[float]) -> Tensor:
    """Return `values` as a float64 vector (L,) with entries in [0, 1]."""
    vector = _vector(field, values)
    bad = ~((vector >= 0) & (vector <= 1))
    if bad.any():
        index = int(bad.nonzero()[0])
        raise fail(
            f"{field}[{index}]", "in [0, 1]", f"{float(vector[index]):g}", PROBABILITY_REMEDY
        )
    return vector


def finite(field: str, values: Tensor | Iterable[float]) -> Tensor:
    """Return `values` as a finite float64 vector (L,)."""
    vector = _vector(field, values)
    if not vector.isfinite().all():
        index = int((~vector.isfinite()).nonzero()[0])
        raise fail(f"{field}[{index}]", "finite", f"{float(vector[index]):g}")
    return vector


def costs(values: Tensor | Iterable[float] | None, num_blocks: int) -> Tensor:
    """Return block costs relative to the largest, float64 (L,); `None` means all equal.

    A block may cost nothing, but not every block: a share of nothing has no meaning.
    """
    if values is None:
        return torch.ones(num_blocks, dtype=torch.float64, device="cpu")
    vector = same_length("costs", finite("costs", values), num_blocks)
    if not (vector >= 0).all():
        index = int((vector < 0).nonzero()[0])
        raise fail(f"costs[{index}]", "at least 0", f"{float(vector[index]):g}")
    if not vector.any():
        remedy = "Leave costs out to weigh all blocks alike."
        raise fail("costs", "positive for some block", "0 for every block", remedy)
    least = vector[vector > 0].min()
    if vector.max() > 1e12 * least:
        ratio = f"a ratio of {float(vector.max() / least):g}"
        raise fail("costs", "0 or within a factor of 1e12 of each other", ratio)
    return vector / vector.max()  # in any unit their sum is finite


def mask(field: str, values: Tensor | Iterable[bool] | None, num_blocks: int) -> Tensor:
    """Return a boolean vector (L,); `None` means all False."""
    if values is None:
        return torch.zeros(num_blocks, dtype=torch.bool, device="cpu")
    vector = torch.as_tensor(values if isinstance(values, Tensor) else list(values), device="cpu")
    if vector.dtype != torch.bool:
        raise fail(field, "a boolean vector", str(vector.dtype))
    return same_length(field, vector, num_blocks)


def same_length(field: str, vector: Tensor, num_blocks: int) -> Tensor:
    """Return `vector` if it has one entry per block."""
    if vector.shape != (num_blocks,):
        raise fail(
            field,
            f"a vector of {num_blocks} entries, one per block",
            f"shape {tuple(vector.shape)}",
        )
    return vector


def one_of(field: str, value: Choice, choices: Collection[Choice]) -> Choice:
    """Return `value` if it is among `choices`; otherwise name the nearest choice."""
    if value not in choices:
        names = [str(choice) for choice in choices]
        raise fail(field, "one of " + ", ".join(names), repr(value), nearest(str(value), names))
    return value


def nearest(name: str, names: Iterable[str]) -> str:
    """Return 'Did you mean ...?' for the closest of `names`, or nothing."""
    close = difflib.get_close_matches(name, list(names), n=1, cutoff=0.5)
    return f"Did you mean {close[0]!r}?" if close else ""


def _number(field: str, value: SupportsFloat) -> float:
    try:
        number = float(value)
    except (TypeError, ValueError) as error:
        raise fail(field, "a number", repr(value)) from error
    if math.isnan(number):
        raise fail(field, "a number", "NaN")
    return number


def _vector(field: str, values: Tensor | Iterable[float]) -> Tensor:
    try:
        raw = (
            values.detach()
            if isinstance(values, Tensor)
            else torch.tensor(list(values), dtype=torch.float64, device="cpu")
        )
    except (TypeError, ValueError) as error:
        raise fail(field, "a vector of numbers, one per block", repr(values)) from error
    vector = raw.to(device="cpu", dtype=torch.float64)
    if vector.ndim != 1 or vector.numel() == 0:
        raise fail(field, "a vector with one entry per block", f"shape {tuple(vector.shape)}")
    return vector

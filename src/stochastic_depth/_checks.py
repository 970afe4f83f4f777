"""Validation, used where an object is born and nowhere else.

Each check returns the value in its canonical form or raises `InvalidArgument`
with one sentence: what must hold, what was given, what to do. Torch is imported by the
checks that make tensors alone: the program refuses a misspelt word without it.
"""

import difflib
import math
import numbers
import sys
from collections.abc import Callable, Collection, Iterable, Mapping, Set
from itertools import islice
from typing import TYPE_CHECKING, Any, SupportsFloat, SupportsIndex, TypeGuard, TypeVar

from ._errors import InvalidArgument

if TYPE_CHECKING:
    from torch import Tensor, nn

Choice = TypeVar("Choice")
Kind = TypeVar("Kind")
Function = TypeVar("Function", bound=Callable[..., Any])

PROBABILITY_REMEDY = "Survival is P(block runs): to drop 20 % of the time pass 0.8."

MOST_BLOCKS = 10**6
"""No network is deeper; what is longer is a mistake, or an iterable without an end."""

LARGEST = 2**31 - 1
"""No number of blocks, images or channels is larger."""

LARGEST_SEED = 2**63 - 1
"""torch takes seeds of 64 bits, signed; steps are counted as far."""

LONGEST = 200
"""Characters of a value that a message shows."""


def fail(field: str, requirement: str, value: object, remedy: str = "") -> InvalidArgument:
    """Return the error for `field`; the caller raises it."""
    shown = _shortened(value) if isinstance(value, str) else given(value)
    sentence = f"{field} must be {requirement}; got {shown}."
    return InvalidArgument(f"{sentence} {remedy}".strip())


def given(value: object) -> str:
    """Return what a message says of a value: its repr on one line, or its kind."""
    if isinstance(value, int) and abs(value) >= 10**20:
        return f"a whole number of about {int(value.bit_length() * math.log10(2)) + 1} digits"
    if _is_tensor(value):
        return f"a tensor of shape {tuple(value.shape)}, {value.dtype} on {value.device}"
    try:
        text = " ".join(repr(value).split())
    except Exception:  # whatever a foreign class raises, or an integer too long to write
        return f"a value of type {type(value).__name__}"
    return _shortened(text)


def _shortened(text: str) -> str:
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}..."


def probability(field: str, value: SupportsFloat) -> float:
    """Return `value` as a float in [0, 1]."""
    return interval(field, value, 0.0, 1.0, remedy=PROBABILITY_REMEDY)


def interval(
    field: str, value: SupportsFloat, low: float, high: float, *, remedy: str = ""
) -> float:
    """Return `value` as a float in [low, high]."""
    number = _not_nan(field, value)
    if not low <= number <= high:
        raise fail(field, f"in [{low:g}, {high:g}]", f"{number:g}", remedy)
    return number


def inside(field: str, value: SupportsFloat, low: float, high: float, *, remedy: str = "") -> float:
    """Return `value` as a float strictly between `low` and `high`."""
    number = _not_nan(field, value)
    if not low < number < high:
        raise fail(field, f"strictly between {low:g} and {high:g}", f"{number:g}", remedy)
    return number


def positive(field: str, value: SupportsFloat, *, remedy: str = "") -> float:
    """Return `value` as a positive finite float."""
    number = _not_nan(field, value)
    if not (math.isfinite(number) and number > 0):
        raise fail(field, "positive and finite", f"{number:g}", remedy)
    return number


def real(field: str, value: SupportsFloat, *, remedy: str = "") -> float:
    """Return `value` as a finite float."""
    number = _number(field, value)
    if not math.isfinite(number):
        raise fail(field, "finite", f"{number:g}", remedy)
    return number


def count(
    field: str, value: SupportsIndex, *, least: int = 1, most: int = LARGEST, remedy: str = ""
) -> int:
    """Return `value` as an integer in [least, most]."""
    number = _scalar(field, value)
    if isinstance(number, bool) or not isinstance(number, numbers.Integral):
        raise fail(field, "an integer", given(value))
    number = int(number)
    if number < least:
        raise fail(field, f"at least {least}", number)
    if number > most:
        raise fail(field, f"at most {most}", number, remedy)
    return number


def seed_or_step(field: str, value: SupportsIndex) -> int:
    """Return a seed, or the number of a step, as an integer in [0, 2^63)."""
    return count(field, value, least=0, most=LARGEST_SEED)


def instance(field: str, value: Kind, kind: type, requirement: str) -> Kind:
    """Return `value` if it is a `kind`."""
    if not isinstance(value, kind):
        raise fail(field, requirement, given(value))
    return value


def flag(field: str, value: bool) -> bool:
    """Return `value` if it is True or False."""
    return instance(field, value, bool, "True or False")


def network(field: str, value: "nn.Module") -> "nn.Module":
    """Return `value` if it is a network."""
    from torch import nn

    return instance(field, value, nn.Module, "a torch.nn.Module")


def function(field: str, value: Function, requirement: str = "a function") -> Function:
    """Return `value` if it can be called."""
    if not callable(value):
        raise fail(field, requirement, given(value))
    return value


def probabilities(field: str, values: "Tensor | Iterable[float]") -> "Tensor":
    """Return `values` as a float64 vector (L,) with entries in [0, 1]."""
    vector = _vector(field, values)
    bad = ~((vector >= 0) & (vector <= 1))
    if bad.any():
        index = int(bad.nonzero()[0])
        raise fail(
            f"{field}[{index}]", "in [0, 1]", f"{float(vector[index]):g}", PROBABILITY_REMEDY
        )
    return vector


def finite(field: str, values: "Tensor | Iterable[float]") -> "Tensor":
    """Return `values` as a finite float64 vector (L,)."""
    vector = _vector(field, values)
    if not vector.isfinite().all():
        index = int((~vector.isfinite()).nonzero()[0])
        raise fail(f"{field}[{index}]", "finite", f"{float(vector[index]):g}")
    return vector


def costs(values: "Tensor | Iterable[float] | None", num_blocks: int) -> "Tensor":
    """Return block costs relative to the largest, float64 (L,); `None` means all equal.

    A block may cost nothing, but not every block: a share of nothing has no meaning.
    """
    import torch

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


def mask(field: str, values: "Tensor | Iterable[bool] | None", num_blocks: int) -> "Tensor":
    """Return a boolean vector (L,); `None` means all False."""
    import torch

    if values is None:
        return torch.zeros(num_blocks, dtype=torch.bool, device="cpu")
    if not _is_tensor(values):
        marks = entries(field, values, "a boolean vector")
        # numpy has a bool of its own
        if not all(str(getattr(mark, "dtype", type(mark).__name__)) == "bool" for mark in marks):
            raise fail(field, "a boolean vector", given(values))
        values = torch.tensor([bool(mark) for mark in marks], dtype=torch.bool, device="cpu")
    if values.dtype != torch.bool:
        raise fail(field, "a boolean vector", str(values.dtype))
    return same_length(field, _plain(field, values).cpu(), num_blocks)


def entries(field: str, values: Any, requirement: str) -> list[Any]:
    """Return the entries of an ordered iterable; a text, a set and a mapping are none."""
    shape = tuple(getattr(values, "shape", (0,)))
    if len(shape) != 1:
        raise fail(field, requirement, f"shape {shape}")
    unordered = isinstance(values, (str, bytes, bytearray, memoryview, Mapping, Set))
    if unordered or not isinstance(values, Iterable):
        raise fail(field, requirement, given(values))
    row = list(islice(values, MOST_BLOCKS + 1))
    if len(row) > MOST_BLOCKS:
        raise fail(field, requirement, f"more than {MOST_BLOCKS} entries")
    return row


def pairs(field: str, values: Iterable[tuple[Any, Any]], requirement: str) -> list[tuple[Any, Any]]:
    """Return an ordered iterable of pairs as a list."""
    row = entries(field, values, requirement)
    for index, pair in enumerate(row):
        if not isinstance(pair, (tuple, list)) or len(pair) != 2:
            raise fail(f"{field}[{index}]", "a pair", given(pair))
    return [(first, second) for first, second in row]


def same_length(field: str, vector: "Tensor", num_blocks: int) -> "Tensor":
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
    if not any(type(value) is type(choice) and value == choice for choice in choices):
        names = [str(choice) for choice in choices]
        close = nearest(value, names) if isinstance(value, str) else ""
        raise fail(field, "one of " + ", ".join(names), given(value), close)
    return value


def nearest(name: str, names: Iterable[str]) -> str:
    """Return 'Did you mean ...?' for the closest of `names`, or nothing."""
    close = difflib.get_close_matches(name, list(names), n=1, cutoff=0.5)
    return f"Did you mean {close[0]!r}?" if close else ""


def _number(field: str, value: SupportsFloat, *, remedy: str = "") -> float:
    """Return a real number as a float; a truth value, a text or an array is none."""
    number = _scalar(field, value)
    if isinstance(number, bool) or not isinstance(number, numbers.Real):
        raise fail(field, "a number", given(value), remedy)
    try:
        return float(number)
    except OverflowError:
        raise fail(field, "a number that a float can hold", given(value)) from None


def _not_nan(field: str, value: SupportsFloat) -> float:
    number = _number(field, value)
    if math.isnan(number):
        raise fail(field, "a number", "NaN")
    return number


def _is_tensor(value: object) -> "TypeGuard[Tensor]":
    # There is none before torch is imported.
    return "torch" in sys.modules and isinstance(value, sys.modules["torch"].Tensor)


def _scalar(field: str, value: Any) -> Any:
    """Return what an array or tensor without dimensions holds; other values as they are."""
    if _is_tensor(value):
        value = _plain(field, value)
    return value.item() if getattr(value, "ndim", None) == 0 else value


def _vector(field: str, values: "Tensor | Iterable[float]") -> "Tensor":
    import torch

    requirement = "a vector of numbers, one per block"
    if _is_tensor(values):
        if values.dtype == torch.bool or values.is_complex():
            raise fail(field, requirement, given(values))
        vector = _plain(field, values).to(device="cpu", dtype=torch.float64)
    else:
        remedy = "Pass a vector with one entry per block."
        numbered = enumerate(entries(field, values, requirement))
        row = [_number(f"{field}[{i}]", entry, remedy=remedy) for i, entry in numbered]
        vector = torch.tensor(row, dtype=torch.float64, device="cpu")
    if vector.ndim != 1 or vector.numel() == 0:
        raise fail(field, "a vector with one entry per block", f"shape {tuple(vector.shape)}")
    return vector


def _plain(field: str, values: "Tensor") -> "Tensor":
    """Return a tensor detached; one without numbers, or with most of them left out, is refused."""
    import torch

    if values.is_meta or values.is_nested or values.layout != torch.strided:
        kind = "meta" if values.is_meta else "nested" if values.is_nested else str(values.layout)
        raise fail(field, "a dense tensor that holds numbers", f"a {kind} tensor")
    return values.detach()

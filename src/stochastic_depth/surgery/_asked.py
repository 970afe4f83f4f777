"""From what the user asks for to the law of the gates."""

from collections.abc import Callable, Iterable
from numbers import Real
from typing import Any, SupportsFloat

import torch
from torch import Tensor, nn

from .. import budgets, schedules
from .._checks import fail, given, probabilities, same_length
from .._typing import Probabilities
from ..budgets._target import warn_of_what_is_left
from ..gates import Bernoulli, Law, Rescale
from ._takeover import LAYER_DROP, Rate, own_rates
from .following import Anatomy

Survival = Law | Tensor | Iterable[float] | Callable[..., Any] | None
"""A law; probabilities (L,); a schedule, L -> (L,); with a budget a family of schedules,
float -> schedule; or None for the drop rates that the model was built with."""


def scheduled(
    model: nn.Module, anatomy: Anatomy, survival: Survival, budget: float | None
) -> Probabilities:
    """Return the survival probabilities asked for, before protected blocks are set to 1.

    A schedule runs over the depth of the network: the branches of one block have equal
    probabilities, as in torchvision and timm.
    """
    if budget is not None:
        return _budgeted(anatomy, survival, budget)
    if survival is None:
        return _built_in(model, anatomy)
    if isinstance(survival, Law):
        return survival.survival
    if callable(survival):
        return _over_depth(anatomy, survival)(len(anatomy.blocks))
    if isinstance(survival, Real) and not isinstance(survival, bool):
        requirement = "a schedule, or a vector with one entry per block"
        raise fail("survival", requirement, f"{survival}", _meant(survival))
    p = probabilities("survival", survival)
    return same_length("survival", p, len(anatomy.blocks))


def law_of(anatomy: Anatomy, survival: Survival, p: Probabilities, rescale: Rescale) -> Law:
    """Return the law of the gates: the one given, or independent gates with probabilities `p`."""
    if isinstance(survival, Law):
        return survival
    return Bernoulli(p.masked_fill(anatomy.protected, 1.0), rescale)


def _budgeted(anatomy: Anatomy, family: Survival, budget: float) -> Probabilities:
    family = schedules.uniform if family is None else family
    if isinstance(family, Law | schedules.Schedule) or not callable(family):
        requirement = "a family of schedules, such as schedules.linear, beside a budget"
        raise fail("survival", requirement, given(family))
    costs = [block.cost for block in anatomy.blocks]
    p = budgets.fit(
        lambda parameter: _over_depth(anatomy, family(parameter)),
        len(anatomy.blocks),
        budget,
        costs=costs,
        protected=anatomy.protected,
    )(len(anatomy.blocks))
    warn_of_what_is_left(p, costs, anatomy.protected, budget)
    return p


def _meant(number: SupportsFloat) -> str:
    """Return the schedules that a number may stand for: other libraries take what drops."""
    p = float(number)
    if not 0 <= p <= 1:
        return "Example: schedules.linear(0.8)."
    return (
        f"For a drop rate of {p:g} pass schedules.linear({1 - p:g}); for a survival of {p:g} "
        f"schedules.linear({p:g}), or schedules.uniform({p:g}) for all blocks alike."
    )


def _over_depth(
    anatomy: Anatomy, schedule: Callable[[int], Probabilities]
) -> Callable[[int], Probabilities]:
    repeats = torch.tensor(anatomy.depth, device="cpu")

    def repeated(_: int) -> Probabilities:
        p = probabilities("survival", schedule(len(repeats)))
        return same_length("survival", p, len(repeats)).repeat_interleave(repeats)

    return repeated


def _built_in(model: nn.Module, anatomy: Anatomy) -> Probabilities:
    rates = own_rates(model)
    if not rates:
        remedy = "Pass a schedule, such as schedules.linear(0.8), or a budget."
        raise fail("survival", "given for a model built without drop rates", None, remedy)
    masks = {rate.path: rate.value for rate in rates if not LAYER_DROP.match(rate.name)}
    layers = [rate for rate in rates if LAYER_DROP.match(rate.name)]
    drop = torch.zeros(len(anatomy.blocks), dtype=torch.float64, device="cpu")
    for index, (unit, _, branches) in enumerate(anatomy.governed):
        paths = [f"{unit.path}.{site}" for branch in branches for site in branch.sites]
        found = {masks.get(path, 0.0) for path in paths}
        if len(found) > 1:
            requirement = f"one drop rate for all masks of {unit.path}"
            raise fail("survival", requirement, sorted(found), "Use granularity='branch'.")
        drop[index] = max(found, default=0.0) or _layer_drop(unit.path, layers)
    return 1 - drop


def _layer_drop(path: str, rates: list[Rate]) -> float:
    """Return the rate at which a model would leave out the layer at `path`."""
    for rate in sorted(rates, key=lambda rate: len(rate.path), reverse=True):
        side = rate.name.partition("_layer")[0] if rate.name.count("_") else ""
        inside = rate.path == "" or path.startswith(f"{rate.path}.")
        if inside and (side not in ("encoder", "decoder") or f"{side}." in f"{path}."):
            return rate.value
    return 0.0

"""How a run is told its stochastic depth, and the schedule, curriculum and law it names."""

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal, get_args

import torch
from torch import Tensor

from .. import budgets, curricula, gates, schedules
from .._checks import (
    count,
    fail,
    function,
    instance,
    one_of,
    probabilities,
    probability,
    same_length,
)
from .._typing import Mask, Probabilities
from ..budgets._target import warn_of_what_is_left
from ..schedules._depth import LinearRule
from ..surgery import Handle, Scale
from ._component import Component

NAMED = {
    "schedule": (
        "uniform", "linear", "power", "cosine", "exponential", "fixed", "sense", "auto"
    ),
    "curriculum": ("constant", "warmup", "progressive", "early", "late", "piecewise"),
    "law": ("bernoulli", "fixed-depth"),
}  # fmt: skip
"""What has a name; everything else is given by its import path."""

Moving = Callable[[float], Tensor | float] | float
"""Progress in [0, 1] -> survival probabilities (L,), or one for all blocks; or that one."""

# Which choice each of the further arguments belongs to.
BELONGS = {
    "exponent": ("schedule", ("power",)),
    "probabilities": ("schedule", ("fixed",)),
    "until": ("curriculum", ("warmup", "early")),
    "start": ("curriculum", ("late",)),
    "sharpness": ("curriculum", ("progressive",)),
    "points": ("curriculum", ("piecewise",)),
}

LARGE_BUDGET = 0.5
"""From here on a budget is large, in the budget hypothesis of Hayou & Ayed."""


@dataclass(frozen=True)
class DepthConfig:
    """Stochastic depth of a run.

    Args:
        enabled: whether depth is random; false trains at constant depth.
        schedule: `"uniform"`, `"linear"`, `"power"`, `"cosine"`, `"exponential"`, `"fixed"`,
            `"sense"` (survival in proportion to sensitivities, see `budgets.sense`), or `"auto"`:
            uniform for a budget of at least 1/2, sense below. Or the import path of a family of
            schedules: what makes a schedule, L -> (L,), from one number in [0, 1].
        last: survival probability of the last block, in [0, 1]; of every block for
            `"uniform"`; the number given to a family of one's own. Left out when `budget` or
            `probabilities` is given.
        rule: which linear schedule: `"huang"`, `"linspace"` or `"offset"`.
        exponent: of the `"power"` schedule, positive.
        probabilities: of the `"fixed"` schedule, one per block.
        budget: expected active share of the blocks in (0, 1], in place of `last`.
        minimum: for sensitivities, the smallest survival probability; None is 0.
        sense_batches: training batches over which sensitivities are averaged.
        interval: for sensitivities, steps between two estimates of them, each of which
            refits the schedule; None estimates them once, at the initial weights.
        curriculum: how the probabilities move in training: `"constant"`, `"warmup"`,
            `"progressive"`, `"early"`, `"late"` or `"piecewise"`, see `curricula`; or the
            import path of what makes a curriculum from the probabilities (L,).
        until: share of training, for `"warmup"` and `"early"`.
        start: share of training, for `"late"`.
        sharpness: positive, for `"progressive"`.
        points: pairs (share of training, intensity), for `"piecewise"`.
        law: `"bernoulli"`, or `"fixed-depth"` for equally many blocks in every step; or the
            import path of what makes a law from the probabilities (L,) and `rescale`.
        per: what shares a draw: `"batch"`, `"sample"` or `"subset"`.
        rescale: `"train"`, `"test"` (Huang et al.) or `"none"`.
        scale: what a gate scales: the whole change of its `"block"`, or each `"branch"` of it
            apart; see `apply`.
        dropped_grads: gradient of a dropped block: `"none"`, or `"zero"` (Huang et al.),
            under which weight decay and momentum still move it.
        ranks: whether processes that train together have `"shared"` gates or `"independent"`
            ones; None shares those of `per="batch"` alone.
        transitions: `"protect"` or `"drop"` blocks whose shortcut is a projection.
        execution: `"auto"`, `"mask"`, `"skip"` or `"gather"`.

    Raises:
        InvalidArgument: an argument out of range, missing, or contradicting another.

    Example:
        >>> DepthConfig(last=0.5, rescale="test").survival(num_blocks=4)
        tensor([0.8750, 0.7500, 0.6250, 0.5000], dtype=torch.float64)
    """

    enabled: bool = True
    schedule: str = "linear"
    last: float | None = None
    rule: LinearRule = "huang"
    exponent: float | None = None
    probabilities: tuple[float, ...] | None = None
    budget: float | None = None
    minimum: float | None = None
    sense_batches: int = 4
    interval: int | None = None
    curriculum: str = "constant"
    until: float | None = None
    start: float | None = None
    sharpness: float | None = None
    points: tuple[tuple[float, float], ...] | None = None
    law: str = "bernoulli"
    per: gates.Per = "batch"
    rescale: gates.Rescale = "train"
    scale: Scale = "block"
    dropped_grads: Literal["none", "zero"] = "none"
    ranks: Literal["shared", "independent"] | None = None
    transitions: Literal["protect", "drop"] = "protect"
    execution: Literal["auto", "mask", "skip", "gather"] = "auto"

    def __post_init__(self) -> None:
        for choice, names in NAMED.items():
            value = getattr(self, choice)
            if isinstance(value, str) and "." in value:
                self._own(choice)  # a path that leads nowhere is refused at birth
            else:
                one_of(f"depth.{choice}", value, names)
        one_of("depth.scale", self.scale, get_args(Scale))
        for name, (choice, values) in BELONGS.items():
            given = getattr(self, name)
            if (given is not None) != (getattr(self, choice) in values):
                requirement = f"given exactly when {choice} is {' or '.join(values)}"
                raise fail(f"depth.{name}", requirement, given)
        self._check_level()
        self._check_sense()
        # The rest is checked by what it is the argument of.
        if self.last is not None:
            self.family(self.last)
        self.curriculum_of(0.5)

    def _check_level(self) -> None:
        levels = {name: getattr(self, name) for name in ("last", "budget", "probabilities")}
        given = {name: value for name, value in levels.items() if value is not None}
        if len(given) != 1:
            requirement = f"given by exactly one of {', '.join(levels)}"
            raise fail("depth", requirement, given or "none of them", "Pass null for the others.")

    def _check_sense(self) -> None:
        count("depth.sense_batches", self.sense_batches)
        by_sensitivity = self.chosen == "sense"
        if self.schedule in ("sense", "auto") and self.budget is None:
            raise fail("depth.budget", f"given with schedule {self.schedule}", None)
        for name in ("minimum", "interval"):
            if getattr(self, name) is not None and not by_sensitivity:
                requirement = "left out unless the schedule goes by sensitivities"
                raise fail(f"depth.{name}", requirement, getattr(self, name))
        if self.minimum is not None:
            probability("depth.minimum", self.minimum)
        if self.interval is not None:
            count("depth.interval", self.interval)
            if self.curriculum != "constant":
                requirement = "constant beside depth.interval, which moves the schedule itself"
                raise fail("depth.curriculum", requirement, repr(self.curriculum))

    @property
    def independent(self) -> bool:
        """Whether each of several processes draws gates of its own."""
        return self.per != "batch" if self.ranks is None else self.ranks == "independent"

    @property
    def chosen(self) -> str:
        """The schedule, where `"auto"` leaves the choice to the budget."""
        if self.schedule != "auto":
            return self.schedule
        return "uniform" if (self.budget or 0.0) >= LARGE_BUDGET else "sense"

    @property
    def reason(self) -> str:
        """Why `"auto"` chooses what it does."""
        large = self.chosen == "uniform"
        why = (
            "uniform has the largest expected regulariser at initialisation"
            if large
            else "few blocks run, and those that the loss depends on should be among them"
        )
        return (
            f"auto chose {self.chosen} because the budget {self.budget:g} is "
            f"{'at least' if large else 'below'} {LARGE_BUDGET:g}: {why} (the budget hypothesis "
            "of Hayou & Ayed 2021, section 5; an empirical rule, not a theorem)"
        )

    def survival(
        self,
        num_blocks: int,
        protected: Mask | None = None,
        sensitivities: Tensor | None = None,
    ) -> Probabilities:
        """Return the probabilities the schedule and the budget ask for.

        Args:
            num_blocks: L, at least 1.
            protected: blocks (L,) that always run; they count towards the budget.
            sensitivities: of the blocks (L,), for the schedule `"sense"`.

        Returns:
            float64 tensor (L,), protected blocks at 1.

        Raises:
            InfeasibleBudget: the schedule cannot meet the budget.
            InvalidArgument: sensitivities are all zero, or needed and not given.

        Warns:
            UserWarning: the droppable blocks survive with less than half of the budget.
        """
        if self.chosen == "sense" and self.budget is not None:
            if sensitivities is None:
                raise fail("sensitivities", "given for the schedule 'sense'", None)
            p = budgets.sense(sensitivities, self.budget, self.minimum or 0.0, protected=protected)
        elif self.last is not None:
            p = self.family(self.last)(num_blocks)
        elif self.budget is not None:
            p = budgets.fit(self.family, num_blocks, self.budget, protected=protected)(num_blocks)
        else:
            p = schedules.fixed(self.probabilities or ())(num_blocks)
        if protected is None:
            return p
        if self.budget is not None:
            warn_of_what_is_left(p, [1.0] * num_blocks, protected, self.budget)
        return p.masked_fill(protected, 1.0)

    def curriculum_of(self, p: Tensor | float) -> curricula.Curriculum:
        """Return the curriculum that leads to (or away from) the probabilities `p`."""
        kinds: dict[str, tuple[Callable[..., curricula.Curriculum], Any]] = {
            "warmup": (curricula.warmup, self.until),
            "progressive": (curricula.progressive, self.sharpness),
            "early": (curricula.early, self.until),
            "late": (curricula.late, self.start),
            "piecewise": (curricula.piecewise, self.points),
        }
        if self.curriculum == "constant":
            return curricula.constant(p)
        if self.curriculum not in kinds:
            # One piece that lasts the whole training: what it returns is checked like any other.
            return curricula.sequential((1.0, self._own("curriculum").build(p)))
        kind, argument = kinds[self.curriculum]
        return kind(p, argument)

    def _own(self, choice: str) -> Component:
        """Return what makes a curriculum, a schedule or a law of somebody's own.

        A function of Python need not say what it returns.
        """
        component = Component(getattr(self, choice))
        if inspect.isfunction(component.target):
            return component
        kind = gates.Law if choice == "law" else Callable
        return component.require(f"depth.{choice}", kind, f"what makes a {choice}")

    def law_of(self, p: Probabilities) -> gates.Law:
        """Return the law of gates with the survival probabilities `p`."""
        if self.law not in NAMED["law"]:
            law = self._own("law").build(p, rescale=self.rescale)
            return instance("depth.law", law, gates.Law, "the import path of what makes a law")
        kind = gates.Bernoulli if self.law == "bernoulli" else gates.FixedDepth
        return kind(p, rescale=self.rescale)

    def _own_family(self, number: float) -> Callable[[int], Probabilities]:
        schedule = self._own("schedule").build(probability("depth.last", number))
        schedule = function("depth.schedule", schedule, "the import path of a family of schedules")

        def checked(num_blocks: int) -> Probabilities:
            p = probabilities("survival", schedule(num_blocks))
            return same_length("survival", p, num_blocks)

        return checked

    @property
    def family(self) -> Callable[[float], Callable[[int], Probabilities]]:
        """The schedules that a survival probability in [0, 1] picks one of."""
        if self.schedule not in NAMED["schedule"]:
            return self._own_family
        if self.schedule == "linear":
            return partial(schedules.linear, rule=self.rule)
        if self.schedule == "power":
            return partial(schedules.power, exponent=self.exponent or 0.0)
        by_name: dict[str, Callable[[float], schedules.Schedule]] = {
            "uniform": schedules.uniform,
            "exponential": schedules.exponential,
        }
        return by_name.get(self.chosen, schedules.cosine)


def set_survival(handle: Handle, curriculum: Moving, progress: float) -> None:
    """Set the probabilities of a model to those of a curriculum.

    Args:
        handle: of the model.
        curriculum: anything that gives probabilities, or one for all blocks.
        progress: share of training that is done; beyond 1 it counts as 1.
    """
    p = curriculum(min(1.0, progress)) if callable(curriculum) else curriculum
    vector = torch.as_tensor(p, dtype=torch.float64)
    handle.survival = vector.expand(len(handle.blocks)) if vector.ndim == 0 else vector

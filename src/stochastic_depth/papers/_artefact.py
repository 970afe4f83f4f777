"""A figure or table of a paper: what it states, how to measure it, and whether the two agree."""

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
import polars as pl
from numpy.typing import ArrayLike

from .._checks import fail, interval, one_of
from .._errors import InvalidArgument
from ..experiments import anytime_reach, reach
from ..reports import Figure

Relation = Literal["=", "<=", ">="]

Verdict = Literal["held", "not held", "cannot tell", "not measured"]

MOST_DRAWS = 10**6
"""That are still told as what would decide a claim."""


@dataclass(frozen=True)
class Measurement:
    """A measured number and how well it is known.

    Args:
        value: the number, finite.
        standard_error: its standard error; 0 for one that is computed, not estimated.
        n: how many independent draws it rests on; None for one that is computed.
    """

    value: float
    standard_error: float = 0.0
    n: int | None = None

    def __post_init__(self) -> None:
        for name in ("value", "standard_error"):
            if not math.isfinite(getattr(self, name)):
                raise fail(name, "finite", getattr(self, name))

    @classmethod
    def of(cls, draws: ArrayLike) -> "Measurement":
        """Return the mean of independent draws and its standard error.

        Args:
            draws: numbers, at least two.

        Example:
            >>> Measurement.of([1.0, 2.0, 6.0])
            Measurement(value=3.0, standard_error=1.52..., n=3)
        """
        numbers = np.asarray(draws, dtype=np.float64)
        if len(numbers) < 2:
            raise fail("draws", "at least two, to know how well their mean is", len(numbers))
        error = float(numbers.std(ddof=1)) / math.sqrt(len(numbers))
        return cls(float(numbers.mean()), error, len(numbers))

    @property
    def reach(self) -> float:
        """Half the width of the 95 % confidence interval, as of every comparison: `reach`."""
        return reach(self.standard_error, math.inf if self.n is None else self.n)

    @property
    def anytime_reach(self) -> float:
        """Half the width of an interval that holds however often one looks: `anytime_reach`."""
        return anytime_reach(self.standard_error, math.inf if self.n is None else self.n)


@dataclass(frozen=True)
class Claim:
    """One number of a paper, and what counts as agreement with it.

    Args:
        name: what is claimed, in a few words; unique within its artefact.
        expected: the number.
        source: where it is printed, or from what it follows.
        tolerance: a measurement this close to `expected` agrees; chosen beforehand.
        relation: `"="`, or `"<="` and `">="` for claims with one side.
    """

    name: str
    expected: float
    source: str
    tolerance: float = 0.0
    relation: Relation = "="

    def __post_init__(self) -> None:
        one_of("relation", self.relation, get_args(Relation))
        interval("tolerance", self.tolerance, 0.0, math.inf)

    def verdict(self, measurement: Measurement | None, *, anytime: bool = False) -> Verdict:
        """Compare the interval of what was measured with what agrees.

        The claim held if all values that the measurement leaves possible agree, it did
        not hold if none does, and otherwise this measurement cannot tell.

        Args:
            measurement: of it; None if there is none.
            anytime: whether one looks again with more draws until it is decided; the interval is
                then one that holds at all looks together.
        """
        if measurement is None:
            return "not measured"
        reach = measurement.anytime_reach if anytime else measurement.reach
        if self._agrees(measurement.value - reach) and self._agrees(measurement.value + reach):
            return "held"
        return "cannot tell" if self._overlaps(measurement.value, reach) else "not held"

    def needs(self, measurement: Measurement) -> int | None:
        """Return about how many draws would decide the claim, were the mean and spread as here.

        None where the mean is on the edge of what agrees, or nobody knows how it was drawn.
        """
        distance = min(abs(measurement.value - edge) for edge in self._region)
        if not measurement.n or not distance:
            return None
        spread = measurement.standard_error * math.sqrt(measurement.n)
        draws = measurement.n
        while anytime_reach(spread / math.sqrt(draws), draws) > distance:
            draws = math.ceil(1.02 * draws)
            if draws > MOST_DRAWS:
                return None
        return draws

    def record(self, measurement: Measurement | None, *, anytime: bool = False) -> dict[str, Any]:
        """Return the claim beside its measurement, as written to `result.json`."""
        verdict = self.verdict(measurement, anytime=anytime)
        return {
            "name": self.name,
            "relation": self.relation,
            "expected": self.expected,
            "source": self.source,
            "measured": None if measurement is None else measurement.value,
            "standard_error": None if measurement is None else measurement.standard_error,
            "n": None if measurement is None else measurement.n,
            "tolerance": self.tolerance,
            "holds": {"held": True, "not held": False}.get(verdict),
            "verdict": verdict,
        }

    @property
    def _region(self) -> tuple[float, float]:
        low = -math.inf if self.relation == "<=" else self.expected - self.tolerance
        high = math.inf if self.relation == ">=" else self.expected + self.tolerance
        return low, high

    def _agrees(self, value: float) -> bool:
        low, high = self._region
        return low <= value <= high

    def _overlaps(self, value: float, reach: float) -> bool:
        low, high = self._region
        return value + reach >= low and value - reach <= high


Profile = Literal["smoke", "cpu", "paper"]
"""`"smoke"`: seconds, shows that it runs; `"cpu"`: minutes to an hour on two cores;
`"paper"`: the paper's own size."""


@dataclass(frozen=True)
class Context:
    """What a run is given besides its settings.

    Args:
        seed: all randomness of the run is a function of it.
        track: passes an iterable on while showing how far it is, given a description.
        directory: where training runs are kept, and found again by a later call; None
            throws them away.
        data: folder that holds the named data set; None downloads it where it is needed.
    """

    seed: int = 0
    track: Callable[[Iterable[Any], str], Iterable[Any]] = lambda items, description: items
    directory: Path | None = None
    data: Path | None = None


@dataclass(frozen=True)
class Outcome:
    """What a run found.

    Args:
        measurements: by the name of the claim they belong to. A claim without one is
            reported as not measured.
        data: the numbers behind the figure.
        figure: the figure; its name is not used, its files are called `figure`.
        notes: what a reader of the numbers has to know, one sentence each.
    """

    measurements: Mapping[str, Measurement]
    data: pl.DataFrame
    figure: Figure
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Artefact:
    """A figure or table of a paper.

    Args:
        name: `PAPER/NAME`, after the variable that holds it and the folder of its module.
        source: where it is printed.
        claims: what the paper states about it.
        profiles: settings of each size; a frozen dataclass that `run` understands.
        run: measures: `run(settings, context) -> Outcome`.
        measured_at: the profiles that are large enough to say anything about the claims;
            at the others, every claim is reported as not measured.
    """

    name: str
    source: str
    claims: tuple[Claim, ...]
    profiles: Mapping[Profile, Any]
    run: Callable[[Any, Context], Outcome]
    measured_at: frozenset[Profile] = field(default=frozenset({"cpu", "paper"}))

    def __post_init__(self) -> None:
        names = [claim.name for claim in self.claims]
        if len(set(names)) != len(names):
            raise InvalidArgument(f"claims of {self.name} must have different names; got {names}.")

    def settings(self, profile: Profile) -> Any:
        """Return the settings of a profile."""
        return self.profiles[one_of("profile", profile, tuple(self.profiles))]

    def judged(
        self, outcome: Outcome, profile: Profile, *, anytime: bool = False
    ) -> list[dict[str, Any]]:
        """Return every claim beside its measurement; `anytime` as in `Claim.verdict`."""
        measured = outcome.measurements if profile in self.measured_at else {}
        strange = set(outcome.measurements) - {claim.name for claim in self.claims}
        if strange:
            raise InvalidArgument(f"{self.name} measured what it does not claim: {min(strange)!r}.")
        return [c.record(measured.get(c.name), anytime=anytime) for c in self.claims]

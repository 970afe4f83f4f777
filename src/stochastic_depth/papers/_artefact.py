"""A figure or table of a paper: its claims, its sizes, and the run that measures them."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import polars as pl

from .._checks import one_of
from .._errors import InvalidArgument
from ..reports import Figure
from ._claim import Claim, Measurement

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
        name: `PAPER/NAME`, after its file; the first line of that file is the title.
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

    def judged(self, outcome: Outcome, profile: Profile) -> list[dict[str, Any]]:
        """Return every claim beside its measurement."""
        measured = outcome.measurements if profile in self.measured_at else {}
        strange = set(outcome.measurements) - {claim.name for claim in self.claims}
        if strange:
            raise InvalidArgument(f"{self.name} measured what it does not claim: {min(strange)!r}.")
        return [claim.record(measured.get(claim.name)) for claim in self.claims]

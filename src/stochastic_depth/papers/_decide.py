"""More seeds until every claim is decided, by a rule whose error holds however often one looks."""

import time
from collections.abc import Mapping
from dataclasses import fields, is_dataclass, replace
from typing import Any

from .._checks import fail, positive
from ._artefact import Artefact, Claim, Context, Outcome, Profile
from ._reproduce import Result, recorded

LEAST = 5
"""Seeds of the first look: fewer decide nothing, see `experiments.anytime_reach`."""


def decide(
    artefact: Artefact,
    profile: Profile = "cpu",
    context: Context | None = None,
    *,
    hours: float,
) -> Result:
    """Reproduce an artefact with one seed more at a time, until all its claims are decided.

    After each seed every claim is judged by an interval that holds at all looks together
    (`experiments.anytime_reach`): a claim that is decided is decided wrongly in at most one case
    of twenty, as if one had looked once. It ends when no claim is left that cannot be told, or
    when the time is over; the notes say how many seeds would then decide the others.

    Seeds are those of `reproduce`, from the first: where the runs are kept in
    `context.directory`, each is trained once, and the same call goes on after it was stopped.

    Args:
        artefact: one whose settings say how many seeds are drawn.
        profile: at which size; one at which claims are measured.
        context: as for `reproduce`.
        hours: after which no other seed is begun, positive.

    Raises:
        InvalidArgument: it does not draw seed by seed, or measures nothing at this size.
    """
    positive("hours", hours)
    context = Context() if context is None else context
    settings = artefact.settings(profile)
    if profile not in artefact.measured_at:
        raise fail("profile", f"one of {', '.join(sorted(artefact.measured_at))}", profile)
    drawn = _seeds(settings)
    if not drawn:
        raise fail(
            "artefact", "one that draws seed by seed, to be decided", artefact.name,
            "Reproduce it with --until measured.",
        )  # fmt: skip
    start, number = time.perf_counter(), max(LEAST, *drawn)
    while True:
        chosen = _with_seeds(settings, number)
        outcome = artefact.run(chosen, context)
        seconds = time.perf_counter() - start
        if seconds > 3600 * hours or not _open(artefact, outcome):
            break
        number += 1
    told = replace(outcome, notes=(*outcome.notes, *_remarks(artefact, outcome, number)))
    return recorded(artefact, profile, context, chosen, told, seconds, anytime=True)


def _open(artefact: Artefact, outcome: Outcome) -> list[Claim]:
    """Return the claims that cannot be told."""
    measured = outcome.measurements
    verdicts = ((c, c.verdict(measured.get(c.name), anytime=True)) for c in artefact.claims)
    return [claim for claim, verdict in verdicts if verdict == "cannot tell"]


def _remarks(artefact: Artefact, outcome: Outcome, number: int) -> tuple[str, ...]:
    left = _open(artefact, outcome)
    needed = {claim.name: claim.needs(outcome.measurements[claim.name]) for claim in left}
    return (
        f"Judged after each of {number} seeds, by intervals that hold at all looks together.",
        *(
            f"{name}: about {seeds:,} seeds would decide it, were it as it looks now."
            if seeds
            else f"{name}: it lies on the edge of what agrees, and no number of seeds would tell."
            for name, seeds in needed.items()
        ),
    )


def _seeds(settings: Any) -> list[int]:
    """Return how many seeds each part of some settings draws."""
    if isinstance(settings, Mapping):
        return [seeds for part in settings.values() for seeds in _seeds(part)]
    if not is_dataclass(settings):
        return []
    own = [settings.seeds] if hasattr(settings, "seeds") else []
    return own + [seeds for f in fields(settings) for seeds in _seeds(getattr(settings, f.name))]


def _with_seeds(settings: Any, seeds: int) -> Any:
    if isinstance(settings, Mapping):
        return {name: _with_seeds(part, seeds) for name, part in settings.items()}
    if not is_dataclass(settings):
        return settings
    changed = {f.name: _with_seeds(getattr(settings, f.name), seeds) for f in fields(settings)}
    return replace(settings, **changed | ({"seeds": seeds} if "seeds" in changed else {}))  # type: ignore[type-var]

"""Seeds are added until claims are decided, and what that says of them."""

from dataclasses import dataclass, replace

import altair as alt
import numpy as np
import polars as pl
import pytest

from stochastic_depth import papers
from stochastic_depth._errors import InvalidArgument
from stochastic_depth.papers import Artefact, Claim, Measurement, Outcome
from stochastic_depth.reports import Figure


@dataclass(frozen=True)
class Part:
    seeds: int = 2


@dataclass(frozen=True)
class Settings:
    """Draws around two means."""

    part: Part = Part()
    parts: tuple[str, ...] = ()
    effect: float = 1.0


looks: list[int] = []


def run(settings, context):
    looks.append(settings.part.seeds)
    draws = np.random.default_rng(context.seed).standard_normal((100, 2))[: settings.part.seeds]
    data = pl.DataFrame({"x": [1]})
    chart = alt.Chart(data).mark_point().encode(x="x:Q")
    return Outcome(
        {
            "above": Measurement.of(settings.effect + 0.5 * draws[:, 0]),
            "computed": Measurement(3.0),
        },
        data,
        Figure("f", "t", "c", "d", chart),
    )


ARTEFACT = Artefact(
    name="paper/thing",
    source="here",
    claims=(
        Claim("above", 0.0, "here", relation=">="),
        Claim("computed", 3.0, "here"),
        Claim("elsewhere", 1.0, "here"),
    ),
    profiles={"smoke": Settings(), "cpu": Settings()},
    run=run,
)


@pytest.fixture(autouse=True)
def _no_looks():
    looks.clear()


def test_it_stops_at_the_first_look_that_decides():
    result = papers.decide(ARTEFACT, "cpu", papers.Context(seed=3), hours=1)
    verdicts = {claim["name"]: claim["verdict"] for claim in result.claims}
    assert verdicts == {"above": "held", "computed": "held", "elsewhere": "not measured"}
    assert looks == list(range(5, looks[-1] + 1))
    assert len(looks) > 1
    assert result.record["settings"]["part"]["seeds"] == looks[-1]
    # One seed less was not enough: an interval for one look would have been content before.
    before = ARTEFACT.run(replace(Settings(), part=Part(looks[-1] - 1)), papers.Context(seed=3))
    claim = ARTEFACT.claims[0]
    assert claim.verdict(before.measurements["above"], anytime=True) == "cannot tell"
    assert claim.verdict(before.measurements["above"]) == "held"


def test_it_stops_when_the_time_is_over_and_says_what_would_decide():
    none = replace(ARTEFACT, profiles={"cpu": Settings(effect=0.1)})
    result = papers.decide(none, "cpu", hours=1e-9)
    assert looks == [5]
    assert result.claims[0]["verdict"] == "cannot tell"
    note = result.record["notes"][-1]
    assert note.startswith("above: about ")
    needed = int(note.split()[2].replace(",", ""))
    found = result.claims[0]
    spread = found["standard_error"] * found["n"] ** 0.5
    error = Measurement(found["measured"], spread / needed**0.5, needed)
    assert none.claims[0].verdict(error, anytime=True) != "cannot tell"


def test_what_cannot_be_decided_seed_by_seed_is_refused():
    with pytest.raises(InvalidArgument, match="profile must be one of cpu, paper"):
        papers.decide(ARTEFACT, "smoke", hours=1)
    with pytest.raises(InvalidArgument, match="hours must be positive"):
        papers.decide(ARTEFACT, hours=0)
    with pytest.raises(InvalidArgument, match="one that draws seed by seed"):
        papers.decide(papers.load("hayou2021/lemma1"), hours=1)

from dataclasses import dataclass

import altair as alt
import polars as pl
import pytest

from stochastic_depth._errors import InvalidArgument
from stochastic_depth.papers import Artefact, Claim, Context, Measurement, Outcome, reproduce
from stochastic_depth.reports import Figure


@dataclass(frozen=True)
class Settings:
    size: int


def artefact(measurements, claims=("a", "b"), **fields):
    def run(settings, context):
        data = pl.DataFrame({"x": [settings.size], "y": [context.seed]})
        chart = alt.Chart(data).mark_point().encode(x="x:Q", y="y:Q")
        return Outcome(measurements, data, Figure("n", "t", "c", "d", chart), notes=("a note",))

    return Artefact(
        name="paper/name",
        source="table 1",
        claims=tuple(Claim(name, 1.0, "table 1") for name in claims),
        profiles={"smoke": Settings(1), "cpu": Settings(2)},
        run=run,
        **fields,
    )


def test_claims_are_listed_whether_measured_or_not():
    result = reproduce(artefact({"a": Measurement(1.0, n=4)}), "cpu", Context(seed=3))
    assert [claim["verdict"] for claim in result.claims] == ["held", "not measured"]
    assert result.record["settings"] == {"size": 2}
    assert result.record["seed"] == 3
    assert result.record["notes"] == ["a note"]
    assert not result.failed


def test_a_claim_that_does_not_hold_fails():
    assert reproduce(artefact({"a": Measurement(2.0)}), "cpu").failed


def test_nothing_is_claimed_at_a_size_too_small_for_it():
    result = reproduce(artefact({"a": Measurement(1.0)}), "smoke")
    assert {claim["verdict"] for claim in result.claims} == {"not measured"}
    result = reproduce(artefact({"a": Measurement(1.0)}, measured_at={"smoke"}), "smoke")
    assert result.claims[0]["verdict"] == "held"


def test_refusals():
    with pytest.raises(InvalidArgument, match="measured what it does not claim: 'z'"):
        reproduce(artefact({"z": Measurement(1.0)}), "cpu")
    with pytest.raises(InvalidArgument, match="must have different names"):
        artefact({}, claims=("a", "a"))
    with pytest.raises(InvalidArgument, match="profile must be one of smoke, cpu"):
        reproduce(artefact({}), "paper")

import math
from dataclasses import dataclass

import altair as alt
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stochastic_depth._errors import InvalidArgument
from stochastic_depth.papers import Artefact, Claim, Context, Measurement, Outcome, reproduce
from stochastic_depth.reports import Figure

numbers = st.floats(-1e6, 1e6)
sizes = st.floats(0, 1e3)


@pytest.mark.parametrize(
    ("relation", "value", "error", "verdict"),
    [
        ("=", 1.05, 0.0, "held"),
        ("=", 1.15, 0.0, "not held"),
        ("=", 1.05, 0.04, "cannot tell"),  # 1.05 + 0.08 is too much
        ("=", 1.15, 0.04, "cannot tell"),
        ("=", 1.15, 0.02, "not held"),
        ("=", 1.00, 9.00, "cannot tell"),  # covers the whole region: tells nothing
        ("<=", -9.0, 0.0, "held"),
        ("<=", 1.2, 0.0, "not held"),
        (">=", 9.0, 0.0, "held"),
        (">=", 0.95, 0.01, "held"),
        (">=", 0.8, 0.2, "cannot tell"),
    ],
)
def test_verdict(relation, value, error, verdict):
    claim = Claim("c", 1.0, "table", tolerance=0.1, relation=relation)
    assert claim.verdict(Measurement(value, error)) == verdict


def test_few_draws_reach_as_far_as_students_t_says():
    # t quantiles at 97.5 %, from tables
    for n, errors in [(2, 12.706), (3, 4.303), (6, 2.571), (101, 1.984), (None, 1.960)]:
        assert Measurement(1.0, 0.5, n).reach == pytest.approx(0.5 * errors, abs=1e-3)
    assert Measurement(1.0, 0.5, 1).reach == math.inf
    assert Measurement(1.0, 0.0, 1).reach == 0.0
    claim = Claim("c", 0.0, "table", relation=">=")
    assert claim.verdict(Measurement(1.0, 0.3, 3)) == "cannot tell"
    assert claim.verdict(Measurement(1.0, 0.3, 30)) == "held"


def test_what_was_not_measured_never_holds():
    record = Claim("c", 1.0, "table").record(None)
    assert record["verdict"] == "not measured"
    assert record["holds"] is None
    assert record["measured"] is None


@given(numbers, numbers, sizes, sizes, sizes)
def test_a_larger_error_never_turns_a_verdict_around(expected, value, tolerance, small, extra):
    claim = Claim("c", expected, "table", tolerance)
    before = claim.verdict(Measurement(value, small))
    after = claim.verdict(Measurement(value, small + extra))
    assert after in (before, "cannot tell")


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_refuses_what_is_not_a_number(bad):
    with pytest.raises(InvalidArgument, match="value must be finite"):
        Measurement(bad)
    with pytest.raises(InvalidArgument, match="standard_error must be finite"):
        Measurement(0.0, bad)


def test_refuses_an_unknown_relation():
    with pytest.raises(InvalidArgument, match="relation must be one of"):
        Claim("c", 1.0, "table", relation="<")


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

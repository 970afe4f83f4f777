"""Figures 1, 3, 4 and 5."""

import math

from stochastic_depth.models import weights
from stochastic_depth.papers import Context
from stochastic_depth.papers.marion2022 import by_depth


def test_claims_follow_from_the_critical_exponent():
    claims = by_depth.claims((2.0, 1.0, 0.5), hurst=1.0, source="s")
    assert [(claim.expected, claim.relation) for claim in claims] == [
        (-1.0, "="),
        (0.0, "="),
        (0.1, ">="),
    ]


def test_closed_form_of_the_root_mean_square():
    table = by_depth.root_mean_square(by_depth.Settings((0.5,), depths=(100,)))
    expected = 0.5 * math.log10((1 + 1 / 200) ** 100 - 1)
    assert math.isclose(table["exact"][0], expected, rel_tol=1e-12)


def test_an_explosion_beyond_the_range_of_numbers_is_noted_and_claims_nothing():
    settings = by_depth.Settings((0.0, 1.0), depths=(10, 600), repetitions=3, width=10)
    outcome = by_depth.run(weights.gaussian(), "hidden states", settings, Context())
    assert set(outcome.measurements) == {"exponent in L at beta = 1"}
    assert outcome.notes[0].startswith("beta = 0: explosion: overflow in layer")
    overflowed = outcome.data.filter(beta=0.0, depth=600)
    assert (overflowed["log10_change"] == math.inf).all()
    assert (overflowed["overflow_layer"] > 0).all()

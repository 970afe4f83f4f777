import pytest

from stochastic_depth.papers import Context, Measurement
from stochastic_depth.papers.hayou2021._modes import MODES
from stochastic_depth.papers.hayou2021.growth import (
    PRINTED,
    PRINTED_THEORY,
    GrowthSettings,
    measure,
    table1,
)


def test_every_mode_grows_by_its_own_product():
    """Width 128, 60 draws of weights with 16 masks: log growth of each mode within five
    standard errors of Proposition 1 at every layer."""
    settings = GrowthSettings(budget=0.6, depth=6, width=128, draws=60)
    data = measure(settings, Context())
    assert data.height == 7 * len(MODES)
    gap = (data["log"] - data["predicted"]).abs()
    assert (gap <= 5 * data["standard_error"] + 0.02).all()
    ends = data.filter(layer=0)["predicted"].to_list()
    assert ends[0] > ends[1] > ends[2]


def geometric_mean(mode, layer):
    """Of 1 + p_k over k = l+1..50, from the definitions of the modes and of the budget."""
    last = 1 - 2 * (50 - 35) / 51  # sum_l 1 - (l/50)(1 - last) = 35
    p = {
        "standard": lambda k: 1.0,
        "uniform": lambda k: 0.7,
        "linear": lambda k: 1 - k / 50 * (1 - last),
    }[mode]
    product = 1.0
    for k in range(layer + 1, 51):
        product *= 1 + p(k)
    return product ** (1 / (50 - layer))


CELLS = [(mode, row) for mode in PRINTED for row in range(5)]


@pytest.mark.parametrize(("mode", "row"), CELLS)
def test_printed_theory_is_the_geometric_mean_of_the_remaining_layers(mode, row):
    exact = geometric_mean(mode, 10 * row)
    assert exact == pytest.approx(PRINTED_THEORY[mode][row], abs=0.007)
    claims = {claim.name: claim for claim in table1.claims}
    claim = claims[f"{mode}, l = {10 * row}: Proposition 1"]
    assert claim.expected == pytest.approx(exact, abs=5e-5)
    theory = claims[f"{mode}, l = {10 * row}: theory"]
    assert theory.verdict(Measurement(exact)) == "held"


@pytest.mark.parametrize("row", [1, 2, 3, 4])
def test_rows_of_the_linear_mode_are_those_of_one_layer_later(row):
    assert geometric_mean("linear", 10 * row + 1) == pytest.approx(
        PRINTED_THEORY["linear"][row], abs=0.001
    )

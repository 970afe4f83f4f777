import pytest

from stochastic_depth.papers import Measurement
from stochastic_depth.papers.hayou2021.table1 import ARTEFACT, PRINTED, PRINTED_THEORY


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
    claims = {claim.name: claim for claim in ARTEFACT.claims}
    claim = claims[f"{mode}, l = {10 * row}: Proposition 1"]
    assert claim.expected == pytest.approx(exact, abs=5e-5)
    theory = claims[f"{mode}, l = {10 * row}: theory"]
    assert theory.verdict(Measurement(exact)) == "held"


@pytest.mark.parametrize("row", [1, 2, 3, 4])
def test_rows_of_the_linear_mode_are_those_of_one_layer_later(row):
    assert geometric_mean("linear", 10 * row + 1) == pytest.approx(
        PRINTED_THEORY["linear"][row], abs=0.001
    )

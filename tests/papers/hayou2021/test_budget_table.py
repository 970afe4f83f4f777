from stochastic_depth.papers import Measurement
from stochastic_depth.papers.hayou2021.table2_cifar10 import ARTEFACT, PRINTED


def test_printed_cells():
    """Table 2a: spot checks of column, row and the dashes below one half."""
    assert len(PRINTED) == 9 + 9 + 5 + 1
    assert PRINTED["sense 0.1"] == 15.4
    assert PRINTED["uniform 0.8"] == 5.7
    assert PRINTED["linear 0.5"] == 9.1
    assert PRINTED["linear 0.9"] == 6.0
    assert PRINTED["standard"] == 6.37


def test_the_hypothesis_changes_sides_with_the_budget():
    claims = {claim.name: claim for claim in ARTEFACT.claims}
    name = "test error of uniform minus that of SenseMode at budget {}, points".format
    sense_wins, uniform_wins = Measurement(1.0, 0.1), Measurement(-1.0, 0.1)
    assert claims[name(0.2)].verdict(sense_wins) == "held"
    assert claims[name(0.2)].verdict(uniform_wins) == "not held"
    assert claims[name(0.8)].verdict(uniform_wins) == "held"
    assert claims[name(0.8)].verdict(Measurement(0.1, 0.5)) == "cannot tell"

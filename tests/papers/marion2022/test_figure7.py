"""The frontier of the map."""

from stochastic_depth import papers
from stochastic_depth.papers.marion2022 import figure7
from stochastic_depth.papers.marion2022._map import Networks


def test_frontier_and_speed_are_measured():
    networks = Networks(depth=100, width=10, draws=3, inputs=2)
    settings = figure7.Settings(betas=20, hursts=4, networks=networks, loop_cells=2)
    outcome = figure7.run(settings, papers.Context())
    assert len(outcome.data) == 80
    assert outcome.measurements[figure7.DISTANCE].value < 0.25
    assert outcome.measurements[figure7.SPEED].value > 0
    assert "of 80 cells overflowed" in outcome.notes[2]


def test_a_frontier_outside_the_map_is_not_measured():
    settings = figure7.Settings(betas=3, hursts=2, networks=figure7.SMALL)
    assert figure7._distances(settings, [0.5, None]) == {}

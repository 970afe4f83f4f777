"""The frontier of the map."""

from stochastic_depth import papers
from stochastic_depth.papers.marion2022 import fractional
from stochastic_depth.papers.marion2022._initial_networks import Networks


def test_frontier_and_speed_are_measured():
    networks = Networks(depth=100, width=10, draws=3, inputs=2)
    settings = fractional.Grid(betas=20, hursts=4, networks=networks, loop_cells=2)
    outcome = fractional.map_plane(settings, papers.Context())
    assert len(outcome.data) == 80
    assert outcome.measurements[fractional.DISTANCE].value < 0.25
    assert outcome.measurements[fractional.SPEED].value > 0
    assert "of 80 cells overflowed" in outcome.notes[2]


def test_a_frontier_outside_the_map_is_not_measured():
    settings = fractional.Grid(betas=3, hursts=2, networks=fractional.SMALL)
    assert fractional._distances(settings, [0.5, None]) == {}

import pytest

from stochastic_depth.experiments.bench import BenchResult, Row
from stochastic_depth.papers.huang2016.timing import Timing, rounds, saved, timed, to_ideal

RATIOS = (0.74, 0.75, 0.80, 0.76, 0.75)
ROW = Row("ours", "t", 1.0, to_constant=0.75, to_ideal=1.02, ratios=RATIOS)
RESULT = BenchResult(110, 128, 32, 1, 5, 1.0, {"t": 0.735, "": 1.0}, (ROW,))


def test_the_saving_is_what_is_left_of_one():
    found = saved(RESULT)
    assert (found.value, found.n) == (pytest.approx(25.0), 5)
    # Deviation 0.02345 of the ratios; a median of five Gaussians is known to 1.2533 of it / 5^0.5.
    assert found.standard_error == pytest.approx(100 * 1.2533 * 0.02345 / 5**0.5, rel=1e-3)


def test_the_error_of_the_ideal_is_relative_to_that_of_the_ratio():
    found = to_ideal(RESULT)
    assert found.value == 1.02
    assert found.standard_error == pytest.approx(
        saved(RESULT).standard_error / 100 * 1.02 / 0.75, rel=1e-9
    )


def test_rounds_name_the_network_and_its_ideal():
    data = rounds((Timing("t", 110),), [RESULT])
    assert data["ratio"].to_list() == list(RATIOS)
    assert set(data["ideal"]) == {0.735}
    assert set(data["depth"]) == {110}


def test_the_survival_asked_for_is_timed():
    timing = Timing("t", 20, last=0.2, batch_size=2, image_size=8, rounds=2)
    result = timed(timing)
    assert result.rows[-1].schedule == "t"
    assert len(result.rows[-1].ratios) == 2
    assert (result.depth, result.batch_size, result.image_size) == (20, 2, 8)

"""Statistics against scipy and against counting by hand."""

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from scipy import stats

from stochastic_depth._errors import InvalidArgument
from stochastic_depth.experiments import PairedDifference, Spread, anytime_reach, reach

# demo measurements of this project's design phase, ten fresh seeds: constant - stochastic
MEASURED = (3.97, 5.67, 1.27, 3.50, 3.13, 3.03, 3.40, 3.63, 2.50, 2.27)
error = st.floats(1, 99).map(lambda x: round(x, 2))
errors = st.lists(error, min_size=6, max_size=12)


@given(errors)
def test_spread_is_mean_and_sample_deviation(values: list[float]) -> None:
    spread = Spread.of(values)
    assert spread.mean == pytest.approx(sum(values) / len(values))
    square = sum((value - spread.mean) ** 2 for value in values) / (len(values) - 1)
    assert spread.std == pytest.approx(math.sqrt(square), abs=1e-9)


def test_spread_of_one_value_shows_no_deviation() -> None:
    assert str(Spread.of([3.14159])) == "3.14"
    assert math.isnan(Spread.of([1.0]).std)


def test_spread_of_nothing_is_refused() -> None:
    with pytest.raises(InvalidArgument, match="values must be at least one number"):
        Spread.of([])


@given(st.lists(st.tuples(error, error), min_size=2, max_size=12, unique_by=lambda x: x[0] - x[1]))
def test_p_and_interval_are_those_of_scipy(pairs: list[tuple[float, float]]) -> None:
    baseline, variant = map(list, zip(*pairs, strict=True))
    assume(np.std(np.subtract(baseline, variant)) > 1e-3)  # below it scipy warns of cancellation
    difference = PairedDifference.between(baseline, variant)
    # Other entries of scipy than the ones used: the two-sample form on the raw errors.
    found = stats.ttest_rel(baseline, variant)
    assert difference.p == pytest.approx(found.pvalue)
    assert difference.interval == pytest.approx(tuple(found.confidence_interval(0.95)))
    assert difference.is_clear == (found.pvalue < 0.05)


def test_ten_measured_seeds_give_the_published_figures() -> None:
    difference = PairedDifference(MEASURED)
    assert str(difference.spread) == "3.24 ± 1.16"
    assert difference.wins == 10
    assert difference.p == pytest.approx(1.0e-5, rel=0.1)
    assert difference.interval == pytest.approx((2.41, 4.07), abs=0.01)


def test_sides_are_baseline_minus_variant() -> None:
    difference = PairedDifference.between([10.0, 10.0, 10.0], [9.0, 11.0, 7.0])
    assert difference.differences == (1.0, -1.0, 3.0)
    assert (difference.wins, difference.losses) == (2, 1)


@pytest.mark.parametrize("differences", [(0.3,), (0.3,) * 8, (0.0,) * 8])
def test_no_interval_of_one_pair_or_without_spread(differences: tuple[float, ...]) -> None:
    found = PairedDifference(differences)
    assert found.interval is None
    assert found.p is None
    assert not found.is_clear


DRAWS = {
    "normal": lambda generator, size: generator.standard_normal(size),
    # Errors of two networks on one test set differ like sums of few ±1 steps, here 40 of them.
    "counted": lambda generator, size: generator.integers(0, 2, (*size, 40)).sum(-1) - 20.0,
    "uniform": lambda generator, size: generator.uniform(-1, 1, size),
}


@pytest.mark.parametrize("draw", DRAWS.values(), ids=DRAWS)
def test_three_seeds_find_a_difference_that_is_not_there_in_one_of_twenty(draw: Any) -> None:
    # n = 2000 studies of three seeds, seed 0. The share of clear ones is 5 % for normal
    # differences, 5.6 % for uniform ones; outside 3.3 % to 7.5 % with probability < 1e-3.
    studies = draw(np.random.default_rng(0), (2000, 3))
    clear = np.mean([PairedDifference(tuple(map(float, study))).is_clear for study in studies])
    assert 0.033 < clear < 0.075


def test_one_draw_tells_nothing_and_a_known_number_has_no_error() -> None:
    assert reach(0.5, 1) == math.inf
    assert reach(0.0, 1) == 0.0
    assert reach(0.5, math.inf) == pytest.approx(0.5 * stats.norm.isf(0.025))


@pytest.mark.parametrize(("one", "other"), [([], []), ([1.0], [1.0, 2.0])])
def test_unequal_lists_are_refused(one: list[float], other: list[float]) -> None:
    with pytest.raises(InvalidArgument, match="baseline and variant must be equally many"):
        PairedDifference.between(one, other)


def test_an_anytime_interval_ends_where_the_bayes_factor_passes_twenty() -> None:
    for n in (5, 8, 20, 300):
        t = anytime_reach(1.0, n)
        # The density of t where the effect is N(0, 1) standard deviations, over that where it is 0.
        wide = math.sqrt(1 + n)
        factor = stats.t.pdf(t / wide, n - 1) / wide / stats.t.pdf(t, n - 1)
        assert factor == pytest.approx(20)
    assert anytime_reach(1.0, 4) == anytime_reach(1.0, math.inf) == math.inf
    assert anytime_reach(0.0, 2) == 0.0


def covered(reach_of: Any, trials: int, most: int) -> int:
    """Count samples of a standard normal whose mean is within reach at every n up to `most`."""
    draws = np.random.default_rng(3).standard_normal((trials, most))
    n = np.arange(1, most + 1)
    means = draws.cumsum(1) / n
    squares = (draws**2).cumsum(1) - n * means**2
    errors = np.sqrt(squares[:, 1:].clip(0) / n[:-1] / n[1:])
    widths = np.array([reach_of(1.0, int(k)) for k in n[1:]])
    return int((np.abs(means[:, 1:]) <= widths * errors).all(1).sum())


def test_looking_after_every_seed_raises_no_more_false_alarms_than_stated() -> None:
    # 10,000 samples looked at after each of 200 draws: at most 5 % may ever leave out their mean.
    # By a binomial test at 1e-6 for the rate 0.05 no more than 604 do.
    alarms = 10_000 - covered(anytime_reach, 10_000, 200)
    assert alarms <= stats.binom.isf(1e-6, 10_000, 0.05)
    assert alarms > 50  # it is not so wide that nothing could be decided
    # The interval of one look, looked at as often, is wrong in every other sample or so.
    assert 10_000 - covered(reach, 10_000, 200) > 3_000

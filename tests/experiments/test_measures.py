"""Statistics against scipy and against counting by hand."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from scipy import stats

from stochastic_depth._errors import InvalidArgument
from stochastic_depth.experiments import PairedDifference, Spread

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


@given(st.lists(st.tuples(error, error), min_size=6, max_size=12, unique_by=lambda x: x[0] - x[1]))
def test_p_values_are_those_of_scipy(pairs: list[tuple[float, float]]) -> None:
    baseline, variant = map(list, zip(*pairs, strict=True))
    assume(all(a != b for a, b in pairs))
    assume(np.std(np.subtract(baseline, variant)) > 1e-3)  # below it scipy warns of cancellation
    difference = PairedDifference.between(baseline, variant)
    # Other entries of scipy than the ones used: the two-sample forms on the raw errors.
    assert difference.p_t == pytest.approx(stats.ttest_rel(baseline, variant).pvalue)
    assert difference.p_wilcoxon == pytest.approx(stats.wilcoxon(baseline, variant).pvalue)


def test_wilcoxon_is_the_enumeration_of_all_signs() -> None:
    # Without ties the exact p is the share of the 2^n sign patterns that are as extreme.
    difference = PairedDifference((1.1, -0.4, 2.3, 0.9, 3.0, 1.7, -0.2))
    ranks = stats.rankdata(np.abs(difference.differences))
    observed = ranks[np.array(difference.differences) > 0].sum()
    sums = [np.dot(signs, ranks) for signs in itertools.product([0, 1], repeat=7)]
    middle = ranks.sum() / 2
    share = np.mean([abs(total - middle) >= abs(observed - middle) for total in sums])
    assert difference.p_wilcoxon == pytest.approx(share)


def test_ten_measured_seeds_give_the_published_figures() -> None:
    difference = PairedDifference(MEASURED)
    assert str(difference.spread) == "3.24 ± 1.16"
    assert difference.wins == 10
    assert difference.p_t == pytest.approx(1.0e-5, rel=0.1)
    assert difference.p_wilcoxon == pytest.approx(2 / 2**10)


def test_sides_are_baseline_minus_variant() -> None:
    difference = PairedDifference.between([10.0, 10.0, 10.0], [9.0, 11.0, 7.0])
    assert difference.differences == (1.0, -1.0, 3.0)
    assert (difference.wins, difference.losses) == (2, 1)


@pytest.mark.parametrize("n", range(1, 6))
def test_no_p_below_six_pairs(n: int) -> None:
    difference = PairedDifference(MEASURED[:n])
    assert difference.p_t is None
    assert difference.p_wilcoxon is None
    # the most one-sided count of n tosses: all heads or all tails
    assert difference.p_by_luck == pytest.approx(min(1.0, 2 / 2**n))


def test_no_p_without_spread_or_without_differences() -> None:
    equal = PairedDifference((0.3,) * 8)
    assert equal.p_t is None
    none = PairedDifference((0.0,) * 8)
    assert none.p_t is None
    assert none.p_wilcoxon is None
    assert none.p_by_luck == 1.0


def test_zero_differences_do_not_count_for_wilcoxon() -> None:
    with_zeros = PairedDifference((*MEASURED, 0.0, 0.0))
    assert with_zeros.p_wilcoxon == PairedDifference(MEASURED).p_wilcoxon


@pytest.mark.parametrize(("one", "other"), [([], []), ([1.0], [1.0, 2.0])])
def test_unequal_lists_are_refused(one: list[float], other: list[float]) -> None:
    with pytest.raises(InvalidArgument, match="baseline and variant must be equally many"):
        PairedDifference.between(one, other)

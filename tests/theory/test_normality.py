from itertools import product

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

import stochastic_depth as sd

TESTS = ("shapiro", "anderson", "dagostino")


def gaussian(draws, *tests, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(draws, *tests, generator=generator, dtype=torch.float64)


@pytest.mark.parametrize("test", TESTS)
def test_p_values_of_normal_draws_are_uniform(test):
    """1000 tests of 200 draws with mean 3 and deviation 5; Kolmogorov-Smirnov distance to
    the uniform law below 0.065, which an exact p-value exceeds with probability 4e-4; the
    tests' own p-values are approximations."""
    p = sd.theory.normality(3 + 5 * gaussian(200, 1000), test).p_value
    assert stats.kstest(p.numpy(), "uniform").statistic < 0.065


@pytest.mark.parametrize("test", TESTS)
@pytest.mark.parametrize("name", ["skewed", "two values"])
def test_other_laws_are_rejected(test, name):
    draws = gaussian(200, 20).exp() if name == "skewed" else (gaussian(200, 20) > 0.5).double()
    assert (sd.theory.normality(draws, test).p_value < 1e-4).all()


@pytest.mark.parametrize("shape", [(3,), (3, 2), ()])
@pytest.mark.parametrize("seed", range(3))
def test_columns_are_tested_apart(shape, seed):
    draws = gaussian(60, *shape, seed=seed)
    references = {
        "shapiro": stats.shapiro,
        "dagostino": stats.normaltest,
        "anderson": lambda column: stats.anderson(column, "norm", method="interpolate"),
    }
    for test in TESTS:
        found = sd.theory.normality(draws, test)
        assert found.p_value.shape == found.statistic.shape == shape
        for index in product(*map(range, shape)):
            column = draws[(slice(None), *index)].numpy()
            reference = references[test](column)
            assert float(found.statistic[index]) == pytest.approx(reference.statistic)
            if test != "anderson":
                assert float(found.p_value[index]) == pytest.approx(reference.pvalue)


@pytest.mark.parametrize(("level", "critical"), [(0.10, 0.631), (0.05, 0.752), (0.01, 1.035)])
def test_anderson_darling_levels(level, critical):
    """Critical values of the corrected statistic: D'Agostino & Stephens, table 4.7, case 3."""
    from stochastic_depth.theory._normality import _anderson_darling_p

    found = float(_anderson_darling_p(torch.tensor(critical, dtype=torch.float64)))
    assert found == pytest.approx(level, rel=0.03)


def test_anderson_darling_falls_all_the_way():
    from stochastic_depth.theory._normality import _anderson_darling_p

    p = _anderson_darling_p(torch.linspace(0.01, 300, 30_001, dtype=torch.float64))
    assert (p >= 0).all()
    assert (p <= 1).all()
    assert p[-1] < 1e-100


p_values = st.lists(st.floats(0, 1), min_size=1, max_size=30)


@given(p_values)
def test_benjamini_hochberg(p):
    found = sd.theory.adjust(torch.tensor(p, dtype=torch.float64), "benjamini-hochberg")
    expected = torch.tensor(stats.false_discovery_control(p), dtype=torch.float64)
    torch.testing.assert_close(found, expected)


@given(p_values, st.floats(0.001, 0.999))
def test_holm_rejects_step_by_step(p, level):
    """The procedure itself: reject the smallest while p_(k) < level / (m - k + 1)."""
    values = torch.tensor(p, dtype=torch.float64)
    found = sd.theory.adjust(values, "holm") <= level
    rejected = torch.zeros_like(found)
    for position, index in enumerate(values.argsort()):
        if values[index] * (len(p) - position) > level:
            break
        rejected[index] = True
    assert torch.equal(found, rejected)


def test_adjust_keeps_the_shape():
    p = torch.rand(3, 4, generator=torch.Generator().manual_seed(0))
    adjusted = sd.theory.adjust(p)
    assert adjusted.shape == (3, 4)
    torch.testing.assert_close(adjusted.flatten(), sd.theory.adjust(p.flatten()))


def test_refusals():
    with pytest.raises(sd.InvalidArgument, match=r"at least 20 per test; got 19. Draw more masks"):
        sd.theory.normality(gaussian(19, 3))
    still = gaussian(30, 3)
    still[:, 1] = 0.25
    with pytest.raises(sd.InvalidArgument, match="a constant column"):
        sd.theory.normality(still)
    with pytest.raises(sd.InvalidArgument, match="Did you mean 'shapiro'"):
        sd.theory.normality(gaussian(30, 3), "shapiro-wilk")
    with pytest.raises(sd.InvalidArgument, match="correction must be one of"):
        sd.theory.adjust(torch.tensor([0.5]), "none")

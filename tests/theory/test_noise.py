from itertools import product

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

import stochastic_depth as sd
from tests.theory.networks import batch, relu, smooth


def zeta_of(depth=5, samples=3, outputs=2):
    generator = torch.Generator().manual_seed(0)
    return torch.randn(depth, samples, outputs, generator=generator, dtype=torch.float64)


@pytest.mark.parametrize("rescale", ["train", "test", "none"])
def test_moments_by_enumeration(rescale):
    law, zeta = sd.gates.Bernoulli([0.9, 0.35, 1.0, 0.2, 0.75], rescale=rescale), zeta_of()
    active = torch.tensor(list(product([0.0, 1.0], repeat=5)), dtype=torch.float64).T
    chance = torch.where(active == 1, law.survival[:, None], 1 - law.survival[:, None]).prod(0)
    gamma = sd.theory.noise(zeta, active * law.value[:, None], law)
    assert gamma.shape == (32, 3, 2)
    mean = torch.einsum("m,mno->no", chance, gamma)
    torch.testing.assert_close(mean, torch.zeros_like(mean), rtol=0, atol=1e-12)
    variance = torch.einsum("m,mno->no", chance, gamma**2)
    torch.testing.assert_close(sd.theory.noise_variance(zeta, law), variance)


def test_dependent_gates_add_their_covariance():
    """20,000 draws; the relative error of a variance is about 1 %, allowed are five times."""
    law, zeta = sd.gates.FixedDepth([0.9, 0.35, 0.6, 0.2, 0.95]), zeta_of()
    gamma = sd.theory.noise(zeta, law.sample(20_000, generator=sd.gates.stream(0, 0)), law)
    found = sd.theory.noise_variance(zeta, law)
    torch.testing.assert_close(gamma.var(0), found, rtol=0.06, atol=0)
    independent = sd.theory.noise_variance(zeta, sd.gates.Bernoulli(law.survival))
    assert ((found / independent - 1).abs() > 0.06).any()


def test_noise_is_what_gates_do_to_the_output_to_first_order():
    """Taken at the mean of the gates; twice as close to it, four times as good."""
    f, x = smooth(), batch()
    law = sd.gates.Bernoulli([0.7] * 6, rescale="test")
    gates = law.sample(5, generator=sd.gates.stream(0, 0)).double()
    zeta = sd.theory.discrepancies(f, x, law.mean)
    errors = []
    for eps in (0.02, 0.01):
        near = law.mean[:, None] + eps * (gates - law.mean[:, None])
        with torch.no_grad():
            change = torch.stack([f(x, d) - f(x, law.mean) for d in near.T])
        errors.append((change - sd.theory.noise(zeta, near, law)).norm())
    assert errors[0] / errors[1] == pytest.approx(4, rel=0.05)


def test_noise_of_a_deep_network_is_gaussian_with_the_predicted_variance():
    """Kolmogorov-Smirnov against N(0, predicted variance), 2000 draws: p > 1e-3 at L = 200
    by a false alarm of 1e-3; at L = 4 the noise has 16 values and is rejected."""
    p_values = {}
    for depth in (4, 200):
        f = relu(depth=depth, width=32, outputs=1)
        law = sd.gates.Bernoulli([0.7] * depth, rescale="test")
        zeta = sd.theory.discrepancies(f, batch(samples=1), law.mean)
        gamma = sd.theory.noise(zeta, law.sample(2000, generator=sd.gates.stream(1, depth)), law)
        scaled = gamma[:, 0, 0] / sd.theory.noise_variance(zeta, law)[0, 0].sqrt()
        p_values[depth] = stats.kstest(scaled.numpy(), "norm").pvalue
    assert p_values[200] > 1e-3
    assert p_values[4] < 1e-12


def test_lindeberg_ratio_between_its_ends():
    equal = torch.full((8, 2, 3), -0.3)
    torch.testing.assert_close(sd.theory.lindeberg_ratio(equal), torch.full((2, 3), 1 / 8))
    alone = torch.zeros(8, 1, 1)
    alone[3] = 2.0
    assert float(sd.theory.lindeberg_ratio(alone)) == 1
    alone[4] = -1.0
    assert float(sd.theory.lindeberg_ratio(alone)) == pytest.approx(4 / 5)
    torch.testing.assert_close(
        sd.theory.lindeberg_ratio(zeta_of()), sd.theory.lindeberg_ratio(-7 * zeta_of())
    )
    with pytest.raises(sd.InvalidArgument, match="non-zero for some block"):
        sd.theory.lindeberg_ratio(torch.zeros(8, 1, 1))


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
    from stochastic_depth.theory._noise import _anderson_darling_p

    found = float(_anderson_darling_p(torch.tensor(critical, dtype=torch.float64)))
    assert found == pytest.approx(level, rel=0.03)


def test_anderson_darling_falls_all_the_way():
    from stochastic_depth.theory._noise import _anderson_darling_p

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

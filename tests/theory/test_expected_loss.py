import math
from itertools import product

import pytest
import torch

import stochastic_depth as sd
from tests.theory.networks import LOSSES, batch, relu, smooth, square, targets

P = [0.9, 0.35, 1.0, 0.2, 0.0, 0.75]


def by_enumeration(f, x, y, loss, law):
    """The definition, one network after another."""
    total = 0.0
    for active in product([0.0, 1.0], repeat=len(law)):
        d = torch.tensor(active).double()
        chance = torch.where(d == 1, law.survival, 1 - law.survival).prod()
        with torch.no_grad():
            total += float(chance * loss(f(x, d * law.value), y))
    return total


@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.parametrize("rescale", ["train", "test", "none"])
def test_exact_is_the_sum_over_all_subnetworks(name, rescale):
    f, x, y = relu(outputs=5), batch(), targets()[name]
    law = sd.gates.Bernoulli(P, rescale=rescale)
    found = sd.theory.expected_loss(f, x, y, LOSSES[name], law, "exact")
    assert found.value == pytest.approx(by_enumeration(f, x, y, LOSSES[name], law), rel=1e-12)
    assert found.standard_error == 0


def test_gates_without_chance_give_the_loss_itself():
    f, x, y = smooth(), batch(), targets()["square"]
    gates = torch.tensor([1.0, 0.0, 0.5, 2.0, 1.0, 0.0], dtype=torch.float64)
    law, expected = sd.gates.Deterministic(gates), float(square(f(x, gates), y).detach())
    for arguments in (
        {"method": "exact"},
        {"method": "taylor"},
        {"method": "taylor", "part": "full"},
        {"method": "monte_carlo", "draws": 3, "generator": sd.gates.stream(0, 0)},
    ):
        found = sd.theory.expected_loss(f, x, y, square, law, **arguments)
        assert found.value == pytest.approx(expected, rel=1e-6)


def linear_in_gates(x, gates):
    """Outputs linear in the gates: under a quadratic loss the expansion ends at order two."""
    return sum(x.roll(k, 1) * gate.reshape(-1, 1) * (k + 1) for k, gate in enumerate(gates))


@pytest.mark.parametrize("part", ["gauss-newton", "full"])
@pytest.mark.parametrize("rescale", ["train", "test", "none"])
@pytest.mark.parametrize("around", ["mean", "ones"])
def test_second_order_is_exact_where_there_is_no_third(rescale, around, part):
    x, y = batch(), targets()["square"]
    law = sd.gates.Bernoulli([0.9, 0.35, 1.0, 0.2, 0.75], rescale=rescale)
    found = sd.theory.expected_loss(
        linear_in_gates, x, y, square, law, "taylor", around=around, part=part
    )
    exact = sd.theory.expected_loss(linear_in_gates, x, y, square, law, "exact")
    assert found.value == pytest.approx(exact.value, rel=1e-10)


@pytest.mark.parametrize("p", [[0.9, 0.35, 1.0, 0.2, 0.75], [0.9, 0.35, 1.0, 0.05, 0.7]])
@pytest.mark.parametrize("rescale", ["train", "test"])
def test_exact_at_fixed_depth_is_what_the_covariance_says(p, rescale):
    """Between two depths, and at one depth of three blocks."""
    x, y = batch(), targets()["square"]
    law = sd.gates.FixedDepth(p, rescale=rescale)
    exact = sd.theory.expected_loss(linear_in_gates, x, y, square, law, "exact")
    taylor = sd.theory.expected_loss(linear_in_gates, x, y, square, law, "taylor")
    assert exact.value == pytest.approx(taylor.value, rel=1e-9)
    assert exact.standard_error == 0
    independent = sd.gates.Bernoulli(p, rescale=rescale)
    other = sd.theory.expected_loss(linear_in_gates, x, y, square, independent, "exact")
    assert abs(other.value / exact.value - 1) > 1e-3


@pytest.mark.parametrize("rescale", ["train", "test"])
def test_dependent_gates_enter_through_their_covariance(rescale):
    """Two of three blocks in every draw: all subsets listed by hand, P(pair) from marginals."""
    x, y = batch(), targets()["square"]
    p = torch.tensor([0.9, 0.8, 0.3], dtype=torch.float64)
    law = sd.gates.FixedDepth(p, rescale=rescale)
    pairs = 1 - torch.eye(3, dtype=torch.float64)  # row l leaves block l out: P = 1 - p_l
    losses = torch.stack([square(linear_in_gates(x, d * law.value), y) for d in pairs])
    found = sd.theory.expected_loss(linear_in_gates, x, y, square, law, "taylor")
    assert found.value == pytest.approx(float((1 - p) @ losses), rel=1e-9)
    independent = sd.gates.Bernoulli(p, rescale=rescale)
    other = sd.theory.expected_loss(linear_in_gates, x, y, square, independent, "taylor")
    assert abs(other.value / found.value - 1) > 0.01


@pytest.mark.parametrize(("p", "order"), [(0.7, 3), (0.5, 4)])
def test_the_error_falls_at_the_order_that_is_left_out(p, order):
    """Gates drawn closer to their mean, f(x; m + eps (d - m)): the variance falls as eps^2
    and the error as eps^3, or as eps^4 where the third moments vanish, at p = 1/2."""
    f, x, y = smooth(depth=8, scale=1.0), batch(), targets()["square"]
    law = sd.gates.Bernoulli([p] * 8, rescale="test")
    mean = law.mean

    def error(eps):
        def closer(x, gates):
            m = mean.reshape(-1, *[1] * (gates.ndim - 1))
            return f(x, m + eps * (gates - m))

        exact = sd.theory.expected_loss(closer, x, y, square, law, "exact")
        taylor = sd.theory.expected_loss(closer, x, y, square, law, "taylor", part="full")
        return abs(exact.value - taylor.value)

    assert math.log2(error(1 / 64) / error(1 / 128)) == pytest.approx(order, abs=0.1)


@pytest.mark.parametrize(("name", "order"), [("softplus", 3), ("square", 4)])
def test_the_error_falls_with_a_power_of_the_branches(name, order):
    """Gates of 0 and 1 with p = 0.8, in networks whose depth scaling is halved. A quadratic
    loss has no third derivative of its own, and the network's holds one branch more."""
    law = sd.gates.Bernoulli([0.8] * 8, rescale="test")
    x, y, loss = batch(), targets()[name], LOSSES[name]

    def error(scale):
        f = smooth(depth=8, scale=scale)
        exact = sd.theory.expected_loss(f, x, y, loss, law, "exact").value
        return abs(sd.theory.expected_loss(f, x, y, loss, law, part="full").value - exact)

    assert math.log2(error(0.01) / error(0.005)) == pytest.approx(order, abs=0.1)


def test_around_one_the_curvature_does_not_depend_on_the_law():
    f, x, y = smooth(), batch(), targets()["square"]
    g = sd.theory.regularizer(f, x, y, square)
    for p in (0.9, 0.35):
        law = sd.gates.Bernoulli([p] * 6, rescale="test")
        average = float(square(f(x, law.mean), y).detach())
        found = sd.theory.expected_loss(f, x, y, square, law, around="ones").value
        assert found == pytest.approx(average + 0.5 * p * (1 - p) * float(g.sum()), rel=1e-9)


def test_monte_carlo_knows_its_error():
    """z-scores of 100 estimates of 50 draws; mean 0 and deviation 1 within five of their
    standard errors, 0.1 and 0.07 (false alarm about 1e-6, more for the skew of the loss)."""
    f, x, y = relu(outputs=5), batch(), targets()["square"]
    law = sd.gates.Bernoulli(P, rescale="test")
    exact = sd.theory.expected_loss(f, x, y, square, law, "exact").value
    z = []
    for step in range(100):
        arguments = {"draws": 50, "generator": sd.gates.stream(0, step)}
        found = sd.theory.expected_loss(f, x, y, square, law, "monte_carlo", **arguments)
        z.append((found.value - exact) / found.standard_error)
    z = torch.tensor(z)
    assert abs(z.mean()) < 0.5
    assert abs(z.std() - 1) < 0.35


def test_monte_carlo_takes_dependent_gates():
    """One estimate of 4000 draws against the listed subsets, within five standard errors."""
    x, y = batch(), targets()["square"]
    law = sd.gates.FixedDepth([0.9, 0.8, 0.3], rescale="test")
    exact = sd.theory.expected_loss(linear_in_gates, x, y, square, law, "taylor").value
    found = sd.theory.expected_loss(
        linear_in_gates,
        x,
        y,
        square,
        law,
        "monte_carlo",
        draws=4000,
        generator=sd.gates.stream(1, 0),
    )
    assert abs(found.value - exact) < 5 * found.standard_error


class OwnLaw(sd.gates.Law):
    """All gates at 1/2: a law that the library does not know."""

    survival = mean = evaluation = torch.full((6,), 0.5, dtype=torch.float64)
    covariance = torch.zeros(6, 6, dtype=torch.float64)

    def sample(self, batch_size=None, *, generator):
        return torch.full((6,) if batch_size is None else (6, batch_size), 0.5)


def test_refusals():
    f, x, y = smooth(), batch(), targets()["square"]
    law = sd.gates.Bernoulli(P)

    def ask(law=law, **arguments):
        return sd.theory.expected_loss(f, x, y, square, law, **arguments)

    with pytest.raises(sd.InvalidArgument, match="Did you mean 'monte_carlo'"):
        ask(method="montecarlo")
    with pytest.raises(sd.InvalidArgument, match="around must be one of mean, ones"):
        ask(around="zero")
    with pytest.raises(sd.InvalidArgument, match="generator must be given"):
        ask(method="monte_carlo")
    with pytest.raises(sd.InvalidArgument, match="draws must be at least 2"):
        ask(method="monte_carlo", draws=1, generator=sd.gates.stream(0, 0))
    with pytest.raises(sd.Unsupported, match="law that tells the probability of each gate vector"):
        ask(law=OwnLaw(), method="exact")
    with pytest.raises(sd.InvalidArgument, match="vector of 6 entries"):
        ask(law=sd.gates.Bernoulli([0.5] * 5))
    deep = smooth(depth=21)
    with pytest.raises(sd.InvalidArgument, match="at most 20 blocks to chance"):
        sd.theory.expected_loss(deep, x, y, square, sd.gates.Bernoulli([0.5] * 21), "exact")
    with pytest.raises(sd.Unsupported, match="zero for every sample"):
        sd.theory.expected_loss(f, x, y, torch.nn.functional.l1_loss, law)

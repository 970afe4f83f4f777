"""The flow of two inputs against its equation, integrals over Gaussians, and wide networks."""

import math

import numpy as np
import pytest
import torch
from scipy import integrate

import stochastic_depth as sd
from stochastic_depth import theory
from stochastic_depth._errors import InvalidArgument, Unsupported


def bernoulli(p, depth, rescale="train"):
    return sd.gates.Bernoulli(sd.schedules.uniform(p)(depth), rescale=rescale)


def mean_of_relus(c):
    """E[ReLU(u) ReLU(v)] of standard Gaussians of correlation c, by quadrature."""
    points, weights = np.polynomial.hermite_e.hermegauss(200)
    u, w = points[:, None], points[None, :]
    v = c * u + math.sqrt(1 - c * c) * w
    mass = weights[:, None] * weights[None, :] / (2 * math.pi)
    return float((np.maximum(u, 0) * np.maximum(v, 0) * mass).sum())


@pytest.mark.parametrize("c", [-0.9, -0.2, 0.0, 0.3, 0.95])
def test_one_layer_is_an_integral_over_gaussians(c):
    law = sd.gates.Deterministic([1.0])
    growth, correlation = theory.wide_limit(c, law, scale=0.7)
    assert growth.tolist() == pytest.approx([1, 1 + 0.49 / 2])
    # The quadrature meets a kink: it is good to three digits.
    expected = c + 0.49 * mean_of_relus(c)
    assert float((growth * correlation)[1]) == pytest.approx(expected, abs=2e-3)


@pytest.mark.parametrize("p", [0.3, 0.5, 0.8])
@pytest.mark.parametrize("per", ["batch", "sample"])
@pytest.mark.parametrize("start", [-0.5, 0.3])
def test_it_tends_to_the_flow(p, per, start):
    def flow(_, state):
        own, c = state[0] / (2 * p), state[1] / state[0]
        f = (c * (math.pi - math.acos(c)) + math.sqrt(1 - c * c)) / math.pi
        return [own, f * (own if per == "batch" else state[0] / 2)]

    end = integrate.solve_ivp(flow, (0, 1), [1.0, start], rtol=1e-10, atol=1e-12).y[:, -1]
    growth, correlation = theory.wide_limit(start, bernoulli(p, 20_000), per=per)
    assert float(growth[-1]) == pytest.approx(math.exp(1 / (2 * p)), rel=2e-4)
    assert [float(growth[-1]), float((growth * correlation)[-1])] == pytest.approx(end, rel=3e-4)


def test_per_sample_copies_of_one_input_part_and_per_batch_they_do_not():
    law = bernoulli(0.5, 100)
    assert theory.wide_limit(1.0, law, per="batch").correlation.tolist() == [1.0] * 101
    apart = theory.wide_limit(1.0, law, per="sample").correlation
    assert (apart.diff() < 0).all()
    # Deep and at a large scale, correlations rest where f(c) = c/p.
    c = float(theory.wide_limit(1.0, bernoulli(0.5, 4000), scale=0.1, per="sample").correlation[-1])
    f = (c * (math.pi - math.acos(c)) + math.sqrt(1 - c * c)) / math.pi
    assert f == pytest.approx(c / 0.5, rel=1e-6)


@pytest.mark.parametrize(("rescale", "p"), [("train", 0.5), ("test", 0.3)])
@pytest.mark.parametrize("per", ["batch", "sample"])
def test_wide_networks_agree(rescale, p, per):
    # n = 120 networks of width 100 and depth 30: their mean product of two states within 4
    # standard errors of the limit: 6e-5 per case, two-sided.
    networks, depth, width, start = 120, 30, 100, 0.3
    generator = sd.gates.stream(5, 0)
    law = bernoulli(p, depth, rescale)
    shape = (networks, width, width)
    basis, _ = torch.linalg.qr(torch.randn(networks, width, 2, generator=generator))
    turn = torch.tensor([[1.0, start], [0.0, math.sqrt(1 - start**2)]])
    hidden = (basis @ turn).mT * math.sqrt(width)
    gates = law.sample(2 * networks, generator=generator).float().view(depth, networks, 2, 1)
    gates = gates[:, :, :1] if per == "batch" else gates
    for gate in gates:
        weight = torch.randn(shape, generator=generator) / math.sqrt(width * depth)
        hidden = hidden + gate * (torch.relu(hidden) @ weight)
    product = (hidden[:, 0] * hidden[:, 1]).mean(-1).double()
    growth, correlation = theory.wide_limit(start, law, per=per)
    error = product.mean() - (growth * correlation)[-1]
    assert abs(float(error)) < 4 * float(product.std()) / math.sqrt(networks)


def test_bad_input_is_refused():
    law = bernoulli(0.5, 3)
    with pytest.raises(InvalidArgument, match="correlation must be in"):
        theory.wide_limit(1.5, law)
    with pytest.raises(InvalidArgument, match="per must be one of batch, sample"):
        theory.wide_limit(0.5, law, per="token")
    with pytest.raises(Unsupported, match="independent gates"):
        theory.wide_limit(0.5, sd.gates.FixedDepth([0.5, 0.5]))

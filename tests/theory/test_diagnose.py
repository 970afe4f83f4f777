"""The diagnosis puts together what the other functions find, at the evaluated gates."""

import pytest
import torch
from torch.nn.functional import cross_entropy

import stochastic_depth as sd
from tests.theory.networks import batch, relu, targets

P = [0.9, 0.35, 1.0, 0.2, 0.7, 0.75]


def diagnosed(law=None, **arguments):
    law = sd.gates.Bernoulli(P, rescale="test") if law is None else law
    f, x, y = relu(), batch(), targets(outputs=3)["cross-entropy"]
    return f, x, y, sd.theory.diagnose(f, x, y, cross_entropy, law, **arguments)


@pytest.mark.parametrize("rescale", ["train", "test"])
def test_each_part_against_its_definition(rescale):
    law = sd.gates.Bernoulli(P, rescale=rescale)
    f, x, y, found = diagnosed(law)
    at = law.evaluation

    def loss_at(gates):
        with torch.no_grad():
            return float(cross_entropy(f(x, gates), y))

    without = [loss_at(at * (torch.arange(6) != block)) for block in range(6)]
    assert found.loss == pytest.approx(loss_at(at))
    assert found.cost.tolist() == pytest.approx([w - loss_at(at) for w in without])
    assert found.ranking.tolist() == sorted(range(6), key=lambda block: -without[block])
    step = 1e-6 * torch.eye(6, dtype=torch.float64)
    slopes = [(loss_at(at + d) - loss_at(at - d)) / 2e-6 for d in step]
    assert found.sensitivities.tolist() == pytest.approx(slopes, abs=1e-7)
    exact = sd.theory.expected_loss(f, x, y, cross_entropy, law, "exact").value
    assert abs(found.expected_loss.value - exact) < 5 * found.expected_loss.standard_error
    zeta = sd.theory.discrepancies(f, x, at)
    assert torch.allclose(found.discrepancy, zeta.norm(dim=2).square().mean(1).sqrt())


def test_the_noise_is_that_of_many_masks():
    # 4000 masks, 21 outputs: the measured deviation within 5 standard errors of the one that
    # another seed gives (sqrt(2/4000) each way, kurtosis below that of a Gaussian's double).
    *_, first = diagnosed(masks=4000, generator=sd.gates.stream(1, 0))
    *_, second = diagnosed(masks=4000, generator=sd.gates.stream(2, 0))
    assert first.noise.measured.shape == (21,)
    assert torch.allclose(first.noise.measured, second.noise.measured, rtol=0.15)
    assert torch.equal(first.noise.predicted, second.noise.predicted)
    assert float((first.noise.measured / first.noise.predicted).median()) == pytest.approx(
        1, abs=0.5
    )


def test_without_chance_there_is_no_noise():
    *_, found = diagnosed(sd.gates.Bernoulli([1.0] * 6))
    assert found.noise is None
    assert found.expected_loss == (pytest.approx(found.loss), 0.0)
    assert found.second_order == pytest.approx(found.loss)


def test_outputs_that_no_random_gate_moves_are_left_out():
    def f(x, gates):
        first, second = (gate.reshape(-1, 1) for gate in gates)
        return torch.cat([x[:, :1] * first, x[:, 1:2] * second], dim=1)

    law = sd.gates.Bernoulli([0.5, 1.0], rescale="test")
    x, y = batch(samples=3), targets(outputs=2, samples=3)["mse"]
    found = sd.theory.diagnose(f, x, y, torch.nn.functional.mse_loss, law)
    assert found.noise.measured.shape == (3,)
    assert found.noise.lindeberg.tolist() == pytest.approx([1.0] * 3)


def test_too_few_masks_are_refused():
    with pytest.raises(sd.InvalidArgument, match="draws must be at least 20 per test; got 19"):
        diagnosed(masks=19)

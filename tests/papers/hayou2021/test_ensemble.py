import pytest
import torch

import stochastic_depth as sd
from stochastic_depth.papers.hayou2021 import _ensemble
from stochastic_depth.papers.hayou2021._ensemble import Population


def the_same_network(ensemble, copy):
    """A VanillaResNet with the weights of one copy."""
    depth, _, width, _ = ensemble.blocks.shape
    inputs, outputs = ensemble.encoder.shape[1], ensemble.decoder.shape[2]
    model = sd.models.VanillaResNet(depth, width, inputs, outputs)
    model.encoder.weight.data = ensemble.encoder[copy].T
    model.decoder.weight.data = ensemble.decoder[copy].T
    for block, weight in zip(model.blocks, ensemble.blocks, strict=True):
        block.branch[1].weight.data = weight[copy].T
        block.scale = ensemble.scale
    return model


@pytest.mark.parametrize("stable", [True, False])
@pytest.mark.parametrize("per_sample", [True, False])
def test_row_i_runs_through_network_i_mod_copies(stable, per_sample):
    (ensemble,) = Population(3, depth=4, width=8, inputs=5, outputs=2, stable=stable)
    x = torch.randn(6, 5)
    gates = torch.rand(4, 6) if per_sample else torch.rand(4)
    found = ensemble(x, gates)
    for row in range(6):
        model = the_same_network(ensemble, row % 3)
        own = gates[:, row] if per_sample else gates
        torch.testing.assert_close(found[row], model(x[[row]], own)[0].detach())


def test_theory_takes_an_ensemble():
    """Discrepancies of three networks in one pass, against each network alone."""
    (ensemble,) = Population(3, depth=4, width=8, inputs=5, outputs=2)
    x = torch.randn(6, 5)
    zeta = sd.theory.discrepancies(ensemble, x)
    for copy in range(3):
        alone = sd.theory.discrepancies(the_same_network(ensemble, copy), x[copy::3])
        torch.testing.assert_close(zeta[:, copy::3], alone)


def test_a_population_is_held_a_few_at_a_time(monkeypatch):
    monkeypatch.setattr(_ensemble, "NUMBERS", 2 * 4 * 8**2)
    population = Population(5, depth=4, width=8, seed=3)
    assert [ensemble.copies for ensemble in population] == [2, 2, 1]
    assert len(population) == 3
    first, second, _ = population
    assert not torch.equal(first.blocks[0, 0], second.blocks[0, 0])
    assert torch.equal(first.blocks, next(iter(population)).blocks)


def test_weights_have_the_variance_of_the_paper():
    """10^5 weights: relative error of a variance 0.5 %, allowed are five times."""
    (ensemble,) = Population(4, depth=4, width=80, inputs=500, outputs=300)
    assert float(ensemble.blocks.var()) == pytest.approx(2 / 80, rel=0.025)
    assert float(ensemble.encoder.var()) == pytest.approx(1 / 500, rel=0.025)
    assert float(ensemble.decoder.var()) == pytest.approx(1 / 80, rel=0.025)

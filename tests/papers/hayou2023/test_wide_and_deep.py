"""Pairs of inputs in wide networks: what is drawn, and that it can be written."""

import pytest
import torch

from stochastic_depth import papers
from stochastic_depth.papers.hayou2023 import wide_and_deep as module


def test_it_runs_and_can_be_written(tmp_path):
    result = papers.reproduce(papers.load("hayou2023/wide_and_deep"), "smoke")
    result.write(tmp_path)
    assert (tmp_path / "figure.png").stat().st_size > 10_000
    assert len(result.outcome.measurements) == len(result.claims) == 12


def test_inputs_have_exactly_their_correlation():
    pairs = module._inputs(50, torch.Generator().manual_seed(0))
    aa, bb, ab = module._inner(pairs).unbind(-1)
    torch.testing.assert_close(aa, torch.ones(3))
    torch.testing.assert_close(bb, torch.ones(3))
    torch.testing.assert_close(ab, torch.tensor([0.3, 0.3, 1.0]))


def test_gates_are_shared_per_batch_and_drawn_apart_per_sample():
    gates = module._gates(2000, 0.5, torch.Generator().manual_seed(0))
    assert torch.equal(gates[:, 0, 0], gates[:, 0, 1])
    # Two draws agree in half of 2000 blocks; 4.5 standard deviations are 0.05: 7e-6 per pair.
    for pair in (1, 2):
        agree = (gates[:, pair, 0] == gates[:, pair, 1]).double().mean()
        assert float(agree) == pytest.approx(0.5, abs=0.05)


def test_the_numbers_stated_are_those_of_the_derivation():
    # Gates in {0, 2}: e^1, and the products of a replication of width 400 and depth 200.
    assert module.predicted("norm q_aa", 0.5, 20_000) == pytest.approx(2.718, abs=1e-3)
    batch = module.predicted("product q_ab, gates per batch", 0.5, 20_000)
    sample = module.predicted("product q_ab, gates per sample", 0.5, 20_000)
    assert (batch, sample) == pytest.approx((1.228, 0.701), abs=1e-3)

import torch

from stochastic_depth.gates import Bernoulli, stream
from stochastic_depth.papers.hayou2021 import _masked_outputs
from stochastic_depth.papers.hayou2021._masked_outputs import masked_outputs


def gates_as_outputs(x, gates):
    return gates.T + 10 * x


def test_every_input_has_masks_of_its_own(monkeypatch):
    """3000 masks of two inputs: correlation between inputs below five of its errors, 0.09."""
    monkeypatch.setattr(_masked_outputs, "ROWS", 7)
    law = Bernoulli([0.8, 0.3], rescale="test")
    x = torch.tensor([[0.0], [1.0]])
    found = masked_outputs(gates_as_outputs, x, law, 3000, stream(0, 0))
    assert found.shape == (3000, 2, 2)
    masks = found - 10 * x
    assert set(masks.round().unique().tolist()) == {0.0, 1.0}
    torch.testing.assert_close(masks.mean((0, 1)), torch.tensor([0.8, 0.3]), rtol=0, atol=0.035)
    both = torch.corrcoef(masks[:, :, 0].T)
    assert abs(both[0, 1]) < 0.09

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.testing import assert_close

import stochastic_depth as sd
from stochastic_depth.blocks import Rows, lower

values = st.sampled_from([0.0, 1.0, 1.25, 2.0])


def dense(gate, n):
    """The gate of every sample."""
    if isinstance(gate, Rows):
        full = torch.zeros(n)
        full[gate.index] = torch.as_tensor(gate.scale, dtype=torch.float32).expand(len(gate.index))
        return full
    return torch.as_tensor(gate, dtype=torch.float32).expand(n)


@given(
    st.integers(1, 5).flatmap(
        lambda n: st.lists(st.lists(values, min_size=n, max_size=n), min_size=1)
    )
)
def test_lowering_loses_nothing(rows):
    gates = torch.tensor(rows)
    for execution in ("auto", "gather", "mask"):
        lowered = lower(gates, execution)
        assert_close(torch.stack([dense(gate, gates.shape[1]) for gate in lowered]), gates)


def test_one_draw_per_batch_is_skipped():
    assert lower(torch.tensor([1.0, 0.0, 1.25])) == [1.0, 0.0, 1.25]
    assert lower(torch.tensor([1.0, 0.0]), "gather") == [1.0, 0.0]


def test_rows_hold_survivors_only():
    everyone, nobody, some = lower(torch.tensor([[2.0, 2.0], [0.0, 0.0], [0.0, 1.5]]))
    assert (everyone, nobody) == (2.0, 0.0)
    assert (some.index.tolist(), some.scale) == ([1], 1.5)


def test_gates_that_need_a_gradient_are_masked():
    gates = torch.ones(2, 3, requires_grad=True)
    assert all(gate.requires_grad for gate in lower(gates))
    with pytest.raises(sd.InvalidArgument, match="execution must be 'mask' for gates that require"):
        lower(gates, "gather")


def test_executions_that_cannot_serve_the_gates_are_refused():
    with pytest.raises(sd.InvalidArgument, match="execution must be 'gather' or 'mask'"):
        lower(torch.ones(2, 3), "skip")
    with pytest.raises(sd.InvalidArgument, match=r"gates must be of shape \(L,\) or \(L, N\)"):
        lower(torch.ones(2, 3, 4))
    with pytest.raises(sd.InvalidArgument, match="execution must be one of .* Did you mean 'skip'"):
        lower(torch.ones(2), "skipp")


def test_gates_are_sent_where_the_network_computes():
    masked = lower(torch.rand(2, 3), "mask", device="meta")
    assert [gate.device.type for gate in masked] == ["meta", "meta"]
    (rows,) = lower(torch.tensor([[0.0, 1.0, 2.0]]), device="meta")
    assert rows.index.device.type == "meta"
    two = torch.empty(2, 5, device="meta")
    assert rows.add_scaled(two, two, 1.0).shape == (2, 5)


def test_negative_gates_are_no_zeros():
    (gate,) = lower(torch.tensor([[0.0, -1.0, 1.0]]))
    assert (gate.index.tolist(), gate.scale.tolist()) == ([1, 2], [-1.0, 1.0])


def test_unequal_gates_stay_unequal():
    mixed, some, equal = lower(torch.tensor([[1.0, 2.0, 1.0], [0.0, 2.0, 1.5], [0.0, 2.0, 2.0]]))
    assert (mixed.index.tolist(), mixed.scale.tolist()) == ([0, 1, 2], [1.0, 2.0, 1.0])
    assert (some.index.tolist(), some.scale.tolist()) == ([1, 2], [2.0, 1.5])
    assert (equal.index.tolist(), equal.scale) == ([1, 2], 2.0)
    x, branched = torch.zeros(3, 2), torch.ones(3, 2)
    assert mixed.add_scaled(x, branched, 10.0)[:, 0].tolist() == [10.0, 20.0, 10.0]


def test_an_empty_batch_runs_nothing():
    assert lower(torch.ones(3, 0)) == [0.0, 0.0, 0.0]
    assert [gate.shape for gate in lower(torch.ones(2, 0), "mask")] == [(0,), (0,)]

"""Many networks at once against one network at a time."""

import pytest
import torch

import stochastic_depth as sd
from stochastic_depth._errors import InvalidArgument
from stochastic_depth.models import weights

DEPTH, WIDTH, NETWORKS, SAMPLES = 6, 5, 4, 3

GATES = {
    "none": None,
    "shared": torch.tensor([1.0, 0.0, 2.0, 1.0, 0.0, 0.5]),
    "per-network": (torch.arange(DEPTH * NETWORKS).view(DEPTH, NETWORKS) % 3).float() / 2,
}


def hidden(seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(NETWORKS, SAMPLES, WIDTH, generator=generator, dtype=torch.float64)


def held(matrices=2):
    return weights.draw(
        weights.fractional(0.7),
        DEPTH,
        WIDTH,
        networks=NETWORKS,
        matrices=matrices,
        dtype=torch.float64,
    )


def one_by_one(h, layers, scale, gates):
    """The equation, one network and one layer at a time."""
    ends = []
    for network in range(NETWORKS):
        state = h[network]
        for layer in range(DEPTH):
            gate = 1.0
            if gates is not None:
                gate = float(gates[layer] if gates.ndim == 1 else gates[layer, network])
            outer, *inner = layers[layer][:, network]
            x = state @ inner[0].T if inner else state
            state = state + scale * gate * torch.relu(x) @ outer.T
        ends.append(state)
    return torch.stack(ends)


@pytest.mark.parametrize("matrices", [1, 2])
@pytest.mark.parametrize("gates", GATES.values(), ids=GATES.keys())
def test_batched_is_the_loop(matrices, gates):
    h, layers = hidden(), held(matrices)
    states = list(sd.models.scaled_states(h, layers, 0.3, gates))
    assert len(states) == DEPTH + 1
    torch.testing.assert_close(states[0], h)
    torch.testing.assert_close(states[-1], one_by_one(h, layers, 0.3, gates))


@pytest.mark.parametrize("gates", GATES.values(), ids=GATES.keys())
def test_gradients_are_those_of_the_loop(gates):
    layers = held()
    starts = [hidden().requires_grad_() for _ in range(2)]
    *_, last = sd.models.scaled_states(starts[0], layers, 0.3, gates)
    ends = [last, one_by_one(starts[1], layers, 0.3, gates)]
    got, expected = (
        torch.autograd.grad(end.square().sum(), start)[0]
        for end, start in zip(ends, starts, strict=True)
    )
    torch.testing.assert_close(got, expected)


def test_streamed_weights_give_the_outputs_and_gradients_of_held_ones():
    layers = weights.Streamed(weights.uniform(), DEPTH, WIDTH, NETWORKS)
    kept = torch.stack(list(layers))
    results = []
    for source in (layers, kept):
        h = hidden().float().requires_grad_()
        states = list(sd.models.scaled_states(h, source, 0.3, GATES["shared"]))
        results.append((states[-1], *torch.autograd.grad(states[-1].square().sum(), states)))
    for streamed, expected in zip(*results, strict=True):
        torch.testing.assert_close(streamed, expected)


def test_one_draw_under_several_scalings():
    h, layers = hidden(), held()
    scales = torch.tensor([0.1, 0.3, 0.9], dtype=torch.float64)
    *_, together = sd.models.scaled_states(h, layers, scales[:, None])
    for sample, scale in enumerate(scales):
        alone = one_by_one(h, layers, float(scale), None)
        torch.testing.assert_close(together[:, sample], alone[:, sample])


def test_another_activation():
    h, layers = hidden(), held(matrices=1)[:1]
    *_, last = sd.models.scaled_states(h, layers, 0.5, activation=torch.tanh)
    torch.testing.assert_close(last, h + 0.5 * torch.tanh(h) @ layers[0, 0].mT)


def test_gates_carry_gradients():
    gates = torch.ones(DEPTH, requires_grad=True)
    *_, last = sd.models.scaled_states(hidden(), held(), 0.3, gates)
    (got,) = torch.autograd.grad(last.sum(), gates)
    step = 1e-6
    bumped = torch.ones(DEPTH, dtype=torch.float64)
    bumped[2] += step
    difference = one_by_one(hidden(), held(), 0.3, bumped).sum() - last.detach().sum()
    assert float(got[2]) == pytest.approx(float(difference) / step, rel=1e-4)


@pytest.mark.parametrize(
    ("h", "gates", "message"),
    [
        (torch.ones(4, 5), None, r"h must be of shape \(networks, N, width\)"),
        (torch.ones(3, 1, 5), None, "h must be of shape"),
        (torch.ones(4, 1, 6), None, "h must be of shape"),
        (torch.ones(4, 1, 5), torch.ones(5), "gates must be of length 6"),
        (torch.ones(4, 1, 5), torch.ones(6, 3), r"gates must be of shape \(L, 4\)"),
    ],
)
def test_shapes_must_agree(h, gates, message):
    with pytest.raises(InvalidArgument, match=message):
        sd.models.scaled_states(h.double(), held(), 0.3, gates)


def test_weights_must_have_layers():
    with pytest.raises(InvalidArgument, match="weights must be of at least one layer; got none"):
        sd.models.scaled_states(hidden(), held()[:0], 0.3)

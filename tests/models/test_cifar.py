import pytest
import torch
from torch import nn
from torch.nn import functional
from torch.testing import assert_close

import stochastic_depth as sd
from stochastic_depth.models import CifarResNet
from tests.helpers import ALL_GATES


# Counted from the published architecture: papers and their code, 10 classes.
@pytest.mark.parametrize(
    ("depth", "conv_bias", "parameters"),
    [
        (110, True, 1_732_010),
        (110, False, 1_727_962),
        (56, False, 853_018),
        (152, False, 2_408_474),
        (1202, False, 19_421_274),
    ],
)
def test_parameter_counts_of_the_published_networks(depth, conv_bias, parameters):
    with torch.device("meta"):
        model = CifarResNet(depth, num_classes=10, conv_bias=conv_bias)
    assert sum(p.numel() for p in model.parameters()) == parameters
    assert len(model.blocks) == (depth - 2) // 2
    layers = [m for m in model.modules() if isinstance(m, (nn.Conv2d, nn.Linear))]
    assert len(layers) == depth


@pytest.mark.parametrize("downsample", ["subsample", "average"])
def test_the_network_is_its_equation(downsample):
    model = CifarResNet(14, 5, width=4, downsample=downsample, stable=True).double().eval()
    x = torch.randn(3, 3, 8, 8, dtype=torch.float64)
    gates = torch.tensor([0.5, 0.0, 1.0, 2.0, 0.0, 1.0], dtype=torch.float64)
    h = model.stem(x)
    for block, d in zip(model.blocks, gates, strict=True):
        shortcut = h
        if block.shortcut is not None:
            small = h[:, :, ::2, ::2] if downsample == "subsample" else functional.avg_pool2d(h, 2)
            shortcut = torch.cat([small, torch.zeros_like(small)], dim=1)
        h = torch.relu(shortcut + d * block.branch(h) / 6**0.5)
    assert_close(model(x, gates), model.head(h.mean((2, 3))))


def test_no_gates_are_all_ones():
    model, x = CifarResNet(8, 10, width=4), torch.randn(2, 3, 8, 8)
    model.eval()
    assert torch.equal(model(x), model(x, torch.ones(3)))


@pytest.mark.parametrize("per_sample", [False, True])
def test_a_dropped_transition_passes_half_of_the_channels_as_zeros(per_sample):
    model = CifarResNet(14, 10, width=4)
    transition = model.blocks[2]
    x = torch.rand(2, 4, 8, 8)
    gate = torch.tensor([[0.0, 0.0]]) if per_sample else torch.tensor([0.0])
    out = transition(x, sd.blocks.lower(gate)[0])
    assert torch.equal(out[:, :4], x[:, :, ::2, ::2])
    assert torch.equal(out[:, 4:], torch.zeros(2, 4, 4, 4))


def test_dropping_an_inner_block_returns_its_input_itself():
    model, x = CifarResNet(14, 10, width=4), torch.rand(2, 4, 8, 8)
    assert model.blocks[1](x, 0.0) is x


def test_the_promise_behind_activated_holds():
    # Every block's shortcut output is non-negative, whatever was dropped before it.
    model = CifarResNet(14, 10, width=4)
    streams = []
    for block in model.blocks:
        block.register_forward_hook(lambda _m, args, out: streams.extend([args[0], out]))
    for gates in ALL_GATES[6][::7]:
        model(torch.randn(2, 3, 8, 8), gates)
    assert len(streams) > 0
    assert all((stream >= 0).all() for stream in streams)


def test_initialisation():
    # 64 * 9 * 64 = 36,864 normal weights: the standard deviation within 5 / sqrt(2 n) of
    # He's, false-alarm rate 6e-7.
    model = CifarResNet(20, 10, conv_bias=True, bn_init="uniform")
    conv = model.blocks[-1].branch[3]
    he = (2 / (9 * 64)) ** 0.5
    assert float(conv.weight.detach().std()) == pytest.approx(he, rel=5 / (2 * 36_864) ** 0.5)
    assert not conv.bias.any()
    # Fan in, not out, where the two differ: 32 * 9 * 16 = 4608 weights.
    widening = model.blocks[3].branch[0].weight.detach()
    assert float(widening.std()) == pytest.approx((2 / (9 * 16)) ** 0.5, rel=5 / 9216**0.5)
    norms = [m for m in model.modules() if isinstance(m, nn.BatchNorm2d)]
    weights = torch.cat([m.weight.detach() for m in norms])
    assert (weights >= 0).all()
    assert (weights <= 1).all()
    assert 0.4 < float(weights.mean()) < 0.6
    assert all(not m.bias.any() for m in norms)
    # The same for N(1, 0.002): 688 weights, 5 / sqrt(2 n) = 13.5 %.
    norms = [m for m in CifarResNet(20, 10, bn_init="normal").modules() if hasattr(m, "eps")]
    weights = torch.cat([m.weight.detach() for m in norms])
    assert len(weights) == 688
    assert float((weights - 1).square().mean().sqrt()) == pytest.approx(0.002, rel=0.135)
    assert (CifarResNet(20, 10).stem[1].weight == 1).all()


@pytest.mark.parametrize("downsample", ["subsample", "average"])
def test_channels_last_survives_the_whole_network(downsample):
    model = CifarResNet(14, 10, width=4, downsample=downsample)
    model.to(memory_format=torch.channels_last)
    seen = []
    for block in model.blocks:
        block.register_forward_hook(lambda _m, _args, out: seen.append(out))
    x = torch.randn(2, 3, 8, 8).contiguous(memory_format=torch.channels_last)
    model(x, torch.tensor([[1.0, 0], [0, 0], [0, 0], [0, 1], [1, 1], [0, 1]]))
    assert len(seen) == 6
    assert all(out.is_contiguous(memory_format=torch.channels_last) for out in seen)


@pytest.mark.parametrize("depth", [0, 2, 7, 9, 21, 111])
def test_depths_are_6n_plus_2(depth):
    with pytest.raises(sd.InvalidArgument, match="depth must be"):
        CifarResNet(depth, 10)


def test_the_nearest_depths_are_named():
    with pytest.raises(sd.InvalidArgument, match=r"got 109\. Nearest: 104 and 110\."):
        CifarResNet(109, 10)


def test_arguments_are_checked():
    with pytest.raises(sd.InvalidArgument, match="downsample must be one of .* 'average'"):
        CifarResNet(20, 10, downsample="averaged")
    with pytest.raises(sd.InvalidArgument, match="bn_init must be one of"):
        CifarResNet(20, 10, bn_init="zeros")
    with pytest.raises(sd.InvalidArgument, match="num_classes must be at least 1"):
        CifarResNet(20, 0)
    with pytest.raises(sd.InvalidArgument, match="gates must be of length 9, one per block; got 8"):
        CifarResNet(20, 10)(torch.randn(1, 3, 8, 8), torch.ones(8))

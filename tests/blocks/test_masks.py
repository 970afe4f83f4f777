"""Our masks beside torchvision's and timm's, drawn from the same generator state."""

import pytest
import torch
from torch.testing import assert_close

import stochastic_depth as sd

torchvision_ops = pytest.importorskip("torchvision.ops")
timm_layers = pytest.importorskip("timm.layers")

DROPS = [0.0, 0.2, 0.85, 1.0]


def same_draw(first, second, x):
    results = []
    for function in (first, second):
        torch.manual_seed(3)
        results.append(function(x))
    return results


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("mode", ["batch", "row"])
@pytest.mark.parametrize("p", DROPS)
def test_stochastic_depth_is_torchvisions(p, mode, training):
    x = torch.randn(64, 3, 2)
    ours, theirs = same_draw(
        lambda v: sd.stochastic_depth(v, p, mode, training),
        lambda v: torchvision_ops.stochastic_depth(v, p, mode, training),
        x,
    )
    assert torch.equal(ours, theirs)
    ours, theirs = same_draw(
        sd.StochasticDepth(p, mode).train(training),
        torchvision_ops.StochasticDepth(p, mode).train(training),
        x,
    )
    assert torch.equal(ours, theirs)


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("scale_by_keep", [True, False])
@pytest.mark.parametrize("p", DROPS)
def test_drop_path_is_timms(p, scale_by_keep, training):
    ours, theirs = same_draw(
        sd.DropPath(p, scale_by_keep).train(training),
        timm_layers.DropPath(p, scale_by_keep).train(training),
        torch.randn(64, 3, 2),
    )
    assert_close(ours, theirs)


def test_the_empty_default_of_drop_path_drops_nothing():
    x = torch.randn(3)
    assert sd.DropPath()(x) is x


@pytest.mark.parametrize("p", [-0.1, 1.1, float("nan")])
def test_probabilities_are_checked_at_birth(p):
    with pytest.raises(sd.InvalidArgument, match=r"p \(the drop probability\) must be"):
        sd.StochasticDepth(p, "row")
    with pytest.raises(sd.InvalidArgument, match="drop_prob must be"):
        sd.DropPath(p)


def test_unknown_mode_names_the_nearest():
    with pytest.raises(sd.InvalidArgument, match="mode must be one of batch, row.*'row'"):
        sd.StochasticDepth(0.1, "rows")


def test_half_precision_draws_are_unbiased():
    # Survival 0.995 in bfloat16, n = 200,000 rows: 5 binomial standard errors (8e-4),
    # false-alarm rate 6e-7. The floor(p + u) trick is off by 1e-3 here.
    kept = sd.DropPath(0.005, scale_by_keep=False)(torch.ones(200_000, 1, dtype=torch.bfloat16))
    assert abs(float(kept.float().mean()) - 0.995) < 5 * (0.995 * 0.005 / 200_000) ** 0.5

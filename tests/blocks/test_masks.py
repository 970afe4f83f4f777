"""Our masks beside torchvision's and timm's, drawn from the same generator state."""

import pickle
import warnings

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


PAIRS = {
    "batch": (sd.StochasticDepth(0.2, "batch"), torchvision_ops.StochasticDepth(0.2, "batch")),
    "row": (sd.StochasticDepth(0.7, "row"), torchvision_ops.StochasticDepth(0.7, "row")),
    "drop-path": (sd.DropPath(0.7), timm_layers.DropPath(0.7)),
    "unscaled": (sd.DropPath(0.2, False), timm_layers.DropPath(0.2, False)),
}
scripted = pytest.mark.filterwarnings("ignore:`torch.jit.script` is deprecated:FutureWarning")


def in_a_block(mask):
    return torch.nn.Sequential(torch.nn.Identity(), mask).train()


@pytest.mark.parametrize("tool", [torch.fx.symbolic_trace, torch.jit.script])
@pytest.mark.parametrize(("ours", "theirs"), PAIRS.values(), ids=PAIRS)
@scripted
def test_traced_and_scripted_as_theirs_for_any_batch(tool, ours, theirs):
    modules = [tool(in_a_block(module)) for module in (ours, theirs)]
    for shape in [(40, 3), (7, 3, 2, 2), (1,)]:
        x = torch.randn(shape)
        assert_close(*same_draw(*modules, x))
        assert_close(same_draw(modules[0], ours, x)[0], same_draw(ours, theirs, x)[1])


@scripted
def test_what_was_traced_or_scripted_can_be_kept(tmp_path):
    x = torch.randn(40, 3)
    expected = same_draw(PAIRS["row"][0], PAIRS["row"][1], x)[1]
    traced = pickle.loads(pickle.dumps(torch.fx.symbolic_trace(in_a_block(PAIRS["row"][0]))))
    torch.jit.script(in_a_block(PAIRS["row"][0])).save(tmp_path / "scripted.pt")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # `torch.jit.load` is on its way out as well
        loaded = torch.jit.load(tmp_path / "scripted.pt")
    assert_close(same_draw(traced, loaded, x), [expected, expected])


def test_a_scripted_mask_of_evaluation_drops_nothing():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        scripted = torch.jit.script(in_a_block(sd.DropPath(0.9)).eval())
    assert torch.equal(scripted(torch.ones(50)), torch.ones(50))


@pytest.mark.parametrize("module", [pair[0] for pair in PAIRS.values()], ids=PAIRS)
def test_each_that_vmap_maps_over_has_a_draw_of_its_own(module):
    # 2000 draws of 3 rows (of one, for the whole batch): the share kept is within 5 binomial
    # standard errors, false-alarm rate 6e-7, and "same" repeats one draw.
    x = torch.ones(2000, 3, 2)
    out = torch.vmap(module.train(), randomness="different")(x)
    survival = 1 - (module.p if isinstance(module, sd.StochasticDepth) else module.drop_prob)
    assert (out == out[..., :1]).all()
    share = float((out[:, 0, 0] != 0).double().mean())
    assert abs(share - survival) < 5 * (survival * (1 - survival) / 2000) ** 0.5
    same = torch.vmap(module, randomness="same")(x)
    assert torch.equal(same, same[:1].expand_as(same))


def test_vmap_draws_as_timms():
    x = torch.randn(5, 40, 3)
    ours, theirs = (
        torch.vmap(module.train(), randomness="different") for module in PAIRS["drop-path"]
    )
    assert_close(*same_draw(ours, theirs, x))

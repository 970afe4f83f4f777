"""One small model of each kind that needed a way of its own; the rest is benchmarks/census.py."""

import copy

import pytest
import timm
import timm.models.edgenext
import timm.models.efficientvim
import timm.models.mvitv2
import timm.models.tiny_vit
import timm.models.tnt
import torch
from torch import nn

import stochastic_depth as sd

from .networks import difference, gradients, randomised

transformers = pytest.importorskip("transformers")

SMALL = {
    "hidden_size": 16,
    "num_hidden_layers": 3,
    "num_attention_heads": 2,
    "intermediate_size": 32,
    "vocab_size": 20,
}


def tiny_vit() -> nn.Module:
    """Chooses a code path by the size of the image."""
    return timm.models.tiny_vit.TinyVit(
        embed_dims=(8, 8, 16, 16), depths=(1, 2, 1, 1), num_heads=(1, 2, 2, 2),
        window_sizes=(7, 4, 4, 2), num_classes=3, drop_path_rate=0.3,
    )  # fmt: skip


def mvitv2() -> nn.Module:
    """Its attention returns the new size of the image beside its output."""
    config = timm.models.mvitv2.MultiScaleVitCfg(
        depths=(1, 2), embed_dim=8, num_heads=1, stride_q=((1, 1), (2, 2)), stride_kv=((1, 1),) * 2
    )
    return timm.models.mvitv2.MultiScaleVit(config, img_size=32, num_classes=3, drop_path_rate=0.3)


def tnt() -> nn.Module:
    """Two streams, of which the first has a row per patch."""
    return timm.models.tnt.TNT(
        img_size=32, patch_size=16, embed_dim=16, inner_dim=8, depth=2, num_heads_inner=2,
        num_heads_outer=2, num_classes=3, drop_path_rate=0.3,
    )  # fmt: skip


def edgenext() -> nn.Module:
    """A masked addition within a masked branch."""
    return timm.models.edgenext.EdgeNeXt(
        dims=(8, 8, 16, 16), depths=(1, 1, 2, 1), num_classes=3, drop_path_rate=0.3, heads=(2,) * 4
    )


def efficientvim() -> nn.Module:
    """Its mixer returns a state that the model needs, too."""
    return timm.models.efficientvim.EfficientViM(
        embed_dim=(8, 16, 16), depths=(1, 2, 1), state_dim=(4, 4, 4), num_classes=3,
        drop_path_rate=0.3,
    )  # fmt: skip


TIMM = {f.__name__: f for f in (tiny_vit, mvitv2, tnt, edgenext, efficientvim)}


def images() -> torch.Tensor:
    return torch.randn(3, 3, 64, 64, generator=torch.Generator().manual_seed(0)).double()


@pytest.mark.parametrize("name", TIMM)
def test_skipping_computes_what_its_masks_compute(name):
    torch.manual_seed(0)
    ours = randomised(TIMM[name]())
    x = images() if name not in ("mvitv2", "tnt") else images()[..., :32, :32]
    with torch.no_grad():
        ours(x)  # in evaluation mode some keep what they computed
    theirs = copy.deepcopy(ours)
    handle = sd.apply(ours, per="batch", transitions="drop", example=x, scale="branch")
    assert all(block.droppable for block in handle.blocks)
    assert min(handle.survival) < 1
    # EdgeNeXt masks twice with one module, within a branch and the branch itself.
    kept = 1.0 if name == "edgenext" else 1.25
    gates = torch.tensor([0.0, kept] * len(handle.blocks), dtype=torch.float64)
    gates = gates[: len(handle.blocks)]
    for block, gate in zip(handle.blocks, gates, strict=True):
        for child, module in theirs.get_submodule(block.path).named_children():
            if "drop_path" in child:
                module.register_forward_hook(lambda _, __, y, gate=gate: y * gate)
    expected = theirs(x)
    expected.square().sum().backward()
    with sd.gating(ours, gates):
        actual = ours(x)
    actual.square().sum().backward()
    assert (actual - expected).abs().max() < 1e-12
    assert difference(gradients(ours), gradients(theirs)) < 1e-9


@pytest.mark.parametrize("size", [64, 96])
def test_a_path_that_depends_on_the_image_is_followed_for_each(size):
    model = randomised(tiny_vit())
    handle = sd.apply(model, sd.schedules.uniform(0.5), transitions="drop", example=images())
    x = torch.randn(2, 3, size, size, dtype=torch.float64)
    expected = model(x)
    nearly_open = torch.full((len(handle.blocks),), 1 + 1e-12, dtype=torch.float64)
    with sd.gating(model, nearly_open):  # at 1 the original forward would run
        assert (model(x) - expected).abs().max() < 1e-9


def test_attention_does_not_run_for_the_size_that_it_returns_unless_it_changes_it():
    model, x = randomised(mvitv2()), images()[..., :32, :32]
    handle = sd.apply(model, per="batch", transitions="drop", example=x, scale="branch")
    called = []
    for path, module in model.named_modules():
        if path.endswith(".attn"):
            module.register_forward_hook(lambda *_, path=path: called.append(path))
    model(x)
    assert len(called) == len(handle.blocks)
    called.clear()
    with sd.gating(model, torch.zeros(len(handle.blocks))):
        model(x)
    assert called == [f"{block.path}.attn" for block in handle.blocks if block.masked]
    assert 0 < len(called) < len(handle.blocks)


def test_two_streams_have_gates_per_batch_only():
    model, x = randomised(tnt()), images()[..., :32, :32]
    with pytest.raises(
        sd.Unsupported, match="its samples are not the first dim.*it has 4 rows for ea"
    ):
        sd.apply(model, example=x, per="sample")
    assert sd.apply(model, per="batch", example=x).blocks


def bert() -> nn.Module:
    return transformers.BertModel(transformers.BertConfig(**SMALL))


def gpt2() -> nn.Module:
    config = transformers.GPT2Config(
        n_embd=16, n_layer=3, n_head=2, vocab_size=20, bos_token_id=0, eos_token_id=0
    )
    return transformers.GPT2Model(config)


def llama() -> nn.Module:
    return transformers.LlamaModel(transformers.LlamaConfig(**SMALL))


LAST = {
    "bert": ("attention.output.dropout", "output.dropout"),
    "gpt2": ("attn", "mlp"),
    "llama": ("self_attn", "mlp"),
}
"""What a layer computes before each of its two sums, read from its source."""


@pytest.mark.parametrize("build", [bert, gpt2, llama])
@pytest.mark.parametrize("shape", [(6,), (6, 3)])
def test_language_models_drop_attention_and_mlp(build, shape):
    torch.manual_seed(0)
    model = build().double().eval()
    tokens = torch.randint(1, 20, (3, 7))
    handle = sd.apply(
        model, sd.schedules.uniform(0.5), granularity="branch", per="sample", example=tokens
    )
    layers = dict.fromkeys(block.path for block in handle.blocks)
    assert (len(layers), len(handle.blocks)) == (3, 6)
    gates = 2 * torch.randint(2, shape, generator=torch.Generator().manual_seed(2)).double()
    with sd.gating(model, gates):
        actual = model(tokens).last_hidden_state
    handle.remove()
    rows = iter(gates)
    for layer in layers:
        for path in LAST[build.__name__]:
            model.get_submodule(f"{layer}.{path}").register_forward_hook(_rows(next(rows)))
    assert (actual - model(tokens).last_hidden_state).abs().max() < 1e-12
    assert (gates == 0).any()


def _rows(gate: torch.Tensor):
    def multiply(module, args, output):
        if isinstance(output, tuple):
            return output[0] * gate.view(-1, 1, 1), *output[1:]
        return output * gate.view(-1, 1, 1)

    return multiply


def test_generation_after_training_is_unchanged():
    model = transformers.LlamaForCausalLM(transformers.LlamaConfig(**SMALL)).eval()
    tokens = torch.randint(1, 20, (1, 4))
    expected = model.generate(tokens, max_new_tokens=3, do_sample=False, pad_token_id=0)
    sd.apply(model, sd.schedules.uniform(0.5), example=tokens)
    assert torch.equal(
        model.generate(tokens, max_new_tokens=3, do_sample=False, pad_token_id=0), expected
    )


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])  # its stream stays in float32
@pytest.mark.parametrize("name", ["Mamba", "Mamba2"])
def test_a_block_whose_mixer_adds_within_its_branch_is_one_block(name, dtype):
    own = {"num_heads": 4, "head_dim": 8, "n_groups": 1} if name == "Mamba2" else {}
    config = getattr(transformers, f"{name}Config")(
        vocab_size=20, hidden_size=16, num_hidden_layers=3, state_size=4, **own
    )
    model, tokens = (
        getattr(transformers, f"{name}Model")(config).to(dtype).eval(),
        torch.arange(14).view(2, 7),
    )
    gates = torch.tensor([1.0, 0.0, 1.0])
    assert [block.path for block in sd.find_blocks(model)] == ["layers.0", "layers.1", "layers.2"]
    with sd.gating(model, gates):
        actual = model(tokens).last_hidden_state
    model.layers[1].mixer.register_forward_hook(lambda _, __, y: y * 0)
    assert (actual - model(tokens).last_hidden_state).abs().max() < 1e-6

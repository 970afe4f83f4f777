"""Adapters of PEFT on models with stochastic depth: trained, merged, unloaded and cut out."""

import pytest
import torch
from torch import Tensor, nn

import stochastic_depth as sd

from .language_models import gpt2, llama, padded

peft = pytest.importorskip("peft")
# It asks transformers by a name that transformers has replaced.
pytestmark = pytest.mark.filterwarnings("ignore:.*gradient_checkpointing:FutureWarning")

BUILD = {"gpt2": gpt2, "llama": llama}
TARGETS = {"gpt2": ["c_attn"], "llama": ["q_proj", "down_proj"]}
GATES = torch.tensor([1.0, 0.0, 1.0])


def adapted(family: str, first: str) -> tuple[nn.Module, nn.Module, sd.surgery.Handle]:
    """Return a decoder, what PEFT puts around it, and the handle of the one with gates."""
    base = BUILD[family](use_cache=False)
    config = peft.LoraConfig(
        r=2, target_modules=TARGETS[family], task_type="CAUSAL_LM", fan_in_fan_out=family == "gpt2"
    )
    if first == "gates":
        handle = sd.apply(base, sd.schedules.uniform(0.5), seed=0)
    model = peft.get_peft_model(base, config)
    if first == "adapters":
        handle = sd.apply(model, sd.schedules.uniform(0.5), seed=0)
    generator = torch.Generator().manual_seed(1)
    for name, weight in model.named_parameters():
        if "lora" in name:  # an adapter starts as nothing, and would hide mistakes
            nn.init.normal_(weight, std=0.3, generator=generator)
    return base, model.eval(), handle


@torch.no_grad()
def logits(model: nn.Module) -> Tensor:
    batch = padded()
    return model(input_ids=batch["input_ids"], attention_mask=batch["attention_mask"]).logits


def without(model: nn.Module, gates: Tensor) -> Tensor:
    with sd.gating(model, gates):
        return logits(model)


@pytest.fixture(params=["gates", "adapters"])
def first(request) -> str:
    return request.param


@pytest.mark.parametrize("family", BUILD)
def test_adapters_train_and_the_rest_of_the_model_does_not(family, first):
    _, model, handle = adapted(family, first)
    before = {name: weight.clone() for name, weight in model.named_parameters()}
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=0.02)
    model.train()
    for step in range(4):
        optimizer.zero_grad()
        model(**padded()).loss.backward()
        for block, gate in zip(handle.blocks, handle.gates, strict=True):
            layer = handle.model.get_submodule(block.path)
            grads = {p.grad is not None for p in layer.parameters() if p.requires_grad}
            assert grads == {bool(gate)}
        assert handle.step == step + 1
        optimizer.step()
    for name, weight in model.named_parameters():
        assert torch.equal(weight, before[name]) == ("lora" not in name), name


@pytest.mark.parametrize("family", BUILD)
def test_the_adapters_of_a_block_that_is_cut_out_go_with_it(family, first):
    _, model, _ = adapted(family, first)
    short = sd.extract(model, GATES)
    assert type(short) is peft.PeftModelForCausalLM
    assert (logits(short) - without(model, GATES)).abs().max() < 1e-12
    count = [sum("lora" in name for name, _ in m.named_parameters()) for m in (model, short)]
    assert count[1] == count[0] * 2 // 3
    assert short.get_base_model().config.num_hidden_layers == 2
    merged = short.merge_and_unload()
    assert not any("lora" in name for name, _ in merged.named_modules())
    assert (logits(merged) - without(model, GATES)).abs().max() < 1e-12


def test_merging_and_unloading_keep_gates_that_were_there_before():
    base, model, handle = adapted("llama", "gates")
    expected = without(model, GATES)
    model.merge_adapter()
    assert (without(model, GATES) - expected).abs().max() < 1e-12
    model.unmerge_adapter()
    assert sd.surgery.handle(model).model is base
    plain = model.merge_and_unload()
    assert sd.surgery.handle(plain).model is handle.model
    assert (without(plain, GATES) - expected).abs().max() < 1e-12
    plain.requires_grad_(True).train()(**padded()).loss.backward()
    assert handle.step == 1


@pytest.mark.parametrize(
    "ask", [sd.surgery.handle, lambda m: sd.extract(m, GATES), lambda m: sd.gated(m), without]
)
def test_a_model_that_was_taken_out_of_the_one_with_gates(ask):
    _, model, handle = adapted("llama", "adapters")
    plain = model.merge_and_unload()
    with pytest.raises(sd.Unsupported, match=r"taken out of. Call remove\(\) of its handle first"):
        ask(plain) if ask is not without else without(plain, GATES)
    handle.remove()
    assert len(sd.apply(plain, sd.schedules.uniform(0.5)).blocks) == 3

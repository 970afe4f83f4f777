"""Decoders of transformers in the loops that people write."""

import pytest
import torch
from torch import Tensor, nn
from transformers import BatchEncoding, MixtralConfig, MixtralForCausalLM

import stochastic_depth as sd

from .language_models import DECODERS, GENERATE, SMALL, gpt2, llama, padded

TOKENS = padded()["input_ids"][1:]


@pytest.fixture(params=DECODERS)
def decoder(request) -> nn.Module:
    return DECODERS[request.param]()


def trained(model: nn.Module, steps: int = 4) -> list[float]:
    """Train with a padding mask, labels and the default cache; return the losses."""
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=0.01)
    losses = []
    for _ in range(steps):
        output = model.train()(**padded())
        output.loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        losses.append(output.loss.item())
    return losses


@pytest.mark.parametrize("per", ["batch", "sample"])
def test_the_commonest_loop_skips_layers_and_generates_as_without_gates(decoder, per):
    handle = sd.apply(decoder, sd.schedules.uniform(0.5), per=per, seed=2)
    assert not any(block.masked or block.reason for block in handle.blocks)
    assert decoder.config.use_cache
    losses = trained(decoder)
    assert losses[-1] < losses[0]
    text = decoder.eval().generate(TOKENS, **GENERATE)
    assert torch.equal(decoder.generate(TOKENS, use_cache=False, **GENERATE), text)
    handle.remove()
    assert torch.equal(decoder.generate(TOKENS, **GENERATE), text)


@pytest.mark.parametrize("gates", [[0.0, 1.0, 0.0], [1.0, 0.5, 2.0]])
def test_under_forced_gates_the_cache_changes_nothing(decoder, gates):
    with sd.gating(decoder, torch.tensor(gates)):
        text = decoder.generate(TOKENS, **GENERATE)
        assert torch.equal(decoder.generate(TOKENS, use_cache=False, **GENERATE), text)


BATCH = {name: value for name, value in padded().items() if name != "labels"}


@pytest.mark.parametrize(
    "example", [None, BATCH, BatchEncoding(BATCH), (BATCH["input_ids"],), BATCH["input_ids"]]
)
def test_any_example_that_people_have_will_do(example):
    model = gpt2()
    assert len(sd.apply(model, sd.schedules.uniform(0.5), example=example).blocks) == 3
    model.train()(**padded()).loss.backward()


def gradients(model: nn.Module, handle: sd.surgery.Handle) -> list[Tensor | None]:
    handle.step = 5
    model.zero_grad()
    model.train()(**padded()).loss.backward()
    return [None if p.grad is None else p.grad.clone() for p in model.parameters()]


@pytest.mark.parametrize("reentrant", [True, False])
@pytest.mark.parametrize("build", [gpt2, llama])
def test_checkpointing_of_activations_changes_no_gradient(build, reentrant):
    model = build()
    handle = sd.apply(model, sd.schedules.uniform(0.5), per="sample", seed=3)
    expected = gradients(model, handle)
    newest = getattr(model, "activation_checkpointing_enable", None)
    (newest or model.gradient_checkpointing_enable)({"use_reentrant": reentrant})
    if reentrant:
        model.enable_input_require_grads()
    for ours, theirs in zip(gradients(model, handle), expected, strict=True):
        assert (ours is None) == (theirs is None)
        assert ours is None or (ours - theirs).abs().max() < 1e-12


def test_the_number_of_hidden_states_does_not_depend_on_the_draw(decoder):
    sd.apply(decoder, sd.schedules.uniform(0.3), seed=0)
    decoder.train()
    counts = {len(decoder(**padded(), output_hidden_states=True).hidden_states) for _ in range(4)}
    assert counts == {4}


def test_a_cache_asked_for_in_training_is_filled_and_said():
    model = llama()
    sd.apply(model, sd.schedules.uniform(0.0), seed=0)
    model.train()
    with pytest.warns(UserWarning, match="an object that it may change for others"):
        output = model(**padded(), use_cache=True)
    assert output.past_key_values.get_seq_length(2) == 7


@pytest.mark.parametrize("per", ["batch", "sample"])
def test_the_loss_of_routers_is_that_of_the_layers_that_run(per):
    config = MixtralConfig(**SMALL, num_local_experts=2, output_router_logits=True)
    model = MixtralForCausalLM(config).train()
    handle = sd.apply(model, sd.schedules.uniform(0.5), per=per, seed=0)
    if per == "sample":
        with pytest.warns(UserWarning, match="the router of every sample was asked for"):
            output = model(**padded())
    else:
        output = model(**padded())
    output.loss.backward()
    ran = 3 if per == "sample" else int((handle.gates != 0).sum())
    assert ran > 0
    assert len(output.router_logits) == ran


class Adapter(nn.Module):
    """A low-rank adapter around a linear layer."""

    def __init__(self, layer: nn.Module, inputs: int, outputs: int) -> None:
        super().__init__()
        self.layer = layer
        self.down = nn.Linear(inputs, 2, bias=False, dtype=torch.float64)
        self.up = nn.Linear(2, outputs, bias=False, dtype=torch.float64)

    def forward(self, x: Tensor) -> Tensor:
        return self.layer(x) + self.up(self.down(x))


def adapted(model: nn.Module) -> None:
    model.requires_grad_(False)
    for layer in model.model.layers:
        attention = layer.self_attn
        attention.q_proj = Adapter(attention.q_proj, 16, 16)
        layer.mlp.down_proj = Adapter(layer.mlp.down_proj, 32, 16)


@pytest.mark.parametrize("first", ["gates", "adapters"])
def test_adapters_train_whether_they_come_before_or_after_the_gates(first):
    model = llama()
    if first == "adapters":
        adapted(model)
    handle = sd.apply(model, sd.schedules.uniform(0.5), seed=0)
    if first == "gates":
        adapted(model)
    frozen = model.lm_head.weight.clone()
    losses = trained(model, 6)
    assert losses[-1] < losses[0]
    assert torch.equal(model.lm_head.weight, frozen)
    model.eval()
    gates = torch.tensor([1.0, 0.0, 1.0])
    with sd.gating(model, gates):
        expected = model(TOKENS).logits
    assert (sd.extract(model, gates)(TOKENS).logits - expected).abs().max() < 1e-12
    assert len(handle.blocks) == 3


@pytest.mark.parametrize("scale", ["block", "branch"])
def test_a_dropped_layer_that_runs_for_its_attention_map_has_the_gradients_asked_for(scale):
    model = llama(attn_implementation="eager").train()
    sd.apply(model, sd.schedules.uniform(0.5), scale=scale, dropped_grads="zero", seed=0)
    with sd.gating(model, torch.tensor([1.0, 0.0, 1.0])):
        model(TOKENS, output_attentions=True).logits.square().mean().backward()
    gradients = [parameter.grad for parameter in model.model.layers[1].parameters()]
    assert all(gradient is not None and not gradient.any() for gradient in gradients)

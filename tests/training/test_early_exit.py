"""Losses at every layer, beside an implementation by hooks and loops."""

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from transformers import Cohere2Config, Cohere2ForCausalLM, Trainer, TrainingArguments

import stochastic_depth as sd
from stochastic_depth.training.early_exit import Gradual, Rotational, early_exit, exit_weights
from stochastic_depth.training.huggingface import EarlyExit

from ..surgery.language_models import DECODERS, SMALL, llama, padded, randomised

LAYERS = {
    "gpt2": ("transformer.h", "transformer.ln_f"),
    "llama": ("model.layers", "model.norm"),
    "qwen3": ("model.layers", "model.norm"),
    "mistral": ("model.layers", "model.norm"),
}


def reference(name: str, model: nn.Module, enabled: list[bool], scale: float) -> Tensor:
    """Return the loss of LayerSkip, as its paper writes it."""
    layers, norm = LAYERS[name]
    outputs, batch = [], padded()
    hooks = [
        layer.register_forward_hook(
            lambda _, __, y: outputs.append(y[0] if isinstance(y, tuple) else y)
        )
        for layer in model.get_submodule(layers)
    ]
    model(**batch)
    for hook in hooks:
        hook.remove()
    last, total, weights = len(outputs) - 1, 0.0, 0.0
    for number, hidden in enumerate(outputs):
        if number == last:
            weight = last + scale * sum(range(last))
        else:
            weight = scale * sum(range(number + 1)) * enabled[number]
        logits = model.lm_head(model.get_submodule(norm)(hidden)).float()  # as transformers does
        labels = batch["labels"][:, 1:].flatten()
        total = total + weight * cross_entropy(logits[:, :-1].flatten(0, 1), labels)
        weights += weight
    return total / weights


@pytest.mark.parametrize("name", DECODERS)
@pytest.mark.parametrize("step", [0, 1])
def test_the_loss_is_that_of_the_paper_and_its_gradient(name, step):
    model = DECODERS[name](**{"n_layer" if name == "gpt2" else "num_hidden_layers": 4})
    layers = model.config.num_hidden_layers
    model.train()
    expected = reference(name, model, [(n - step) % 2 == 0 for n in range(layers)], 0.3)
    expected.backward()
    gradients = [parameter.grad.clone() for parameter in model.parameters()]
    model.zero_grad()
    with early_exit(model, Rotational(every=2), scale=0.3) as exits:
        exits.step = step
        loss = model(**padded()).loss
    loss.backward()
    assert loss.item() == pytest.approx(expected.item(), rel=1e-6)
    for parameter, gradient in zip(model.parameters(), gradients, strict=True):
        assert (parameter.grad - gradient).abs().max() < 1e-6
    assert model(**padded()).loss.item() != pytest.approx(loss.item(), rel=1e-4)


def test_with_stochastic_depth_it_sees_what_the_gates_leave():
    model = llama()
    sd.apply(model, sd.schedules.uniform(0.5), per="sample", rescale="none", seed=4)
    gates = torch.tensor([[1.0, 0.0, 1.0, 1.0], [0.0, 1.0, 1.0, 0.0], [1.0, 1.0, 0.0, 0.0]])
    model.train()
    with sd.gating(model, gates):
        expected = reference("llama", model, [True] * 3, 1.0)
        with early_exit(model, Rotational(every=1)):
            assert model(**padded()).loss.item() == pytest.approx(expected.item(), rel=1e-6)


def test_evaluation_and_batches_without_labels_stay_as_they_are():
    model, batch = llama(), padded()
    before = model(**batch).loss.item()
    with early_exit(model):
        assert model(**batch).loss.item() == before
        model.train()
        del batch["labels"]
        assert model(**batch).loss is None


def test_the_rotation_enables_every_layer_equally_often():
    rotation = Rotational(every=3)
    flags = torch.stack([rotation(step, 12, 7) for step in range(12)])
    assert flags.sum(0).tolist() == [4] * 7
    assert flags[4].nonzero().flatten().tolist() == [1, 4]


def test_the_gradual_curriculum_goes_from_the_last_layer_to_the_first():
    layers, steps = 4, 16
    for step in range(steps):
        enabled = [layer >= layers - 1 - step // (steps // (2 * layers)) for layer in range(layers)]
        assert Gradual()(step, steps, layers).tolist() == enabled


def test_weights():
    assert exit_weights(torch.tensor([True] * 4), 1.0).tolist() == pytest.approx(
        [0, 1 / 10, 3 / 10, 6 / 10]
    )
    assert exit_weights(torch.tensor([True, False, True, False]), 0.5).tolist() == pytest.approx(
        [0, 0, 1.5 / 6, 4.5 / 6]
    )
    assert exit_weights(torch.tensor([False]), 1.0).tolist() == [1.0]


def test_bad_arguments():
    with pytest.raises(sd.InvalidArgument, match="model must be a language model of transformers"):
        early_exit(nn.Linear(2, 2)).__enter__()
    with pytest.raises(sd.InvalidArgument, match="scale must be at least 0"):
        early_exit(llama(), scale=-1).__enter__()
    with pytest.raises(sd.InvalidArgument, match="until must be"):
        Gradual(1.5)
    with pytest.raises(sd.InvalidArgument, match="every must be"):
        Rotational(0)


def test_a_model_that_scales_its_logits_is_refused():
    config = Cohere2Config(**SMALL, head_dim=8, logit_scale=0.25)
    model = randomised(Cohere2ForCausalLM(config)).train()
    with early_exit(model), pytest.raises(sd.Unsupported, match=r"must be head\(norm\(h\)\)"):
        model(**padded())


def test_in_a_trainer(tmp_path):
    model = llama().float()
    handle = sd.apply(model, sd.schedules.linear(0.5), seed=1)
    rows = [dict(zip(padded(), row, strict=True)) for row in zip(*padded(8).values(), strict=True)]
    arguments = TrainingArguments(
        str(tmp_path), max_steps=4, per_device_train_batch_size=4, use_cpu=True, report_to=[],
        disable_tqdm=True, save_strategy="no", logging_steps=2, activation_checkpointing=True,
        activation_checkpointing_kwargs={"use_reentrant": False}, dataloader_pin_memory=False,
    )  # fmt: skip
    callback = EarlyExit(model, Gradual(), scale=0.2)
    trainer = Trainer(model, arguments, train_dataset=rows, callbacks=[callback])
    trainer.train()
    assert (callback.exits.step, callback.exits.steps) == (3, 4)
    assert handle.step >= 4
    assert not model._forward_hooks
    draft = model.eval().generate(
        padded()["input_ids"][1:2], assistant_early_exit=2, max_new_tokens=4, do_sample=False
    )
    plain = model.generate(padded()["input_ids"][1:2], max_new_tokens=4, do_sample=False)
    assert torch.equal(draft, plain)

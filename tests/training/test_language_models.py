"""Language models in the loop: what is trained, what differs within a batch, what is refused."""

import json
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn.functional import cross_entropy
from torch.utils.data import DataLoader

import stochastic_depth as sd
from stochastic_depth import DataError, InvalidArgument, Unsupported
from stochastic_depth.experiments import RunRecord, compare
from stochastic_depth.reports import write_page
from stochastic_depth.surgery import plan
from stochastic_depth.training import Component, RunConfig, load, prepare, restore, train
from stochastic_depth.training._checkpoint import read
from stochastic_depth.training._depth_record import StepGates
from stochastic_depth.training._loop import training_batches
from stochastic_depth.training._measurements import Measurements
from stochastic_depth.training.run_record import MEASURES

pytest.importorskip("transformers")
from accelerate import Accelerator
from accelerate.state import AcceleratorState
from transformers import Trainer, TrainingArguments

from stochastic_depth.training.huggingface import StochasticDepth
from stochastic_depth.training.language_models import CausalLM

from ..surgery.language_models import gpt2, llama

SMALL = {
    "model.init_args.depth": 3,
    "model.init_args.width": 16,
    "model.init_args.heads": 2,
    "data.length": 16,
    "data.limit": 96,
    "data.validation": 8,
    "data.test_limit": 8,
    "batch_size": 8,
    "threads": 1,
    "loggers": [],
}
"""Twelve steps of eight sequences an epoch; three blocks."""

LONGER = {"epochs": 2, "checkpoint_every_steps": 5, "gradient_clip": 0.5}


def configured(text: Path, **overrides) -> RunConfig:
    dotted = {name.replace("__", "."): value for name, value in overrides.items()}
    return load("elhoushi2026_shakespeare", SMALL | {"data.name": str(text)} | dotted)


@pytest.fixture(scope="module")
def text(tmp_path_factory) -> Path:
    """Return the path of a text in which a letter says much about the next one."""
    generator = torch.Generator().manual_seed(0)
    steps = torch.randint(1, 3, (4000,), generator=generator).cumsum(0) % 26
    path = tmp_path_factory.mktemp("text") / "text.txt"
    path.write_bytes(bytes((steps + ord("a")).tolist()))
    return path


@pytest.fixture
def config(text):
    """Return a function from overrides to a small configuration."""
    return partial(configured, text)


@pytest.fixture(scope="module")
def whole(text, tmp_path_factory) -> Path:
    """Return a run that nothing has stopped."""
    run = tmp_path_factory.mktemp("whole") / "run"
    train(configured(text, **LONGER), run, progress=False)
    return run


def weights(run: Path) -> dict[str, torch.Tensor]:
    return read(run / "checkpoints" / "last.ckpt")["model"]


def test_the_loss_falls_and_the_record_has_it_with_tokens_per_second(whole):
    run = RunRecord.read(whole)
    first, second = run.metrics["train_loss"]
    assert second < first - 0.2
    assert MEASURES["test_loss_last"](run) == run.metrics["test_loss"][-1]
    tokens = MEASURES["tokens_per_second"](run)
    assert tokens == pytest.approx(2 * 96 * 16 / run.metrics["seconds"].sum())
    assert run.data["tokens"] == 16


def bare_loop(settings):
    """Train without the program: a for loop of plain PyTorch, which clips as torch does."""
    prepared = prepare(settings)
    model, handle = prepared.model, prepared.handle
    optimizer = torch.optim.AdamW(model.parameters(), lr=1.0, weight_decay=0.01)
    batches = training_batches(prepared.splits.train, settings)
    clipped = 0
    for step in range(24):
        tokens, following = batches.batch(*divmod(step, 12))
        handle.step = step
        handle.survival = prepared.curriculum(step / 24)
        optimizer.param_groups[0]["lr"] = prepared.rate(step)
        loss = cross_entropy(model(tokens).view(8 * 16, -1), following.view(8 * 16))
        optimizer.zero_grad()
        loss.backward()
        norm = torch.nn.utils.clip_grad_norm_(model.parameters(), settings.gradient_clip)
        clipped += int(norm > settings.gradient_clip)
        optimizer.step()
    return model, clipped


def test_the_program_is_the_bare_loop_to_the_bit(whole, config):
    model, clipped = bare_loop(config(**LONGER))
    assert clipped > 2
    trained = model.state_dict()
    assert all(torch.equal(value, trained[name]) for name, value in weights(whole).items())


def test_a_killed_run_ends_with_the_same_weights(whole, config, tmp_path, monkeypatch):
    settings, run = config(**LONGER), tmp_path / "killed"
    add = Measurements.add

    def die(self, step, *rest):
        if step == 17:
            raise KeyboardInterrupt("killed")
        add(self, step, *rest)

    monkeypatch.setattr(Measurements, "add", die)
    with pytest.raises(KeyboardInterrupt, match="killed"):
        train(settings, run, progress=False)
    monkeypatch.undo()
    assert read(run / "checkpoints" / "last.ckpt")["step"] == 15
    train(settings, run, progress=False)
    resumed = weights(run)
    assert all(torch.equal(value, resumed[name]) for name, value in weights(whole).items())
    metrics = [RunRecord.read(each).metrics.drop("seconds") for each in (whole, run)]
    assert metrics[0].equals(metrics[1])


@pytest.mark.parametrize("family", ["gpt2", "llama"])
def test_gates_differ_between_the_sequences_of_a_batch(family, config):
    prepared = prepare(config(model__init_args__name=family))
    prepared.handle.step = 0
    prepared.model(prepared.splits.train.inputs(torch.arange(8)))
    drawn = prepared.handle.gates
    assert drawn.shape == (3, 8)
    assert torch.equal(drawn[0], torch.ones(8))
    assert 0 < int((drawn[-1] == 0).sum()) < 8
    assert "a gate scales each branch of its block" in str(plan(prepared.model))


def test_blocks_come_back_as_the_curriculum_falls_to_nothing(whole):
    shares = np.load(whole / "gates.npy")
    assert shares.shape == (24, 3)
    assert 0 < shares[0, -1] < 1
    assert shares[:8, -1].mean() < 0.6 < 0.7 < shares[-8:, -1].mean()


def test_bf16_accumulation_and_a_page_of_two_variants(config, tmp_path):
    settings = config(precision="bf16", accumulate=2)
    variants = {"constant": {"depth.enabled": False}, "random": {}}
    comparison = compare(settings, variants, [0], tmp_path / "runs")
    assert comparison.failures == {}
    assert comparison.test_error is MEASURES["test_loss_at_best"]
    write_page(comparison, tmp_path / "page.html")
    html = (tmp_path / "page.html").read_text()
    assert "test loss at best validation" in html
    assert "96 training and 8 test sequences" in html
    assert "test images" not in html
    assert "No clear difference in test loss: constant − random = " in html
    assert "points" not in html.partition("No clear")[2].partition("<")[0]


def test_a_run_is_restored_and_its_tokenizer_kept(config, tmp_path):
    pytest.importorskip("tokenizers")
    settings = config(data__tokenizer="bpe", data__vocabulary=300, data__limit=40)
    train(settings, tmp_path / "run", progress=False)
    restored = restore(tmp_path / "run")
    assert restored.step == 5
    vocabulary = json.loads((tmp_path / "run" / "tokenizer.json").read_text())["model"]["vocab"]
    assert len(vocabulary) == restored.prepared.splits.num_classes


def test_a_pretrained_model_goes_on_from_its_weights(config, tmp_path):
    model = CausalLM(256, 16, depth=2, width=8, heads=2)
    model.model.save_pretrained(tmp_path / "model")
    again = CausalLM(256, 16, weights=str(tmp_path / "model"))
    tokens = torch.randint(256, (2, 16), generator=torch.Generator().manual_seed(0))
    assert torch.equal(again.eval()(tokens), model.eval()(tokens))
    path = str(tmp_path / "model")
    prepared = prepare(config(data__tokenizer="bytes", model__init_args__weights=path))
    assert len(prepared.blocks) == 2
    with pytest.raises(InvalidArgument, match="weights must be a model of the 300 tokens"):
        CausalLM(300, 16, weights=path)
    with pytest.raises(InvalidArgument, match="weights must be a model for sequences of 17"):
        CausalLM(256, 17, weights=path)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"name": "gpt22"}, "model name must be a family .* 'gpt22'. Did you mean 'gpt2'"),
        ({"width": 30}, "width must be a multiple of the 4 heads; got 30"),
        ({"depth": 0}, "depth must be at least 1"),
        ({"options": {"activation_function": "none"}}, "model must be a configuration of gpt2"),
    ],
)
def test_models_that_cannot_be_built(arguments, message):
    with pytest.raises(InvalidArgument, match=message) as refusal:
        CausalLM(256, 16, **arguments)
    assert "\n" not in str(refusal.value)


def test_weights_that_cannot_be_read(tmp_path):
    with pytest.raises(DataError, match="weights must be a folder that save_pretrained wrote"):
        CausalLM(256, 16, weights=str(tmp_path))


def test_a_model_of_images_is_refused_before_anything_is_written(config, tmp_path):
    network = Component("stochastic_depth.models.CifarResNet", {"depth": 8, "num_classes": 26})
    settings = replace(config(), model=network)
    with pytest.raises(InvalidArgument, match="model CifarResNet must be a map from sequences"):
        train(settings, tmp_path / "run", progress=False)
    assert not (tmp_path / "run").exists()


def test_sensitivities_of_whole_numbers_do_not_exist(config):
    with pytest.raises(InvalidArgument, match="depth.schedule must be one that needs no sens"):
        config(depth__schedule="sense", depth__last=None, depth__budget=0.4)


def test_a_diagnosis_is_refused_in_words(config, tmp_path):
    from stochastic_depth.experiments import diagnose

    train(config(data__limit=8), tmp_path / "run", progress=False)
    with pytest.raises(Unsupported, match="must be a run on images; it is a language model"):
        diagnose(tmp_path / "run", masks=20)


def test_a_survival_of_nothing_is_refused(config):
    settings = config(
        depth__schedule="uniform", depth__last=0.0, depth__curriculum="constant", depth__until=None
    )
    with pytest.raises(InvalidArgument, match="depth must be a schedule under which some block"):
        prepare(settings)


@pytest.mark.parametrize("recipe", ["elhoushi2026_shakespeare", "demo_digits"])
def test_a_family_by_its_name(recipe):
    model = load(recipe, {"model": "transformers/llama"}).model
    assert model.class_path == f"{CausalLM.__module__}.CausalLM"
    assert model.init_args["name"] == "transformers/llama"
    network = Component(model.class_path, model.init_args).build(vocab_size=9, length=4)
    assert type(network.model).__name__ == "LlamaForCausalLM"


STEPS = 6
"""Of the trainings below, which have nothing in common but the model and `apply`."""


def applied(family: str, seed: int, p: torch.Tensor):
    """Return a decoder with gates per sequence, and a list that fills with those of each step."""
    model = {"gpt2": gpt2, "llama": llama}[family](use_cache=False).float()
    handle = sd.apply(model, p, per="sample", scale="branch", seed=seed)
    seen: list[tuple[int, list[list[float]]]] = []

    def note(module, *_) -> None:
        if module.training:
            seen.append((handle.step - 1, handle.gates.tolist()))

    model.register_forward_hook(note)
    return model.train(), handle, seen


def sequences() -> list[dict[str, torch.Tensor]]:
    tokens = torch.randint(3, 50, (8 * STEPS, 16), generator=torch.Generator().manual_seed(2))
    return [{"input_ids": row, "labels": row} for row in tokens]


def by_hand(model, handle, curriculum, directory):
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.01)
    for step, batch in enumerate(DataLoader(sequences(), batch_size=8)):
        handle.survival = curriculum(step / STEPS)
        optimizer.zero_grad()
        model(**batch).loss.backward()
        optimizer.step()


def by_accelerate(model, handle, curriculum, directory):
    AcceleratorState._reset_state()  # one precision per process, unless told to forget it
    accelerator = Accelerator(cpu=True)
    batches = DataLoader(sequences(), batch_size=8, shuffle=True)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    model, optimizer, batches = accelerator.prepare(model, optimizer, batches)
    for step, batch in enumerate(batches):
        handle.survival = curriculum(step / STEPS)
        optimizer.zero_grad()
        accelerator.backward(model(**batch).loss)
        optimizer.step()


def by_trainer(model, handle, curriculum, directory):
    arguments = TrainingArguments(
        str(directory),
        max_steps=STEPS,
        per_device_train_batch_size=8,
        use_cpu=True,
        report_to=[],
        disable_tqdm=True,
        save_strategy="no",
        dataloader_pin_memory=False,
    )
    callbacks = [StochasticDepth(handle, curriculum)]
    Trainer(model, arguments, train_dataset=sequences(), callbacks=callbacks).train()


@pytest.mark.parametrize("family", ["gpt2", "llama"])
def test_every_trainer_runs_a_step_under_the_same_gates(family, config, tmp_path, monkeypatch):
    settings = config(model__init_args__name=family, data__limit=8 * STEPS)
    ours: list[tuple[int, list[list[float]]]] = []
    end = StepGates.end_part

    def note(self) -> None:
        end(self)
        ours.append((self.handle.step - 1, self.drawn[-1].tolist()))

    monkeypatch.setattr(StepGates, "end_part", note)
    train(settings, tmp_path / "run", progress=False)
    prepared = prepare(settings)
    assert [step for step, _ in ours] == list(range(STEPS))
    assert len({str(gates) for _, gates in ours}) == STEPS
    for training in (by_hand, by_accelerate, by_trainer):
        p = prepared.curriculum(0.0)
        model, handle, seen = applied(family, prepared.handle.seed, p)
        training(model, handle, prepared.curriculum, tmp_path / training.__name__)
        assert seen == ours, training.__name__

"""The Trainer of transformers and Accelerate: the gates of a step, also after resuming."""

from pathlib import Path

import pytest
import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from torch.utils.data import DataLoader
from transformers import Trainer, TrainingArguments

import stochastic_depth as sd
from stochastic_depth.training.huggingface import StochasticDepth

LAYERS, STEPS = 4, 6
EXAMPLE = torch.zeros(2, 4)


class Network(nn.Module):
    """What a Trainer trains: a module that returns its loss."""

    def __init__(self) -> None:
        super().__init__()
        self.chain = sd.models.VanillaResNet(depth=LAYERS, width=8, inputs=4, outputs=2)

    def forward(self, x: Tensor, labels: Tensor | None = None) -> dict[str, Tensor]:
        logits = self.chain(x)
        loss = {} if labels is None else {"loss": cross_entropy(logits, labels)}
        return loss | {"logits": logits}


def network() -> nn.Module:
    torch.manual_seed(0)
    return Network()


def points() -> list[dict[str, Tensor]]:
    x = torch.randn(96, 4, generator=torch.Generator().manual_seed(1))
    return [{"x": row, "labels": (row.sum() > 0).long()} for row in x]


def recorded(handle: sd.surgery.Handle) -> list[tuple[int, list[float]]]:
    """Return a list that fills with the (step, gates) of every training forward."""
    seen: list[tuple[int, list[float]]] = []

    def note(*_: object) -> None:
        if handle.model.training:
            seen.append((handle.step - 1, handle.gates.tolist()))

    handle.model.register_forward_hook(note)
    return seen


def trainer(directory: Path, *, accumulate: int = 1, curriculum=None, steps: int = STEPS):
    model = network()
    handle = sd.apply(model, sd.schedules.uniform(0.7), seed=6, example=EXAMPLE)
    arguments = TrainingArguments(
        str(directory),
        max_steps=steps,
        per_device_train_batch_size=8,
        gradient_accumulation_steps=accumulate,
        learning_rate=0.01,
        lr_scheduler_type="constant",
        save_steps=3,
        use_cpu=True,
        report_to=[],
        disable_tqdm=True,
        logging_steps=2,
        dataloader_pin_memory=False,
    )
    callback = StochasticDepth(handle, curriculum)
    made = Trainer(model, arguments, train_dataset=points(), callbacks=[callback])
    return made, recorded(handle), handle


def drawn(step: int, p: float = 0.7) -> list[float]:
    law = sd.gates.Bernoulli([p] * LAYERS, rescale="train")
    return law.sample(generator=sd.gates.stream(6, step)).tolist()


@pytest.mark.parametrize("accumulate", [1, 2])
def test_every_forward_has_the_draw_of_its_number(accumulate, tmp_path):
    made, seen, _ = trainer(tmp_path, accumulate=accumulate)
    made.train()
    assert seen == [(step, drawn(step)) for step in range(accumulate * STEPS)]
    assert len({tuple(gates) for _, gates in seen}) > 2


def test_a_resumed_training_ends_with_the_same_weights(tmp_path):
    whole, gates, _ = trainer(tmp_path / "whole")
    whole.train()
    resumed, later, _ = trainer(tmp_path / "resumed")
    resumed.train(resume_from_checkpoint=str(tmp_path / "whole" / "checkpoint-3"))
    assert later == gates[3:]
    for ours, theirs in zip(resumed.model.parameters(), whole.model.parameters(), strict=True):
        assert torch.equal(ours, theirs)


@pytest.mark.parametrize("accumulate", [1, 2])
def test_it_logs_how_many_blocks_ran_and_the_survival_of_the_last(accumulate, tmp_path):
    made, seen, _ = trainer(tmp_path, accumulate=accumulate, curriculum=lambda t: 1 - 0.6 * t)
    made.train()
    lines = [line for line in made.state.log_history if "loss" in line]
    ran = [sum(gate != 0 for gate in gates) for _, gates in seen]
    each = 2 * accumulate
    assert len(lines) == STEPS // 2
    for number, line in enumerate(lines):
        assert line["depth/active"] == pytest.approx(sum(ran[number * each :][:each]) / each)
        progress = (2 * number + 1) / STEPS
        assert line["depth/survival_last"] == pytest.approx(1 - 0.6 * progress)


def test_a_curriculum_moves_the_probabilities(tmp_path):
    warmup = sd.curricula.warmup(torch.full((LAYERS,), 0.4, dtype=torch.float64), until=0.5)
    made, seen, handle = trainer(tmp_path, curriculum=warmup)
    made.train()
    p = [1.0, 0.8, 0.6, 0.4, 0.4, 0.4]
    assert [gates for _, gates in seen] == [drawn(step, p[step]) for step in range(STEPS)]
    assert float(handle.survival[0]) == pytest.approx(0.4)


@pytest.mark.parametrize("curriculum", [0.6, lambda progress: 1 - 0.6 * progress])
def test_one_number_stands_for_all_blocks(curriculum, tmp_path):
    made, seen, _ = trainer(tmp_path, curriculum=curriculum)
    made.train()
    for step, (_, gates) in enumerate(seen):
        p = curriculum(step / STEPS) if callable(curriculum) else curriculum
        assert gates == pytest.approx(drawn(step, p))


def accelerated(directory: Path, stop: int, start: int = 0) -> tuple[list[Tensor], list[object]]:
    """Train from one step to another with Accelerate; save at the end, load at the start."""
    AcceleratorState._reset_state()  # one precision per process, unless told to forget it
    accelerator = Accelerator(cpu=True, mixed_precision="bf16")
    model = network()
    handle = sd.apply(model, sd.schedules.uniform(0.7), seed=6, example=EXAMPLE)
    seen = recorded(handle)
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.01)
    model, optimizer, batches = accelerator.prepare(
        model, optimizer, DataLoader(points(), batch_size=8)
    )
    accelerator.register_for_checkpointing(handle)
    if start:
        accelerator.load_state(str(directory))
    for step, batch in enumerate(batches):
        if start <= step < stop:
            optimizer.zero_grad()
            accelerator.backward(model(**batch)["loss"])
            optimizer.step()
    accelerator.save_state(str(directory))
    return [weight.detach().clone() for weight in model.parameters()], seen


def test_accelerate_saves_and_restores_the_handle(tmp_path):
    whole, gates = accelerated(tmp_path / "whole", STEPS)
    assert gates == [(step, drawn(step)) for step in range(STEPS)]
    accelerated(tmp_path / "halves", 3)
    resumed, later = accelerated(tmp_path / "halves", STEPS, start=3)
    assert later == gates[3:]
    assert all(map(torch.equal, resumed, whole))

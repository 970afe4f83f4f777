"""The callback in a training of somebody else's: any LightningModule, any Trainer."""

import lightning.pytorch as pl
import pytest
import torch
from torch.nn.functional import cross_entropy
from torch.utils.data import DataLoader, TensorDataset

import stochastic_depth as sd
from stochastic_depth.training import StochasticDepth
from stochastic_depth.training._quiet import quiet

BLOCKS, STEPS = 5, 6
P = [1.0, 0.9, 0.7, 0.6, 0.4]


@pytest.fixture(autouse=True)
def _quiet():
    """What Lightning warns of is no concern of these tests."""
    with quiet():
        yield


class Module(pl.LightningModule):
    """Keeps the gates of every step, so that the test needs to know nothing of the callback."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.model = sd.models.VanillaResNet(depth=BLOCKS, width=8, inputs=4, outputs=2)
        self.depth = sd.apply(self.model, sd.schedules.fixed(P), seed=8)
        self.seen: list[tuple[int, list[float]]] = []

    def training_step(self, batch, batch_idx):
        x, y = batch
        loss = cross_entropy(self.model(x), y)
        self.seen.append((self.global_step, self.depth.gates.tolist()))
        return loss

    def configure_optimizers(self):
        return torch.optim.AdamW(self.parameters(), lr=0.01)


def fit(module: Module, directory, epochs: int, *, curriculum=None, checkpoint=None) -> None:
    noise = torch.Generator().manual_seed(1)
    x = torch.randn(24, 4, generator=noise)
    data = DataLoader(TensorDataset(x, (x.sum(1) > 0).long()), batch_size=8)
    trainer = pl.Trainer(
        max_epochs=epochs, accelerator="cpu", logger=False, enable_progress_bar=False,
        enable_model_summary=False, default_root_dir=directory,
        callbacks=[StochasticDepth(module.depth, curriculum)],
    )  # fmt: skip
    trainer.fit(module, data, ckpt_path=checkpoint)


def drawn(step: int, p=tuple(P)) -> list[float]:
    law = sd.gates.Bernoulli(p, rescale="train")
    return law.sample(generator=sd.gates.stream(8, step)).tolist()


def test_the_gates_of_a_step_are_those_of_its_number(tmp_path):
    module = Module()
    fit(module, tmp_path, epochs=2)
    assert module.seen == [(step, drawn(step)) for step in range(STEPS)]
    assert len({tuple(gates) for _, gates in module.seen}) > 2


def test_a_resumed_training_ends_with_the_same_weights(tmp_path):
    whole = Module()
    fit(whole, tmp_path / "whole", epochs=2)
    fit(Module(), tmp_path / "first", epochs=1)
    (checkpoint,) = (tmp_path / "first").rglob("*.ckpt")
    resumed = Module()
    fit(resumed, tmp_path / "second", epochs=2, checkpoint=checkpoint)
    assert resumed.seen == whole.seen[3:]
    for ours, theirs in zip(resumed.parameters(), whole.parameters(), strict=True):
        assert torch.equal(ours, theirs)


def test_a_curriculum_moves_the_probabilities(tmp_path):
    module = Module()
    full = torch.tensor(P, dtype=torch.float64)
    fit(module, tmp_path, epochs=2, curriculum=sd.curricula.warmup(full, until=0.5))
    for step, gates in module.seen:
        progress = min(1.0, step / STEPS / 0.5)
        assert gates == pytest.approx(drawn(step, 1 - progress * (1 - full))), step
    assert module.depth.survival.tolist() == P

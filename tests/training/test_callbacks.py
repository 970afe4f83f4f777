"""The callback in a training of somebody else's: any LightningModule, any Trainer."""

import lightning.pytorch as pl
import pytest
import torch
from torch.nn.functional import cross_entropy
from torch.utils.data import DataLoader, TensorDataset

import stochastic_depth as sd
from stochastic_depth.training import StochasticDepth
from stochastic_depth.training._launch import quiet

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


def fit(
    module: Module, directory, epochs: int, *,
    curriculum=None, checkpoint=None, accumulate=1, passes=1, fresh=True, batch=8,
) -> None:  # fmt: skip
    noise = torch.Generator().manual_seed(1)
    x = torch.randn(24, 4, generator=noise)
    data = DataLoader(TensorDataset(x, (x.sum(1) > 0).long()), batch_size=batch)
    trainer = pl.Trainer(
        max_epochs=epochs, accelerator="cpu", logger=False, enable_progress_bar=False,
        enable_model_summary=False, default_root_dir=directory,
        accumulate_grad_batches=accumulate,
        callbacks=[StochasticDepth(module.depth, curriculum, passes=passes, fresh=fresh)],
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


@pytest.mark.parametrize("passes", [1, 4])
def test_every_batch_that_gradients_are_accumulated_over_has_gates_of_its_own(passes, tmp_path):
    """Twelve batches in steps of four; Lightning's step stands still within each."""
    module = Module()
    fit(module, tmp_path, epochs=2, accumulate=4, passes=passes, batch=2)
    assert [step for step, _ in module.seen] == [batch // 4 for batch in range(24)]
    assert [gates for _, gates in module.seen] == [drawn(passes * batch) for batch in range(24)]
    for step in range(6):
        assert len({tuple(gates) for at, gates in module.seen if at == step}) > 1


def test_or_all_batches_of_a_step_have_the_same_gates(tmp_path):
    module = Module()
    fit(module, tmp_path, epochs=2, accumulate=4, fresh=False, batch=2)
    assert module.seen == [(batch // 4, drawn(batch // 4)) for batch in range(24)]


class Irregular(Module):
    """Two optimizers that step when they like: neither, one or both in a batch."""

    def __init__(self) -> None:
        super().__init__()
        self.automatic_optimization = False

    def training_step(self, batch, batch_idx):
        self.manual_backward(super().training_step(batch, batch_idx))
        for optimizer, every in zip(self.optimizers(), (2, 3), strict=True):
            if batch_idx % every == 0:
                optimizer.step()
                optimizer.zero_grad()

    def configure_optimizers(self):
        return [torch.optim.SGD(self.parameters(), lr=0.01) for _ in range(2)]


def test_optimizers_that_step_irregularly_do_not_repeat_a_draw(tmp_path):
    module = Irregular()
    fit(module, tmp_path, epochs=2, batch=2)
    assert [step for step, _ in module.seen][:5] == [0, 2, 2, 3, 4]
    assert [gates for _, gates in module.seen] == [drawn(batch) for batch in range(24)]


def test_a_training_resumed_between_two_steps_draws_what_comes_next(tmp_path):
    whole, resumed = Module(), Module()
    fit(whole, tmp_path / "whole", epochs=2, accumulate=2)  # three batches, two steps an epoch
    fit(Module(), tmp_path / "first", epochs=1, accumulate=2)
    (checkpoint,) = (tmp_path / "first").rglob("*.ckpt")
    fit(resumed, tmp_path / "second", epochs=2, accumulate=2, checkpoint=checkpoint)
    assert resumed.seen == whole.seen[3:]
    assert [gates for _, gates in whole.seen] == [drawn(batch) for batch in range(6)]


@pytest.mark.parametrize("curriculum", [0.6, lambda progress: 1 - 0.8 * progress])
def test_one_number_stands_for_all_blocks(curriculum, tmp_path):
    module = Module()
    fit(module, tmp_path, epochs=2, curriculum=curriculum)
    for step, gates in module.seen:
        p = curriculum(step / STEPS) if callable(curriculum) else curriculum
        assert gates == pytest.approx(drawn(step, [p] * BLOCKS)), step
    end = curriculum(1.0) if callable(curriculum) else curriculum
    assert module.depth.survival.tolist() == pytest.approx([end] * BLOCKS)


def test_a_number_that_is_no_probability_is_refused(tmp_path):
    with pytest.raises(sd.InvalidArgument, match=r"survival\[0\] must be in \[0, 1\]; got 1.5"):
        fit(Module(), tmp_path, epochs=1, curriculum=1.5)

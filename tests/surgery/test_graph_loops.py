"""Compiled models in the loops of others: compiled, and without what is dropped."""

from collections.abc import Callable
from pathlib import Path

import lightning.pytorch as pl
import pytest
import timm.optim
import timm.utils
import torch
from torch import Tensor, nn
from torch._dynamo.utils import counters
from torch.nn.functional import cross_entropy
from torch.profiler import profile
from torch.utils.data import DataLoader
from transformers import Trainer, TrainingArguments

import stochastic_depth as sd

pytestmark = pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor")

BATCH, STEPS = 16, 4


@pytest.fixture(autouse=True)
def _fresh_dynamo():
    torch._dynamo.reset()
    counters.clear()
    yield
    torch._dynamo.reset()


class Network(nn.Module):
    """A network that returns its loss, as a Trainer wants it."""

    def __init__(self) -> None:
        super().__init__()
        self.chain = sd.models.VanillaResNet(depth=6, width=32, inputs=4, outputs=2)

    def forward(self, x: Tensor, labels: Tensor) -> dict[str, Tensor]:
        logits = self.chain(x)
        return {"loss": cross_entropy(logits, labels), "logits": logits}


def batches() -> list[dict[str, Tensor]]:
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(BATCH * STEPS, 4, generator=generator)
    return [{"x": row, "labels": (row[0] > 0).long()} for row in x]


def hugging_face(model: nn.Module, directory: Path) -> None:
    arguments = TrainingArguments(
        str(directory), max_steps=STEPS, per_device_train_batch_size=BATCH, use_cpu=True,
        report_to=[], disable_tqdm=True, dataloader_pin_memory=False, save_strategy="no",
        torch_compile=True, torch_compile_backend="eager",
    )  # fmt: skip
    Trainer(model, arguments, train_dataset=batches()).train()


class Module(pl.LightningModule):
    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def training_step(self, batch: dict[str, Tensor], _: int) -> Tensor:
        return self.model(**batch)["loss"]

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.model.parameters(), lr=0.01)


def lightning(model: nn.Module, directory: Path) -> None:
    trainer = pl.Trainer(
        max_steps=STEPS, accelerator="cpu", logger=False, enable_checkpointing=False,
        enable_progress_bar=False, enable_model_summary=False, default_root_dir=directory,
    )  # fmt: skip
    compiled = torch.compile(Module(model), backend="eager")
    trainer.fit(compiled, DataLoader(batches(), batch_size=BATCH))


def timm_script(model: nn.Module, _: Path) -> None:
    """Compile, average and clip as timm's training script does."""
    average = timm.utils.ModelEmaV3(model, decay=0.9)
    compiled = torch.compile(model, backend="eager")
    optimizer = timm.optim.create_optimizer_v2(model, opt="sgd", lr=0.01)
    for batch in DataLoader(batches(), batch_size=BATCH):
        model.train()
        with torch.autocast("cpu", dtype=torch.bfloat16):
            loss = compiled(**batch)["loss"]
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        average.update(model)
    model.eval(), average.eval()
    with torch.no_grad():
        assert compiled(**batch)["loss"].isfinite()
        assert average(**batch)["loss"].isfinite()


def operations(loop: Callable[[nn.Module, Path], None], p: float, directory: Path) -> int:
    """Return the floating point operations of a training at survival `p`."""
    torch.manual_seed(0)
    model = Network()
    example = {"x": torch.zeros(2, 4), "labels": torch.zeros(2, dtype=torch.long)}
    handle = sd.apply(model, sd.schedules.uniform(p), example=example)
    loop(model, directory)
    graphs = counters["stats"]["unique_graphs"]
    # Afterwards: a compiler under a profiler takes sizes for constants.
    with profile(with_flops=True) as profiler:
        loop(model, directory)
    assert handle.step == 2 * STEPS
    assert counters["stats"]["unique_graphs"] == graphs > 0
    return sum(event.flops for event in profiler.key_averages())


@pytest.mark.filterwarnings("ignore:.*LeafSpec", "ignore:.*num_workers", "ignore:.*max_epochs")
@pytest.mark.parametrize("loop", [hugging_face, lightning, timm_script])
def test_a_compiled_loop_skips(loop, tmp_path):
    # Two of sixteen samples run a dropped block, and little is outside of blocks.
    assert operations(loop, 0.001, tmp_path) < 0.4 * operations(loop, 0.999, tmp_path)

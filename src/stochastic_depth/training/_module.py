"""The network, its loss and its optimizer, as Lightning wants them."""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from jaxtyping import Float
from lightning.pytorch import LightningModule
from lightning.pytorch.strategies import ModelParallelStrategy
from torch import Tensor, nn
from torch.distributed.fsdp import fully_shard
from torch.nn.functional import cross_entropy
from torch.nn.parallel import DistributedDataParallel
from torch.optim.lr_scheduler import LambdaLR

from ._average import evaluate_average, moving_average
from ._component import Component
from .data import Batch


class Classifier(LightningModule):
    """Train `model` to classify images.

    Stochastic depth is no concern of this class: it is on the model, put there by
    `sd.apply`, or it is not.

    Args:
        model: images (N, C, H, W) -> logits (N, K).
        optimizer: by import path, called with the parameters.
        rate: step -> learning rate.
        blocks: paths of the residual blocks, which processes may share out one by one.
        sizes: batch -> how many of its images each process has; this one alone if None.
        accumulate: parts that a batch is run in.
        label_smoothing: of the training loss, in [0, 1].
        ema_decay: of the average of the weights that is evaluated; None evaluates the
            weights themselves.
    """

    def __init__(
        self,
        model: nn.Module,
        optimizer: Component,
        rate: Callable[[int], float],
        *,
        blocks: Sequence[str] = (),
        sizes: Callable[[int], list[int]] | None = None,
        accumulate: int = 1,
        label_smoothing: float = 0.0,
        ema_decay: float | None = None,
    ) -> None:
        super().__init__()
        self.model = model
        self.optimizer = optimizer
        self.rate = rate
        self.blocks = blocks
        self.sizes = sizes
        self.accumulate = accumulate
        self.label_smoothing = label_smoothing
        self.average = None if ema_decay is None else moving_average(model, ema_decay)
        # By hand: it runs a batch in parts, and saves about a millisecond a step.
        self.automatic_optimization = False

    def forward(self, images: Float[Tensor, "N C H W"]) -> Float[Tensor, "N K"]:
        """Return the logits; in evaluation, of the average of the weights if there is one."""
        if self.training or self.average is None:
            return self.model(images)
        return evaluate_average(self.model, self.average, images)

    def training_step(self, batch: Batch, batch_idx: int) -> dict[str, Tensor]:
        """Take one step; return the loss, and the logits for those who count errors."""
        images, labels = batch
        optimizer: Any = self.optimizers()
        schedule: Any = self.lr_schedulers()
        sizes = self.sizes(batch_idx) if self.sizes else [len(labels)]
        # As many parts in every process, none of them empty.
        parts = min(self.accumulate, sizes[-1])
        optimizer.zero_grad()
        done: list[tuple[Tensor, Tensor]] = []
        for x, y in zip(images.tensor_split(parts), labels.tensor_split(parts), strict=True):
            with self._unsent(len(done) + 1 < parts):
                # Processes average gradients: each loss counts with its share of the images.
                share = len(y) * len(sizes) / sum(sizes)
                done.append(self._backward(x, y, share))
        optimizer.step()
        schedule.step()
        if self.average is not None:
            self.average.update(self.model, step=self.global_step)
        return _joined(done, [len(part) for part in labels.tensor_split(parts)])

    def _backward(self, x: Tensor, y: Tensor, share: float) -> tuple[Tensor, Tensor]:
        """Add the gradients of a part of the batch; return its loss and logits."""
        logits = self.model(x)
        loss = cross_entropy(logits, y, label_smoothing=self.label_smoothing)
        self.manual_backward(loss if share == 1 else loss * share)
        return loss.detach(), logits.detach()

    def _unsent(self, unsent: bool) -> AbstractContextManager[None]:
        """Keep gradients to this process, as long as more will be added to them."""
        replicas = self.trainer.model
        if unsent and isinstance(replicas, DistributedDataParallel):
            return replicas.no_sync()
        return nullcontext()

    def configure_model(self) -> None:
        """Share out the weights, where processes share the network: block by block."""
        if isinstance(self.trainer.strategy, ModelParallelStrategy):
            mesh = self.trainer.strategy.device_mesh["data_parallel"]
            # A block that is skipped is neither gathered nor reduced.
            for path in filter(None, self.blocks):
                fully_shard(self.model.get_submodule(path), mesh=mesh)
            fully_shard(self.model, mesh=mesh)

    def transfer_batch_to_device(self, batch: Batch, device: Any, dataloader_idx: int) -> Batch:
        """Return the batch: it was made on the device."""
        return batch

    def configure_optimizers(self) -> Any:
        """Return the optimizer, and the schedule that sets its rate at every step."""
        # The schedule multiplies the optimizer's own rate, so that one is 1.
        optimizer = self.optimizer.build(self.model.parameters(), lr=1.0)
        return [optimizer], [LambdaLR(optimizer, self.rate)]


def _joined(done: Sequence[tuple[Tensor, Tensor]], sizes: Sequence[int]) -> dict[str, Tensor]:
    """Return mean loss and logits of a batch that was run in parts."""
    if len(done) == 1:
        loss, logits = done[0]
        return {"loss": loss, "logits": logits}
    losses = torch.stack([part for part, _ in done])
    weights = losses.new_tensor(sizes) / sum(sizes)
    return {"loss": losses @ weights, "logits": torch.cat([logits for _, logits in done])}

"""The network, its loss and its optimizer, as Lightning wants them."""

from collections.abc import Callable
from typing import Any

from jaxtyping import Float
from lightning.pytorch import LightningModule
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
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
        label_smoothing: float = 0.0,
        ema_decay: float | None = None,
    ) -> None:
        super().__init__()
        self.model = model
        self.optimizer = optimizer
        self.rate = rate
        self.label_smoothing = label_smoothing
        self.average = None if ema_decay is None else moving_average(model, ema_decay)
        # Lightning's own order of these calls takes twice as long in a small network.
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
        logits = self.model(images)
        loss = cross_entropy(logits, labels, label_smoothing=self.label_smoothing)
        optimizer.zero_grad()
        self.manual_backward(loss)
        optimizer.step()
        schedule.step()
        if self.average is not None:
            self.average.update(self.model, step=self.global_step)
        return {"loss": loss.detach(), "logits": logits.detach()}

    def transfer_batch_to_device(self, batch: Batch, device: Any, dataloader_idx: int) -> Batch:
        """Return the batch: it was made on the device."""
        return batch

    def configure_optimizers(self) -> Any:
        """Return the optimizer, and the schedule that sets its rate at every step."""
        # The schedule multiplies the optimizer's own rate, so that one is 1.
        optimizer = self.optimizer.build(self.model.parameters(), lr=1.0)
        return [optimizer], [LambdaLR(optimizer, self.rate)]

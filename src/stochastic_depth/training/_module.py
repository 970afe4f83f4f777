"""The network, its loss and its optimizer, as Lightning wants them."""

from collections.abc import Callable
from typing import Any

from jaxtyping import Float
from lightning.pytorch import LightningModule
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from torch.optim.lr_scheduler import LambdaLR

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
    """

    def __init__(
        self, model: nn.Module, optimizer: Component, rate: Callable[[int], float]
    ) -> None:
        super().__init__()
        self.model = model
        self.optimizer = optimizer
        self.rate = rate

    def forward(self, images: Float[Tensor, "N C H W"]) -> Float[Tensor, "N K"]:
        """Return the logits."""
        return self.model(images)

    def training_step(self, batch: Batch, batch_idx: int) -> dict[str, Tensor]:
        """Return the loss of one batch, and the logits for those who count errors."""
        images, labels = batch
        logits = self.model(images)
        return {"loss": cross_entropy(logits, labels), "logits": logits.detach()}

    def configure_optimizers(self) -> Any:
        """Return the optimizer, and the schedule that sets its rate at every step."""
        # The schedule multiplies the optimizer's own rate, so that one is 1.
        optimizer = self.optimizer.build(self.model.parameters(), lr=1.0)
        schedule = {"scheduler": LambdaLR(optimizer, self.rate), "interval": "step"}
        return {"optimizer": optimizer, "lr_scheduler": schedule}

"""What processes that train together send each other: gradients, but not those of no block."""

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from torch import Tensor, distributed, nn
from torch.futures import Future
from torch.nn.parallel import DistributedDataParallel

from ...surgery import Block, extract
from ._step_gates import StepGates


class Exchange(Callback):
    """Average gradients over processes, leaving out the blocks that none of them ran.

    Which blocks those are every process knows by itself, from the streams of the gates: nothing
    is sent to agree on it.

    Args:
        model: the network, with gates.
        blocks: of it.
        gates: of every process, in every part of a batch; None at constant depth.

    Attributes:
        sent: bytes of gradients that this process has handed over so far; None where replicas
            are not what trains.
    """

    def __init__(self, model: nn.Module, blocks: Sequence[Block], gates: StepGates | None) -> None:
        self.gates = gates
        self.sent: int | None = None
        self._batch = 0
        self._owners = _owners(model, blocks) if gates else {}
        self._skipped: set[int] = set()

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Take over the exchange of gradients of replicas; sharded models skip by themselves."""
        if isinstance(trainer.model, DistributedDataParallel):
            self.sent = 0
            trainer.model.register_comm_hook(self, _average)

    def on_train_batch_start(
        self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int
    ) -> None:
        """Note which batch it is."""
        self._batch = batch_idx

    def on_before_backward(
        self, trainer: Trainer, pl_module: LightningModule, loss: Tensor
    ) -> None:
        """Look at the gates of the step so far: gradients are sent during its last backward."""
        if self.gates is None:
            return
        ran = self.gates.shares(self._batch).tolist()
        self._skipped = {
            weight for weight, owners in self._owners.items() if not any(ran[k] for k in owners)
        }

    def average(self, bucket: distributed.GradBucket) -> Future[Tensor]:
        """Average a bucket of gradients; those of blocks that nobody ran are zeros already."""
        buffer = bucket.buffer()
        pairs = zip(bucket.parameters(), bucket.gradients(), strict=True)
        sent = [gradient for weight, gradient in pairs if id(weight) not in self._skipped]
        if not sent:
            return _known(buffer)
        whole = len(sent) == len(bucket.gradients())
        flat = buffer if whole else torch.cat([gradient.flatten() for gradient in sent])
        self.sent = (self.sent or 0) + flat.numel() * flat.element_size()
        work = distributed.all_reduce(flat.div_(distributed.get_world_size()), async_op=True)

        def give_back(_: Future[Any]) -> Tensor:
            if not whole:
                for gradient, mean in zip(sent, flat.split([g.numel() for g in sent]), strict=True):
                    gradient.copy_(mean.view_as(gradient))
            return buffer

        return work.get_future().then(give_back)


def _average(exchange: Exchange, bucket: distributed.GradBucket) -> Future[Tensor]:
    return exchange.average(bucket)


def _known(buffer: Tensor) -> Future[Tensor]:
    future: Future[Tensor] = Future()
    future.set_result(buffer)
    return future


def _owners(model: nn.Module, blocks: Sequence[Block]) -> dict[int, list[int]]:
    """Return the blocks whose branches use each parameter that no more than branches use."""
    gates = torch.tensor([0.0 if block.droppable else 1.0 for block in blocks])
    kept = extract(model, gates).state_dict().keys()
    named = list(model.named_parameters(remove_duplicate=False))
    elsewhere = {id(weight) for name, weight in named if name in kept}
    owners = defaultdict(list)
    for name, weight in named:
        for block in blocks:
            if name.startswith(f"{block.path}.") and id(weight) not in elsewhere:
                owners[id(weight)].append(block.index)
    return dict(owners)

"""What a run measures on its way, without a step that waits for the device.

A step appends what it computed and adds nothing up: no step waits for the device, and a
small network is not slowed by kernels of its bookkeeping. Once per epoch it is read,
checked and written.
"""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from jaxtyping import Float, Int, Shaped
from lightning.fabric import Fabric
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from ._checkpoint import check_finite
from ._depth_record import DepthRecord
from ._launch import Place, gathered
from ._prepare import Prepared
from .data import Batches
from .record import History, Row, Score, Summary


def mean_loss(
    logits: Float[Tensor, "N *target K"],
    targets: Int[Tensor, "N *target"] | Float[Tensor, "N K"],
    smoothing: float = 0.0,
) -> Float[Tensor, ""]:
    """Return the cross-entropy, the mean over images, or over all tokens of all sequences.

    The targets of mixed images are shares of classes.
    """
    if targets.is_floating_point():
        return cross_entropy(logits, targets, label_smoothing=smoothing)
    return cross_entropy(logits.flatten(0, -2), targets.flatten(), label_smoothing=smoothing)


def wrong(
    logits: Float[Tensor, "N *target K"], targets: Int[Tensor, "N *target"] | Float[Tensor, "N K"]
) -> Shaped[Tensor, " N"]:
    """Return whether each image is classified wrongly; of a sequence, for what share of tokens.

    The class of a mixed image is the one of the largest share.
    """
    if targets.is_floating_point():
        targets = targets.argmax(-1)
    missed = logits.argmax(-1) != targets
    return missed if missed.ndim == 1 else missed.flatten(1).float().mean(1)


class RunningScore:
    """Loss and error over batches.

    Example:
        >>> running = RunningScore()
        >>> logits = torch.tensor([[2.0, 1.0], [2.0, 1.0]])
        >>> running.add(torch.tensor(0.5), wrong(logits, torch.tensor([0, 1])))
        >>> running.read()
        Score(loss=0.5, error=50.0)
    """

    def __init__(self) -> None:
        self.losses: list[Tensor] = []  # mean of each batch
        self.wrong: list[Tensor] = []  # one number per example of each batch

    @classmethod
    def merged(cls, states: Sequence[Mapping[str, Any]]) -> "RunningScore":
        """Return the score over the batches of several others, given their states."""
        score = cls()
        for state in states:
            score.losses += state["losses"]
            score.wrong += state["wrong"]
        return score

    def add(self, loss: Float[Tensor, ""], wrong: Shaped[Tensor, " N"]) -> None:
        """Add a batch, given its mean loss, and what is `wrong` with it."""
        self.losses.append(loss.detach())
        self.wrong.append(wrong)

    def read(self) -> Score:
        """Return the means over the examples since the last reading. Waits for the device."""
        sizes = torch.tensor([len(batch) for batch in self.wrong], dtype=torch.float64)
        losses = torch.stack(_on_one_device(self.losses)).to("cpu", torch.float64)
        error = torch.cat(_on_one_device(self.wrong)).to("cpu", torch.float64).mean()
        self.losses, self.wrong = [], []
        return Score(float(losses @ sizes / sizes.sum()), 100 * float(error))

    def state_dict(self) -> dict[str, Any]:
        """Return the batches so far."""
        return {"losses": self.losses, "wrong": self.wrong}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from the batches of a checkpoint."""
        self.losses, self.wrong = list(state["losses"]), list(state["wrong"])


class RunningGradient:
    """Mean magnitude of the gradient of one weight, over the steps that gave it one.

    Args:
        weight: of the first convolution of the first residual block; None measures nothing.

    References:
        Huang et al. 2016, section 5 and figure 7.
    """

    def __init__(self, weight: nn.Parameter | None) -> None:
        self.weight = weight
        self.sums: list[Tensor] = []

    def add(self) -> None:
        """Add the gradient that the weight has now."""
        if self.weight is not None and self.weight.grad is not None:
            self.sums.append(torch.linalg.vector_norm(self.weight.grad, 1))

    def read(self) -> float | None:
        """Return the mean since the last reading, None without any. Waits for the device."""
        if self.weight is None or not self.sums:
            return None
        sums = torch.stack(_on_one_device(self.sums))
        self.sums = []
        return float(sums.to("cpu", torch.float64).mean()) / self.weight.numel()

    def state_dict(self) -> dict[str, Any]:
        """Return the steps so far."""
        return {"sums": self.sums}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from the steps of a checkpoint."""
        self.sums = list(state["sums"])


class Stopwatch:
    """Add up the time between `start` and `stop`.

    Example:
        >>> watch = Stopwatch()
        >>> watch.start()
        >>> with watch.paused():
        ...     pass  # evaluate, write
        >>> watch.read() >= 0
        True
    """

    def __init__(self) -> None:
        self.seconds = 0.0  # up to the last pause
        self._since = time.perf_counter()

    def start(self) -> None:
        """Run from now on; the time since the last pause does not count."""
        self._since = time.perf_counter()

    def stop(self) -> None:
        """Count the time since the start."""
        self.seconds += time.perf_counter() - self._since

    def read(self) -> float:
        """Stop, return the seconds, and begin again at none."""
        self.stop()
        seconds, self.seconds = self.seconds, 0.0
        return seconds

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Stand still meanwhile."""
        self.stop()
        yield
        self.start()


class Measurements:
    """All that is measured of a run: the epoch so far, and the rows of those before it.

    Args:
        prepared: the run.
        depth: takes the gates.

    Attributes:
        history: rows and evaluations so far.
        watch: runs while the network is trained.
    """

    def __init__(self, prepared: Prepared, depth: DepthRecord) -> None:
        self.depth = depth
        self.score = RunningScore()
        self.gradient = RunningGradient(_first_weight(prepared))
        self.watch = Stopwatch()
        self.history = History(by="loss" if prepared.splits.is_text else "error")

    def add(
        self,
        step: int,
        loss: Float[Tensor, ""],
        wrong: Shaped[Tensor, " N"],
        shares: Float[Tensor, " L"] | None,
    ) -> None:
        """Add step `step`; `shares` says for what share of the examples each block ran."""
        self.score.add(loss, wrong)
        if shares is not None:
            self.depth.add(step, shares)
        # A dropped block may have zeros for a gradient; they are not a measurement.
        if self.depth.active[step, :1].any():
            self.gradient.add()

    def epoch(self, steps: range) -> Row:
        """Return the columns of an epoch that training has measured; its steps are over."""
        score = RunningScore.merged(gathered(self.score.state_dict())).read()
        gradient, seconds = self.gradient.read(), self.watch.read()
        self.score = RunningScore()
        check_finite("training loss", score.loss, steps.stop)
        expected, realised = self.depth.expected(steps), self.depth.realised(steps)
        return {
            "train_loss": score.loss,
            "train_error": score.error,
            "seconds": round(seconds, 4),
            "expected_depth": expected.blocks,
            "realised_depth": realised.blocks,
            "expected_cost": expected.cost,
            "realised_cost": realised.cost,
            "gradient_first_convolution": gradient,
        }

    def summary(self, train: Score) -> Summary:
        """Return the figures of a finished run.

        Args:
            train: score on training examples in evaluation mode, without augmentation.
        """
        history, (steps, number) = self.history, self.depth.active.shape
        best, last = history.best, history.evaluations[-1]
        realised = self.depth.realised(range(steps))
        return Summary(
            best_epoch=best.epoch if best else None,
            best_validation_error=best.validation_error if best else None,
            test_error_at_best=best.test_error if best else None,
            test_error_last=last.test_error,
            train_error_running=history.rows[-1]["train_error"] or 0.0,
            train_error_final=train.error,
            seconds=sum(row["seconds"] or 0.0 for row in history.rows),
            realised_depth=realised.blocks,
            live_share=realised.blocks / number if number else 1.0,
            live_cost=realised.cost,
            test_loss_at_best=best.test_loss if best else None,
            test_loss_last=last.test_loss,
        )

    def state_dict(self) -> dict[str, Any]:
        """Return what has been measured by all processes, which must call this together."""
        everywhere = gathered(self.score.state_dict())
        return {
            "history": self.history.state_dict(),
            "score": RunningScore.merged(everywhere).state_dict(),
            "gradient": self.gradient.state_dict(),
            "seconds": self.watch.seconds,
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from what a checkpoint had measured."""
        self.history.load_state_dict(state["history"])
        if Place.here().writes:  # one process goes on with the score of all
            self.score.load_state_dict(state["score"])
        self.gradient.load_state_dict(state["gradient"])
        self.watch.seconds = state["seconds"]


def evaluate(network: Callable[[Tensor], Tensor], batches: Batches, fabric: Fabric) -> Score:
    """Return loss and error of a network that is in evaluation mode."""
    score, precision = RunningScore(), fabric.strategy.precision
    with torch.no_grad(), precision.forward_context():
        for inputs, targets in batches:
            logits = network(precision.convert_input(inputs))
            score.add(mean_loss(logits, targets), wrong(logits, targets))
    return score.read()


def _first_weight(prepared: Prepared) -> nn.Parameter | None:
    """Return the weight of the first convolution (or linear map) of the first block."""
    sharded = prepared.config.processes > 1 and prepared.config.strategy == "fsdp"
    if not prepared.blocks or sharded:  # no process has the whole of it
        return None
    block = prepared.model.get_submodule(prepared.blocks[0].path)
    return next((weight for weight in block.parameters() if weight.ndim > 1), None)


def _on_one_device(tensors: Sequence[Tensor]) -> list[Tensor]:
    """Bring what came out of a checkpoint to where the rest is."""
    return [tensor.to(tensors[-1].device) for tensor in tensors]

"""Everything that defines a run."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal, get_args

from .._checks import count, fail, interval, one_of, positive
from ._component import Component
from ._depth_config import DepthConfig
from ._learning_rate import LearningRateConfig
from .data import DataConfig

Precision = Literal["float32", "bf16", "float64"]
Strategy = Literal["ddp", "fsdp"]
AccumulatedGates = Literal["same", "new"]

LARGEST_SEED = 2**32 - 1
"""numpy's generator, which Lightning seeds as well, takes no larger one."""

MOST_THREADS = 4096
"""No machine has more, and torch ends the program where it cannot start them."""

SGD = "torch.optim.SGD"
TENSORBOARD = "lightning.pytorch.loggers.TensorBoardLogger"
TENSORBOARD_ARGS = {"name": "", "version": "tensorboard"}  # the folder RUN/tensorboard


def _tensorboard() -> tuple[Component, ...]:
    return (Component(TENSORBOARD, TENSORBOARD_ARGS),)


@dataclass(frozen=True)
class RunConfig:
    """Everything that defines a run: two runs of one configuration give the same weights.

    Args:
        model: the network, by import path; `num_classes` and `in_channels`, or `vocab_size`
            and `length`, come from the data where the network takes them.
        data: the images, or the text.
        depth: stochastic depth.
        optimizer: by import path; the rate comes from `learning_rate`.
        learning_rate: the rate of every step.
        epochs: passes over the training images, or sequences.
        batch_size: images or sequences of one step, of all processes together; the last batch
            of an epoch may be smaller.
        accumulate: parts that a batch is run in, one after the other; their gradients add up
            to those of the batch.
        accumulated_gates: whether the parts have the `"same"` gates or `"new"` ones each.
        seed: of the initial weights, the order of the images and the gates; below 2^32.
        name: name of the recipe.
        gradient_clip: largest norm of the gradient of all weights together, positive; a longer
            one is shortened to it. None leaves gradients as they are.
        label_smoothing: share of the target that is spread evenly over all classes, in
            [0, 1]; of the training loss, not of evaluations.
        ema_decay: what is evaluated is an exponential moving average of the weights with
            this decay in [0, 1), which begins lower (timm's `ModelEmaV3` with a warm-up);
            None evaluates the weights themselves.
        precision: `"float32"`, `"float64"`, or `"bf16"` for autocast to bfloat16.
        channels_last: whether images and weights lie channels-last in memory.
        accelerator: where to train: `"cpu"`, `"gpu"`, `"mps"`, or `"auto"` for the best there is.
        processes: processes that train together, each with its share of every batch: started
            by torchrun, on any number of machines, or else here. A run may be resumed with
            another number.
        strategy: what several processes share: `"ddp"` gradients alone, or `"fsdp"` weights
            and the state of the optimizer as well.
        threads: threads of one operation on the CPU; None leaves torch's choice.
        evaluate_every: epochs between two evaluations; the last epoch always has one.
        evaluate_every_steps: steps between two evaluations, besides.
        evaluation_batch_size: images or sequences of one batch of an evaluation.
        checkpoint_every: epochs between two checkpoints.
        checkpoint_every_steps: steps between two checkpoints, besides.
        loggers: Lightning loggers, by import path, beside `metrics.csv`.

    Raises:
        InvalidArgument: a field out of range.
    """

    model: Component
    data: DataConfig = field(default_factory=DataConfig)
    depth: DepthConfig = field(default_factory=lambda: DepthConfig(last=0.5))
    optimizer: Component = field(default_factory=lambda: Component(SGD))
    learning_rate: LearningRateConfig = field(default_factory=LearningRateConfig)
    epochs: int = 1
    batch_size: int = 128
    accumulate: int = 1
    accumulated_gates: AccumulatedGates = "same"
    seed: int = 0
    name: str = "run"
    gradient_clip: float | None = None
    label_smoothing: float = 0.0
    ema_decay: float | None = None
    precision: Precision = "float32"
    channels_last: bool = True
    accelerator: str = "auto"
    processes: int = 1
    strategy: Strategy = "ddp"
    threads: int | None = None
    evaluate_every: int = 1
    evaluate_every_steps: int | None = None
    evaluation_batch_size: int = 500
    checkpoint_every: int = 1
    checkpoint_every_steps: int | None = None
    loggers: tuple[Component, ...] = field(default_factory=_tensorboard)

    def __post_init__(self) -> None:
        for name in ("epochs", "batch_size", "accumulate", "processes", "evaluation_batch_size"):
            count(name, getattr(self, name))
        for name in ("evaluate_every", "checkpoint_every"):
            count(name, getattr(self, name))
            steps = getattr(self, f"{name}_steps")
            if steps is not None:
                count(f"{name}_steps", steps)
        if self.threads is not None:
            count("threads", self.threads, most=MOST_THREADS)
        count("seed", self.seed, least=0, most=LARGEST_SEED)
        if self.gradient_clip is not None:
            positive("gradient_clip", self.gradient_clip)
        interval("label_smoothing", self.label_smoothing, 0.0, 1.0)
        if self.ema_decay is not None and not 0 <= self.ema_decay < 1:
            raise fail("ema_decay", "in [0, 1)", self.ema_decay, "Pass null for no average.")
        one_of("accelerator", self.accelerator, ("auto", "cpu", "gpu", "mps"))
        one_of("precision", self.precision, get_args(Precision))
        one_of("strategy", self.strategy, get_args(Strategy))
        one_of("accumulated_gates", self.accumulated_gates, get_args(AccumulatedGates))
        self._check_precision_and_strategy()
        if self.data.is_text and self.depth.enabled and self.depth.chosen == "sense":
            requirement = "one that needs no sensitivities, which have no derivative in tokens"
            raise fail("depth.schedule", requirement, repr(self.depth.schedule))

    def _check_precision_and_strategy(self) -> None:
        if self.depth.interval is not None and self.precision == "float64":
            raise fail("precision", "float32 or bf16 beside depth.interval", self.precision)
        if self.strategy != "fsdp" or self.processes == 1:
            return
        if self.depth.interval is not None:
            raise fail("depth.interval", "null under strategy fsdp", self.depth.interval)
        if self.ema_decay is not None:
            raise fail("ema_decay", "null under strategy fsdp", self.ema_decay)
        if self.precision == "float64":
            raise fail("precision", "float32 or bf16 under strategy fsdp", self.precision)

    def to_mapping(self) -> dict[str, Any]:
        """Return every field as plain nested mappings and lists, as in `config.yaml`."""
        return _plain(asdict(self))


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    return value

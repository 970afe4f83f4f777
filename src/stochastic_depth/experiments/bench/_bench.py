"""The benchmark: rounds of interleaved steps, and the table of ratios."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from random import Random
from statistics import median

import torch
from torch import Tensor

from ...schedules import Schedule, linear, uniform
from ._ideal_share import ideal_share, kinds, without
from ._networks import IMPLEMENTATIONS, Implementation, Network, never_dropping, plain
from ._step import Step

SCHEDULES: Mapping[str, Schedule] = {"linear 0.5": linear(0.5), "uniform 0.5": uniform(0.5)}

WARM_UP = 25
"""Steps after which a binomial number of 128 samples is rarely a new one."""

CONSTANT = "constant depth"
NEVER = "ours, every survival at 1"
WITHOUT = "without"


@dataclass(frozen=True)
class Row:
    """One line of the table.

    Attributes:
        implementation: what ran.
        schedule: its survival probabilities.
        seconds: median time of a step.
        to_constant: median of step / constant step, within rounds.
        to_ideal: median of step / (ideal share of its own draw x constant step).
        ratios: step / constant step of each round.
    """

    implementation: str
    schedule: str
    seconds: float
    to_constant: float
    to_ideal: float
    ratios: tuple[float, ...]


@dataclass(frozen=True)
class BenchResult:
    """What was measured; `rounds` says from how many interleaved repeats."""

    depth: int
    batch_size: int
    image_size: int
    threads: int
    rounds: int
    constant_seconds: float
    ideal_shares: Mapping[str, float]
    rows: tuple[Row, ...]


def bench(
    depth: int = 110,
    batch_size: int = 128,
    image_size: int = 32,
    rounds: int = 11,
    threads: int = 1,
    report: Callable[[int], None] = lambda _round: None,
    *,
    schedules: Mapping[str, Schedule] = SCHEDULES,
    implementations: Mapping[str, Implementation] = IMPLEMENTATIONS,
) -> BenchResult:
    """Time a training step of every implementation.

    Args:
        depth: of the CIFAR ResNet, 6n + 2.
        batch_size: images per step.
        image_size: height and width of the images, divisible by 4.
        rounds: interleaved repeats, after a warm-up that is not counted.
        threads: of torch.
        report: called after each round with its number.
        schedules: survival probabilities to time, by name.
        implementations: what to time under each of them, by name.
    """
    torch.set_num_threads(threads)
    torch.manual_seed(0)
    steps = _Steps.build(depth, batch_size, image_size, schedules, implementations)
    steps.warm_up()
    for number in range(rounds):
        steps.measured.append(steps.round())
        report(number + 1)
    return BenchResult(
        depth,
        batch_size,
        image_size,
        threads,
        rounds,
        constant_seconds=steps.seconds((CONSTANT, "")),
        ideal_shares={name: steps.ideal(p) for name, p in steps.survival.items()},
        rows=tuple(steps.row(key) for key in steps.compared),
    )


Key = tuple[str, str]
"""Implementation and schedule."""


class _Steps:
    """All steps of a round, and what was measured: per round, seconds and live blocks."""

    def __init__(self, steps: dict[Key, Step], survival: dict[str, Tensor], kinds: Tensor) -> None:
        self.steps = steps
        self.survival = survival
        self.kinds = kinds
        self.measured: list[dict[Key, tuple[float, Tensor]]] = []
        self.shuffle = Random(0).shuffle  # noqa: S311

    @classmethod
    def build(
        cls,
        depth: int,
        batch_size: int,
        image_size: int,
        schedules: Mapping[str, Schedule],
        implementations: Mapping[str, Implementation],
    ) -> "_Steps":
        images = torch.randn(batch_size, 3, image_size, image_size)
        batch = (
            images.contiguous(memory_format=torch.channels_last),
            torch.randint(10, (batch_size,)),
        )
        model = plain(depth)
        kind = kinds(model)
        survival = {name: schedule(len(kind)) for name, schedule in schedules.items()}
        ones = torch.ones(len(kind), dtype=torch.float64)
        steps = {(CONSTANT, ""): Step(model, batch)}
        steps[NEVER, ""] = _step(never_dropping(depth, ones), batch)
        for k in range(4):
            steps[WITHOUT, str(k)] = Step(model, batch, gates=without(k, kind))
        steps[WITHOUT, "any"] = Step(model, batch, gates=torch.zeros(len(kind)))
        for name, p in survival.items():
            for implementation, build in implementations.items():
                steps[implementation, name] = _step(build(depth, p), batch)
        return cls(steps, {**survival, "": ones}, kind)

    def warm_up(self) -> None:
        """Take uncounted steps until the kernels that a draw asks for have been made.

        A convolution is compiled anew for every number of samples it meets, and gates
        per sample bring new numbers for some steps.
        """
        for step in self.steps.values():
            step.seconds()
            for _ in range(WARM_UP if step.per_sample else 0):
                step.seconds()

    @property
    def compared(self) -> list[Key]:
        return [key for key in self.steps if key[0] not in (CONSTANT, WITHOUT)]

    def round(self) -> dict[Key, tuple[float, Tensor]]:
        """Take every step once, in an order of its own: what ran before leaves traces."""
        keys = list(self.steps)
        self.shuffle(keys)
        return {key: self._timed(key) for key in keys}

    def _timed(self, key: Key) -> tuple[float, Tensor]:
        step = self.steps[key]
        return step.seconds(), step.live(self.survival.get(key[1], self.survival[""]))

    def seconds(self, key: Key) -> float:
        """Return the median time of a step."""
        return median(measured[key][0] for measured in self.measured)

    def ratios(self, key: Key) -> list[float]:
        """Return step / constant step of each round."""
        constant = CONSTANT, ""
        return [measured[key][0] / measured[constant][0] for measured in self.measured]

    def ideal(self, live: Tensor) -> float:
        """Return the share of the constant step that remains, from medians over all rounds."""
        *left_out, emptied = (
            median(self.ratios((WITHOUT, blocks))) for blocks in ("0", "1", "2", "3", "any")
        )
        return ideal_share(live, self.kinds, left_out, emptied)

    def row(self, key: Key) -> Row:
        ratios = self.ratios(key)
        ideals = [
            ratio / self.ideal(measured[key][1])
            for ratio, measured in zip(ratios, self.measured, strict=True)
        ]
        return Row(*key, self.seconds(key), median(ratios), median(ideals), tuple(ratios))


def _step(network: Network, batch: tuple[Tensor, Tensor]) -> Step:
    model, handle = network
    return Step(model, batch, handle)

"""The learning rate of every step, as a function of the step alone."""

import math
from dataclasses import dataclass
from typing import Literal, get_args

from .._checks import count, fail, interval, one_of, positive

Decay = Literal["constant", "milestones", "cosine"]


@dataclass(frozen=True)
class LearningRateConfig:
    """The learning rate: a warm-up, then a decay.

    | decay          | rate at step t of T, the w steps of warm-up over            |
    |----------------|-------------------------------------------------------------|
    | `"constant"`   | initial                                                     |
    | `"milestones"` | initial * factor^k, k milestones m with epoch >= m * epochs |
    | `"cosine"`     | initial * (f + (1 - f) (1 + cos(pi (t - w) / (T - w))) / 2) |

    Epochs count from 1, as Huang et al.'s program counts them: of 500 epochs with
    milestones 0.5 and 0.75, epochs 1-249 run at the initial rate, 250-374 at a
    tenth and 375-500 at a hundredth.

    Args:
        initial: rate before any decay, positive.
        decay: `"constant"`, `"milestones"` or `"cosine"`.
        milestones: shares of training in (0, 1), increasing; for `"milestones"`.
        factor: what each milestone multiplies the rate by, in (0, 1).
        warmup_epochs: length of the warm-up.
        warmup_steps: its length in steps, in place of epochs.
        floor: the share f of the initial rate, in [0, 1), that a cosine ends at.
        warmup_rate: rate during the warm-up; None rises linearly, from
            initial / w in the first step to initial in step w.

    Raises:
        InvalidArgument: an argument out of range, or milestones for another decay.

    Example:
        >>> rate = LearningRateConfig(0.1, "milestones", milestones=(0.5, 0.75))
        >>> [round(rate.at(epoch - 1, 1, 500), 6) for epoch in (249, 250, 374, 375)]
        [0.1, 0.01, 0.01, 0.001]

    References:
        Huang et al. 2016, section 4; its program for the counting of epochs.
    """

    initial: float = 0.1
    decay: Decay = "cosine"
    milestones: tuple[float, ...] = ()
    factor: float = 0.1
    warmup_epochs: int = 0
    warmup_steps: int = 0
    floor: float = 0.0
    warmup_rate: float | None = None

    def __post_init__(self) -> None:
        positive("learning_rate.initial", self.initial)
        one_of("learning_rate.decay", self.decay, get_args(Decay))
        interval("learning_rate.factor", self.factor, 0.0, 1.0)
        count("learning_rate.warmup_epochs", self.warmup_epochs, least=0)
        count("learning_rate.warmup_steps", self.warmup_steps, least=0)
        if self.warmup_steps and self.warmup_epochs:
            given = self.warmup_steps
            raise fail("learning_rate.warmup_steps", "0 beside learning_rate.warmup_epochs", given)
        self._check_floor()
        if self.warmup_rate is not None:
            positive("learning_rate.warmup_rate", self.warmup_rate)
        self._check_milestones()

    def _check_floor(self) -> None:
        if not 0 <= self.floor < 1:
            raise fail("learning_rate.floor", "in [0, 1)", self.floor)
        if self.floor and self.decay != "cosine":
            raise fail("learning_rate.floor", "0 unless decay is 'cosine'", self.floor)

    def _check_milestones(self) -> None:
        field, given = "learning_rate.milestones", self.milestones
        if bool(given) != (self.decay == "milestones"):
            raise fail(field, "given exactly when decay is 'milestones'", given)
        for share in given:
            interval(field, share, 0.0, 1.0, remedy="Milestones are shares of training.")
        if list(given) != sorted(set(given)):
            raise fail(field, "increasing", given)

    def at(self, step: int, steps_per_epoch: int, epochs: int) -> float:
        """Return the rate of training step `step`.

        Args:
            step: counted from 0.
            steps_per_epoch: number of batches of an epoch.
            epochs: length of training.

        Returns:
            The learning rate of that step.
        """
        warmup = self.warmup_steps or self.warmup_epochs * steps_per_epoch
        if step < warmup:
            return (
                self.initial * (step + 1) / warmup if self.warmup_rate is None else self.warmup_rate
            )
        if self.decay == "milestones":
            epoch = step // steps_per_epoch + 1
            passed = sum(epoch >= share * epochs for share in self.milestones)
            return float(self.initial * self.factor**passed)
        if self.decay == "cosine":
            total = epochs * steps_per_epoch - warmup
            falling = (1 + math.cos(math.pi * (step - warmup) / max(total, 1))) / 2
            return self.initial * (self.floor + (1 - self.floor) * falling)
        return self.initial

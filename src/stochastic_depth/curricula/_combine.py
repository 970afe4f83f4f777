"""Curricula made of other curricula."""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise

from torch import Tensor

from .._checks import fail, function, interval, pairs
from ._curriculum import Curriculum


@dataclass(frozen=True, repr=False)
class Sequential(Curriculum):
    """Several curricula one after another, each seeing its own progress from 0 to 1.

    Args:
        pieces: pairs (until, curriculum). `until` is the share of the whole training
            at which the piece ends; it grows from piece to piece and the last is 1.

    Raises:
        InvalidArgument: no piece, ends that do not grow, or a last end other than 1.

    Example:
        >>> import stochastic_depth as sd
        >>> from stochastic_depth import curricula
        >>> plan = curricula.sequential(
        ...     (0.2, curricula.warmup(0.5, until=1.0)), (1.0, curricula.constant(0.5))
        ... )
        >>> [plan(t).item() for t in (0.0, 0.1, 0.2, 1.0)]
        [1.0, 0.75, 0.5, 0.5]
    """

    pieces: tuple[tuple[float, Callable[[float], Tensor]], ...]

    def __init__(self, *pieces: tuple[float, Callable[[float], Tensor]]) -> None:
        listed = pairs("pieces", pieces, "pairs (until, curriculum)")
        for _, curriculum in listed:
            function("a piece", curriculum, "a pair (until, curriculum)")
        ends = [0.0, *(interval("until", until, 0.0, 1.0) for until, _ in listed)]
        if not pieces or ends[-1] != 1:
            raise fail("the last `until`", "1, the end of training", ends[-1])
        if any(later <= earlier for earlier, later in pairwise(ends)):
            raise fail("`until`", "growing from piece to piece, from above 0", ends[1:])
        object.__setattr__(self, "pieces", tuple(listed))

    def survival(self, progress: float) -> Tensor:
        start = 0.0
        for end, curriculum in self.pieces[:-1]:
            if progress < end:
                return curriculum((progress - start) / (end - start))
            start = end
        return self.pieces[-1][1](min(1.0, (progress - start) / (1 - start)))

    def __repr__(self) -> str:
        return f"sequential{self.pieces!r}"

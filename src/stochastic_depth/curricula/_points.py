"""A curriculum drawn by hand: straight lines between points."""

from bisect import bisect_right
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise

from .._checks import fail, interval, pairs
from ._curriculum import Survival
from ._ramps import Ramp


@dataclass(frozen=True, repr=False)
class Piecewise(Ramp):
    """Straight lines between the points (t, r): `r(t)` is 0 at full depth and 1 at `p`.

    Before the first point and after the last one the intensity is constant. Two points at the
    same t are a jump, which takes effect at that t.

    Args:
        p: survival probability at intensity 1, one number or one per block, in [0, 1].
        points: pairs (share of training, intensity), both in [0, 1], in order of time.

    Raises:
        InvalidArgument: no point, a number out of range, or points that go back in time.

    Example:
        >>> import stochastic_depth as sd
        >>> there_and_back = sd.curricula.piecewise(0.5, [(0.0, 0.0), (0.5, 1.0), (1.0, 0.0)])
        >>> [there_and_back(t).item() for t in (0.0, 0.25, 0.5, 0.75, 1.0)]
        [1.0, 0.75, 0.5, 0.75, 1.0]
    """

    points: tuple[tuple[float, float], ...]

    def __init__(self, p: Survival, points: Iterable[tuple[float, float]]) -> None:
        object.__setattr__(self, "p", p)
        super().__post_init__()
        checked = tuple(
            (interval("time of a point", t, 0.0, 1.0), interval("intensity", r, 0.0, 1.0))
            for t, r in pairs("points", points, "pairs (time, intensity)")
        )
        if not checked:
            raise fail("points", "at least one pair (time, intensity)", "none")
        if any(later < earlier for (earlier, _), (later, _) in pairwise(checked)):
            raise fail("points", "in order of time", checked)
        object.__setattr__(self, "points", checked)

    def intensity(self, progress: float) -> float:
        place = bisect_right(self.points, progress, key=lambda point: point[0])
        if place in (0, len(self.points)):
            return self.points[max(place - 1, 0)][1]
        (start, low), (end, high) = self.points[place - 1 : place + 1]
        return low + (high - low) * (progress - start) / (end - start)

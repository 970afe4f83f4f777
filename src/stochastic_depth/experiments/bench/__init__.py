"""One training step timed beside the other implementations, in one process.

All implementations train the same network on the same batch, taking turns: a round
times one step of each, and every ratio is taken within its round. Two ratios are
reported. `to_constant` is the step over a step at constant depth. `to_ideal` is the
step over what remains of the constant step when every dropped block costs nothing;
blocks differ in cost, so the cost of a block is measured in the same rounds, by
leaving out all blocks of its kind.
"""

from ._bench import BenchResult, Row, bench
from ._imports import import_milliseconds
from ._networks import IMPLEMENTATIONS, SKIP

__all__ = ["IMPLEMENTATIONS", "SKIP", "BenchResult", "Row", "bench", "import_milliseconds"]

"""Seconds of training, without what is done in between."""

import time
from collections.abc import Iterator
from contextlib import contextmanager


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

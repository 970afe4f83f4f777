"""Keeps from the user what Lightning tells its own developers."""

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

LOGGERS = ("lightning.pytorch", "lightning.fabric", "lightning.pytorch.utilities.rank_zero")
# Advice on data loaders and logging that does not apply to data held in memory.
WARNINGS = (
    ".*does not have many workers.*",
    ".*is smaller than the logging interval.*",
)


@contextmanager
def quiet() -> Iterator[None]:
    """Silence Lightning's hints and the warnings that do not apply; let errors through."""
    levels = {name: logging.getLogger(name).level for name in LOGGERS}
    for name in LOGGERS:
        logging.getLogger(name).setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            for message in WARNINGS:
                warnings.filterwarnings("ignore", message)
            yield
    finally:
        for name, level in levels.items():
            logging.getLogger(name).setLevel(level)

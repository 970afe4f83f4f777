"""Train residual networks whose depth is random."""

from . import blocks, budgets, curricula, gates, models, schedules
from .blocks import DropPath, StochasticDepth, stochastic_depth

__all__ = [
    "DropPath",
    "StochasticDepth",
    "blocks",
    "budgets",
    "curricula",
    "gates",
    "models",
    "schedules",
    "stochastic_depth",
]

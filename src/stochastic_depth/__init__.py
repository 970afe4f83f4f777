"""Train residual networks whose depth is random."""

from . import budgets, curricula, gates, schedules

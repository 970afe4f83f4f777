"""Train residual networks whose depth is random.

A residual network with L blocks is a function of an input and of a gate vector:

    h_l = s_l(h_{l-1}) + a d_l F_l(h_{l-1}),   output = f(x; d)

Train on a draw of the gates, evaluate at their mean. Everything here is a choice of
the gates (`schedules`, `curricula`, `budgets`, `gates`), a way to run them (`blocks`,
`apply`), or a question about f (`theory`).
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from ._errors import (
    AlreadyApplied,
    CheckpointError,
    DataError,
    InfeasibleBudget,
    InvalidArgument,
    NothingToDrop,
    ProcessLost,
    RunDirectoryInUse,
    StochasticDepthError,
    TrainingDiverged,
    Unsupported,
)

if TYPE_CHECKING:
    from . import blocks, budgets, curricula, gates, models, schedules, surgery, theory
    from .blocks import DropPath, StochasticDepth, stochastic_depth
    from .surgery import apply, extract, find_blocks, gated, gating, plan

__all__ = [
    # choose the gates
    "budgets",
    "curricula",
    "gates",
    "schedules",
    # put them on a model
    "apply",
    "extract",
    "find_blocks",
    "gated",
    "gating",
    "plan",
    "surgery",
    # run them
    "blocks",
    "models",
    # understand them
    "theory",
    # masks of other libraries
    "DropPath",
    "StochasticDepth",
    "stochastic_depth",
    # errors
    "AlreadyApplied",
    "CheckpointError",
    "DataError",
    "InfeasibleBudget",
    "InvalidArgument",
    "NothingToDrop",
    "ProcessLost",
    "RunDirectoryInUse",
    "StochasticDepthError",
    "TrainingDiverged",
    "Unsupported",
]

# Imported when first used: `sdepth --help` need not wait for torch.
_HOMES = {
    "blocks": ("DropPath", "StochasticDepth", "stochastic_depth"),
    "surgery": ("apply", "extract", "find_blocks", "gated", "gating", "plan"),
}


def __getattr__(name: str) -> Any:
    for home, names in _HOMES.items():
        if name in names:
            return getattr(import_module(f".{home}", __name__), name)
    if name in __all__:
        return import_module(f".{name}", __name__)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})

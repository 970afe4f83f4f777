"""Regularisers one by one and together, as variants of the recipe `backbone_resnet50`."""

from collections.abc import Mapping
from typing import Any

NONE, DROPOUT, STOCHASTIC = "none", "dropout", "stochastic depth"
BOTH, DECAY, SMOOTHING = "dropout and stochastic depth", "weight decay", "label smoothing"
ALL = "all but dropout"

OFF: Mapping[str, Any] = {
    "depth.enabled": False,
    "model.init_args.dropout": 0.0,
    "optimizer.init_args.weight_decay": 0.0,
    "label_smoothing": 0.0,
}

ON: Mapping[str, Mapping[str, Any]] = {
    STOCHASTIC: {"depth.enabled": True},
    DROPOUT: {"model.init_args.dropout": 0.2},
    DECAY: {"optimizer.init_args.weight_decay": 0.05},
    SMOOTHING: {"label_smoothing": 0.1},
}


def variant(*names: str) -> dict[str, Any]:
    """Return the fields of the variant in which these regularisers are on and others off.

    Example:
        >>> variant("label smoothing")["label_smoothing"], variant()["depth.enabled"]
        (0.1, False)
    """
    fields = dict(OFF)
    for name in names:
        fields |= ON[name]
    return fields


AGAINST_DROPOUT: Mapping[str, Mapping[str, Any]] = {
    NONE: variant(),
    DROPOUT: variant(DROPOUT),
    STOCHASTIC: variant(STOCHASTIC),
}
"""What the table of section 6 compares."""

SIDE_BY_SIDE: Mapping[str, Mapping[str, Any]] = {
    NONE: variant(),
    **{name: variant(name) for name in ON},
    BOTH: variant(DROPOUT, STOCHASTIC),
    ALL: variant(STOCHASTIC, DECAY, SMOOTHING),
}
"""Each alone, and two combinations."""

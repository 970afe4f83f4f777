"""Compile the function of a branch."""

from types import FunctionType
from typing import Any

import torch

from ._code import Function


def compiled(function: Function, shapes: tuple[Any, ...], options: dict[str, Any]) -> Function:
    """Return `function` compiled, once for all blocks with weights of these shapes.

    `torch.compile` keeps a bounded number of graphs per piece of code. A residual network
    has many widths but one code: each width gets a copy of it, and blocks of one width
    share their graphs.

    Args:
        function: of a branch, from `write_branch`.
        shapes: of the weights that it uses.
        options: keyword arguments of `torch.compile`.
    """
    key = (function, shapes, repr(sorted(options.items())))
    if key not in _COMPILED:
        code = function.__code__.replace()
        copy = FunctionType(code, function.__globals__, function.__name__)
        _COMPILED[key] = torch.compile(copy, **options)
    return _COMPILED[key]


_COMPILED: dict[tuple[Function, tuple[Any, ...], str], Function] = {}

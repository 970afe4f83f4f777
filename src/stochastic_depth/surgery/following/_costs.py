"""What the branches of a model cost, in floating point operations."""

from collections.abc import Callable
from contextlib import ExitStack
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn.attention import SDPBackend, sdpa_kernel

from ._example import inputs_of, plain
from ._untouched import in_mode, untouched


def count_flops(model: nn.Module, example: Any) -> Callable[[list[str]], float]:
    """Return a function from paths of modules to their floating point operations.

    Args:
        model: the model; it runs once in evaluation mode.
        example: an input, or a tuple of inputs.
    """
    from torch.utils.flop_counter import FlopCounterMode  # not needed to train

    inputs = inputs_of(plain(example))
    counter = FlopCounterMode(display=False)
    # Fused attention is not counted; its plain form is the same work.
    fused = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        with ExitStack() as stack:
            stack.enter_context(torch.no_grad())
            stack.enter_context(untouched(model))
            stack.enter_context(in_mode(model, False))
            stack.enter_context(sdpa_kernel(SDPBackend.MATH))
            stack.enter_context(counter)
            # Parameters that ask for gradients trip the counter up where they are arguments.
            functional_call(model, _detached(model), inputs.args, inputs.kwargs)
    finally:
        torch.backends.mha.set_fastpath_enabled(fused)
    counts = counter.get_flop_counts()
    root = type(model).__name__

    def flops(paths: list[str]) -> float:
        names = (f"{root}.{path}" if path else root for path in paths)
        return float(sum(sum(counts[name].values()) for name in names if name in counts))

    return flops


def _detached(model: nn.Module) -> dict[str, Tensor]:
    return {name: parameter.detach() for name, parameter in model.named_parameters()}

"""The network as the theory sees it: a callable of an input and a gate vector."""

from collections.abc import Callable, Iterable
from typing import TypeAlias

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _NormBase

from .._checks import fail, finite, function, instance, same_length
from .._errors import Unsupported

Network: TypeAlias = Callable[[Tensor, Tensor], Tensor]
"""f(x, gates): x of N samples, gates (L,) or (L, N); returns one row per sample."""

Loss: TypeAlias = Callable[[Tensor, Tensor], Tensor]
"""loss(outputs, y): a scalar, the mean over samples."""

PROBE = 1e-2
"""If a sample's output moves by this share of the largest, it depends on other samples."""


def gate_point(f: Network, x: Tensor, at: Tensor | Iterable[float] | None) -> Float[Tensor, " L"]:
    """Return the gates at which to analyse f, and check that f can be analysed there.

    Args:
        f: the network.
        x: input, N samples.
        at: gates, shape (L,); None for all ones.

    Returns:
        Gates on the CPU, in the precision of x.

    Raises:
        InvalidArgument: no `at` for an f without `blocks`, or gates that are not a
            finite vector (L,).
        Unsupported: f mixes samples or is not deterministic.
    """
    function("f", f, "a function f(x, gates)")
    instance("x", x, Tensor, "a tensor of N samples")
    blocks = getattr(f, "blocks", None)
    if at is None and blocks is None:
        remedy = "Pass torch.ones(L), or an f with `blocks`."
        raise fail("at", "given, as f has no `blocks` to tell the number of blocks", None, remedy)
    point = torch.ones(len(blocks), dtype=torch.float64) if at is None else finite("at", at)  # type: ignore[arg-type]
    if blocks is not None:
        same_length("at", point, len(blocks))
    gates = point.to(x.dtype if x.is_floating_point() else torch.get_default_dtype())
    _require_evaluation_mode(f)
    _require_separate_samples(f, x, gates)
    return gates


def _require_evaluation_mode(f: Network) -> None:
    if not isinstance(f, nn.Module):
        return
    for name, module in f.named_modules():
        statistics = isinstance(module, _NormBase) and (
            module.training or not module.track_running_stats
        )
        if statistics:
            raise Unsupported(
                f"f must not use batch statistics while it is analysed; {name} "
                f"({type(module).__name__}) does. Call f.eval() before."
            )


def _require_separate_samples(f: Network, x: Tensor, gates: Tensor) -> None:
    """Compare the first sample in a batch with the second and in a batch with itself."""
    if len(x) < 2:
        return
    # A probe sees any mixing, even where no module tells of it.
    with torch.no_grad():
        mixed, alone = f(x[:2], gates), f(x[:1].expand(2, *x.shape[1:]), gates)
    change = (mixed[0] - alone[0]).abs().max()
    if change > PROBE * alone.abs().max():
        raise Unsupported(
            f"f must treat samples apart and without chance while it is analysed; the output of "
            f"a sample moved by {float(change):.2g} when another left the batch. Call eval() on "
            f"the model inside f: batch statistics and dropout must be off."
        )


def differentiable(gates: Tensor, x: Tensor) -> Tensor:
    """Return a leaf copy of `gates` beside x, for derivatives in the gates."""
    return gates.to(x.device, copy=True).requires_grad_()


def gate_gradient(value: Tensor, gates: Tensor, *, create_graph: bool = False) -> Tensor:
    """Return the gradient of a scalar in the gates.

    Raises:
        Unsupported: the value does not depend on the gates through differentiable steps.
    """
    if value.ndim or not value.requires_grad:
        given = f"shape {tuple(value.shape)}" if value.ndim else "a value without a graph"
        raise Unsupported(
            f"loss(f(x, gates), y) must be a differentiable scalar; got {given}. f must not run "
            f"under no_grad, and the loss must average over samples."
        )
    return torch.autograd.grad(value, gates, create_graph=create_graph, materialize_grads=True)[0]


ELEMENTS = 2**22
"""Largest input of one forward pass, in numbers; activations have as many rows."""


def masks_per_pass(x: Tensor) -> int:
    """Return how many copies of the batch fit into one forward pass."""
    return max(1, ELEMENTS // x.numel())


@torch.no_grad()
def outputs_under(
    f: Network, x: Tensor, gates: Float[Tensor, "L M"]
) -> Float[Tensor, "M N *outputs"]:
    """Return the outputs of all samples under each of M gate vectors."""
    chunks = gates.split(masks_per_pass(x), dim=1)
    return torch.cat([_in_one_pass(f, x, chunk) for chunk in chunks])


def losses_under(
    f: Network, x: Tensor, y: Tensor, loss: Loss, gates: Float[Tensor, "L M"]
) -> Float[Tensor, " M"]:
    """Return the loss of the batch under each of M gate vectors."""
    outputs = outputs_under(f, x, gates)
    return torch.vmap(loss, in_dims=(0, None))(outputs, y)


def _in_one_pass(f: Network, x: Tensor, gates: Tensor) -> Tensor:
    masks, samples = gates.shape[1], len(x)
    rows = x.expand(masks, *x.shape).flatten(0, 1)
    return f(rows, gates.repeat_interleave(samples, dim=1)).unflatten(0, (masks, samples))

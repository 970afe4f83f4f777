"""Evaluate many subnetworks of a trained network in one call."""

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn

from .._checks import fail
from .._typing import Gates
from ._gating import gated
from .following import in_mode

Loss = Callable[[Any, Any], Tensor]


def _own_loss(output: Any, batch: Any) -> Tensor:
    """Return the loss that a model of transformers computes when it is given labels."""
    loss = getattr(output, "loss", None)
    if not isinstance(loss, Tensor):
        requirement = "given for a model that returns no loss, or the batches have labels"
        raise fail("loss", requirement, type(output).__name__)
    return loss


def subnetwork_losses(
    model: nn.Module,
    batches: Iterable[Any],
    gates: Gates,
    loss: Loss = _own_loss,
    *,
    example: Any | None = None,
) -> Tensor:
    """Return the loss of each of several subnetworks.

        l_s = mean over batches of loss(f(x; d_s), batch)

    What a gate vector drops is not computed. The model is in evaluation mode, and no gradient
    is recorded. Some sets of gate vectors, for L blocks:

        torch.ones(L, L).tril()                                  # the first 1, ..., L blocks
        1 - torch.eye(L)                                         # all but one
        torch.cartesian_prod(*[torch.tensor([0.0, 1.0])] * L)    # all 2^L

    Args:
        model: with or without stochastic depth; its mode is given back.
        batches: what the model takes: tensors, tuples of arguments, or dictionaries of
            keyword arguments. All count alike.
        gates: one vector per subnetwork, shape (S, L).
        loss: of the output and the batch, a scalar; by default the `loss` of the output, which
            models of transformers return if the batch has labels.
        example: an input of a model without stochastic depth; see `find_blocks`.

    Returns:
        The losses, float64, shape (S,).

    Raises:
        InvalidArgument: gates of another shape, no batches, or no loss.
        Unsupported: a gate other than 1 for a block that cannot be gated.

    Example:
        >>> import torch, stochastic_depth as sd
        >>> model = sd.models.VanillaResNet(depth=3, width=8, inputs=2, outputs=1)
        >>> x = torch.randn(5, 2)
        >>> prefixes = torch.ones(3, 3).tril()
        >>> sd.surgery.subnetwork_losses(model, [x], prefixes, lambda y, _: y.square().mean()).shape
        torch.Size([3])
    """
    if not isinstance(gates, Tensor) or gates.ndim != 2:
        shape = tuple(gates.shape) if isinstance(gates, Tensor) else type(gates).__name__
        raise fail("gates", "a tensor (subnetworks, L)", shape)
    f = gated(model, example=example)
    found: list[Tensor] = []
    with in_mode(model, False), torch.no_grad():
        for batch in batches:
            values = [loss(f(batch, vector), batch).detach().double().cpu() for vector in gates]
            found.append(torch.stack(values))
    if not found:
        raise fail("batches", "at least one", "none")
    return torch.stack(found).mean(0)

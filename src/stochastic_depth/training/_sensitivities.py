"""How much the loss on training images depends on each block."""

import copy
from collections.abc import Callable, Iterable

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from torch.nn.modules.batchnorm import _BatchNorm

from .. import theory
from ..surgery import gated
from .data import Batch


def mean_sensitivities(
    model: nn.Module,
    batches: Iterable[Batch],
    loss: Callable[[Tensor, Tensor], Tensor] = cross_entropy,
) -> Float[Tensor, " L"]:
    """Return the size of the derivative of the loss in every gate, averaged over batches.

        mean over batches of |S_l|,   S_l = d loss(f(x; d), y) / d d_l at d = 1

    Each batch is normalised by its own statistics, held fixed: at initialisation the running
    ones are 0 and 1, and would normalise nothing. Dropout is off, no random number is drawn,
    and the model is left as it is.

    Args:
        model: images -> logits, with or without stochastic depth.
        batches: inputs and targets, on the device of the model; at least one batch.
        loss: scalar mean over samples.

    Returns:
        float64 tensor of shape (L,) on the CPU, for `budgets.sense`.

    Raises:
        NothingToDrop: the model has no blocks.
        Unsupported: samples meet in the model other than in batch normalisation.

    Example:
        >>> import torch, stochastic_depth as sd
        >>> model = sd.models.CifarResNet(8, num_classes=10)
        >>> batch = torch.randn(4, 3, 16, 16), torch.tensor([1, 2, 3, 4])
        >>> strength = mean_sensitivities(model, [batch])
        >>> sd.budgets.sense(strength, budget=0.4).mean()
        tensor(0.4000, dtype=torch.float64)

    References:
        Hayou & Ayed 2021, section 5; they do not say on how many batches.
    """
    analysed = copy.deepcopy(model).requires_grad_(False).eval()
    norms = [module for module in analysed.modules() if isinstance(module, _BatchNorm)]
    for norm in norms:
        norm.momentum = 1.0  # the running statistics become those of one batch
    f = gated(analysed)
    sizes = []
    for x, y in batches:
        _take_statistics(norms, lambda x=x: f(x, torch.ones(len(f.blocks))))  # type: ignore[misc]
        sizes.append(theory.sensitivities(f, x, y, loss).abs())
    return torch.stack(sizes).mean(0).double().cpu()


def _take_statistics(norms: Iterable[nn.Module], forward: Callable[[], object]) -> None:
    for norm in norms:
        norm.train()
    with torch.no_grad():
        forward()
    for norm in norms:
        norm.eval()

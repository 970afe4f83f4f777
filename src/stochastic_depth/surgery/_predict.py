"""Predict by many subnetworks, and say how far they agree."""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils import _pytree as pytree

from .._checks import count, fail, seed_or_step
from .._errors import InvalidArgument
from ..gates import Law, Per, draw, stream
from ._gating import GatedModel, gated
from .following import in_mode, plain
from .running import CONTROLLER


@dataclass(frozen=True, eq=False)
class Prediction:
    """Outputs of a network under many draws of its gates.

    Attributes:
        outputs: shape (draws, N, ...); of a model of transformers its logits.
    """

    outputs: Tensor

    @property
    def mean(self) -> Tensor:
        """Mean of the outputs over draws, shape (N, ...)."""
        return self.outputs.mean(0)

    @property
    def variance(self) -> Tensor:
        """Unbiased variance of the outputs over draws, shape (N, ...)."""
        return self.outputs.var(0)

    @property
    def probabilities(self) -> Tensor:
        """Mean over draws of the probabilities, outputs being logits (N, ..., classes)."""
        return self.outputs.softmax(-1).mean(0)

    @property
    def mutual_information(self) -> Tensor:
        """What is not known about the class for not knowing the network, in nats, shape (N, ...).

            I = H(E_d[p(x; d)]) - E_d[H(p(x; d))]

        0 where all subnetworks agree, at most log(classes).
        """
        each = self.outputs.softmax(-1)
        return _entropy(each.mean(0)) - _entropy(each).mean(0)


def predict(
    model: nn.Module,
    x: Any,
    draws: int = 32,
    *,
    law: Law | None = None,
    per: Per = "sample",
    seed: int = 0,
    example: Any | None = None,
) -> Prediction:
    """Predict by Monte Carlo over the gates.

        E_d f(x; d)  and its spread,  d ~ law

    With `per="sample"` all draws run in one forward, `draws` copies of the batch with a
    gate vector for each row. The model is in evaluation mode: nothing but the gates is
    random, and no gradient is recorded.

    Args:
        model: with or without stochastic depth; its mode is given back.
        x: a batch, shape (N, ...), or a dictionary of keyword arguments with N rows each, such
            as a tokenizer's.
        draws: how many gate vectors, at least 2.
        law: of the gates; by default that of the model.
        per: what shares a draw, see `gates.draw`. With `"batch"` there is one forward
            per draw, for models whose blocks do not keep the batch first.
        seed: of the gates, at least 0.
        example: an input of a model without stochastic depth; see `find_blocks`.

    Returns:
        The outputs (draws, N, ...), with their mean, variance and mutual information.

    Raises:
        InvalidArgument: the model has no law and none is given, or too few draws.

    Example:
        >>> import torch, stochastic_depth as sd
        >>> model = sd.models.CifarResNet(8, num_classes=10)
        >>> law = sd.gates.Bernoulli(torch.tensor([0.9, 0.7, 0.5]))
        >>> prediction = sd.surgery.predict(model, torch.randn(4, 3, 32, 32), law=law)
        >>> prediction.mean.shape, prediction.mutual_information.shape
        (torch.Size([4, 10]), torch.Size([4]))

    References:
        Houlsby et al. 2011, "Bayesian active learning for classification", equation 2.
    """
    law = law or _law_of(model)
    count("draws", draws, least=2)
    generator = stream(seed_or_step("seed", seed), 0, purpose="predict")
    f = gated(model, example=example)
    with in_mode(model, False), torch.no_grad():
        # One gate vector holds for a whole forward: draws cannot be rows of one batch.
        if per == "batch":
            many = (law.sample(generator=generator) for _ in range(draws))
            return Prediction(torch.stack([_under(f, x, gates) for gates in many]))
        size = len(next(leaf for leaf in pytree.tree_leaves(plain(x)) if isinstance(leaf, Tensor)))
        gates = draw(law, per, draws * size, generator=generator)
        outputs = _under(f, _repeated(plain(x), size, draws), gates)
        return Prediction(outputs.unflatten(0, (draws, size)))


def _repeated(x: Any, size: int, draws: int) -> Any:
    """Return a batch `draws` times, one after the other; what has no row per sample stays."""

    def repeat(tensor: Tensor) -> Tensor:
        rows = tensor.ndim > 0 and len(tensor) == size
        return tensor.repeat(draws, *[1] * (tensor.ndim - 1)) if rows else tensor

    return pytree.tree_map_only(Tensor, repeat, x)


def _under(f: GatedModel, x: Any, gates: Tensor) -> Tensor:
    output = f(x, gates)
    output = getattr(output, "logits", output)
    if not isinstance(output, Tensor):
        raise fail("model", "one that returns a tensor, or logits", type(output).__name__)
    return output


def _law_of(model: nn.Module) -> Law:
    controller = vars(model).get(CONTROLLER)
    if controller is None:
        raise InvalidArgument(
            f"law must be given for a model without stochastic depth; this "
            f"{type(model).__name__} has none."
        )
    law: Law = controller.law
    return law


def _entropy(probabilities: Tensor) -> Tensor:
    return torch.special.entr(probabilities).sum(-1)

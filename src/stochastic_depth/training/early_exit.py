"""A loss at every layer of a decoder, so that it can be left early (LayerSkip).

    with early_exit(model, Rotational(every=4), scale=0.2) as exits:
        for exits.step, batch in enumerate(batches):
            model(**batch).loss.backward()

`huggingface.EarlyExit` is the callback for the `Trainer` of transformers.
"""

import inspect
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from .._checks import count, fail, interval, positive
from .._errors import Unsupported
from .._typing import Mask

__all__ = ["EarlyExits", "Gradual", "Rotational", "early_exit", "exit_weights"]


class ExitCurriculum(Protocol):
    """Says which layers have a loss in a step, the last one not counted: it always has."""

    def __call__(self, step: int, steps: int, layers: int) -> Mask:
        """Return a flag for each of the L layers, shape (L,)."""
        ...


@dataclass(frozen=True)
class Rotational:
    """A loss at every R-th layer; which ones moves on by one layer in each step.

        C(t, l) = 1 if (l - t) mod R = 0

    Args:
        every: R, at least 1; a step computes about L / R losses.

    References:
        Elhoushi et al. 2024, "LayerSkip", section 4.1.2.
    """

    every: int = 8

    def __post_init__(self) -> None:
        count("every", self.every)

    def __call__(self, step: int, steps: int, layers: int) -> Mask:
        """Return a flag for each layer."""
        return (torch.arange(layers) - step) % self.every == 0


@dataclass(frozen=True)
class Gradual:
    """A loss at the last layer first, and at one layer more every `until` T / L steps.

        C(t, l) = 1 if l >= L - 1 - t L / (until T)

    Args:
        until: progress in (0, 1] from which on all layers have a loss.

    References:
        Elhoushi et al. 2024, "LayerSkip", section 4.1.2, with `until=0.5`.
    """

    until: float = 0.5

    def __post_init__(self) -> None:
        interval("until", positive("until", self.until), 0, 1)

    def __call__(self, step: int, steps: int, layers: int) -> Mask:
        """Return a flag for each layer."""
        return torch.arange(layers) >= layers - 1 - int(step * layers / (self.until * steps))


def exit_weights(enabled: Mask, scale: float) -> Tensor:
    """Return the weight of the loss of each layer, float64, shape (L,), of sum 1.

        w_l = C_l e_l / sum_i C_i e_i,   e_l = scale (0 + 1 + ... + l)  for l < L - 1,
        e_{L-1} = L - 1 + scale (0 + 1 + ... + L - 2)

    Args:
        enabled: C, shape (L,); the last layer counts whether it is enabled or not.
        scale: of the early layers beside the last, at least 0.

    References:
        Elhoushi et al. 2024, "LayerSkip", equation 6.
    """
    last = len(enabled) - 1
    sums = torch.arange(last + 1, dtype=torch.float64).cumsum(0)
    weights = scale * torch.where(enabled, sums, 0.0)
    # A network of one layer has no weight by the formula, and one loss all the same.
    weights[last] = max(last + scale * float(sums[last - 1] if last else 0), 1.0)
    return weights / weights.sum()


class EarlyExits:
    """Replaces the loss of a decoder, in training, by a mean over layers; see `early_exit`.

    Attributes:
        step: number t of the step; to be set by the loop.
        steps: T, of the whole training; read by curricula that need it.
    """

    def __init__(
        self, model: nn.Module, curriculum: ExitCurriculum, scale: float, norm: str | None
    ) -> None:
        head = getattr(model, "get_output_embeddings", lambda: None)()
        if head is None or not hasattr(model, "loss_function"):
            requirement = "a language model of transformers with a head, and a loss of its own"
            raise fail("model", requirement, type(model).__name__)
        if not 0 <= scale < float("inf"):
            raise fail("scale", "at least 0 and finite", scale)
        self.model, self.curriculum, self.scale, self.head = model, curriculum, scale, head
        self.norm = _final_norm(model) if norm is None else model.get_submodule(norm)
        self.step, self.steps = 0, 1
        self._normed: Tensor | None = None
        self._checked = False

    @contextmanager
    def attached(self) -> Iterator["EarlyExits"]:
        """Change the loss of the model inside a `with` statement."""
        with ExitStack() as stack:
            for hook in (
                self.model.register_forward_pre_hook(self._ask, with_kwargs=True),
                self.model.register_forward_hook(self._replace, with_kwargs=True),
                self.norm.register_forward_hook(self._note),
            ):
                stack.callback(hook.remove)
            yield self

    def _ask(self, model: nn.Module, args: Any, kwargs: dict[str, Any]) -> Any:
        return (args, {**kwargs, "output_hidden_states": True}) if model.training else None

    def _note(self, norm: nn.Module, args: Any, output: Tensor) -> None:
        self._normed = output

    def _replace(self, model: nn.Module, args: Any, kwargs: dict[str, Any], output: Any) -> None:
        if not model.training or getattr(output, "loss", None) is None:
            return
        if not self._checked:
            self._check(output)
        hidden = output.hidden_states[1:]
        weights = exit_weights(self.curriculum(self.step, self.steps, len(hidden)), self.scale)
        given = inspect.signature(model.forward).bind_partial(*args, **kwargs).arguments
        total = weights[-1].item() * output.loss
        for weight, state in zip(weights[:-1].tolist(), hidden[:-1], strict=True):
            if weight:
                total = total + weight * self._loss(state, given)
        output.loss = total

    def _loss(self, state: Tensor, given: Mapping[str, Any]) -> Tensor:
        """Return the loss of what the head makes of the output of one layer."""
        model: Any = self.model
        more = {**given, **given.get("kwargs", {})}
        rest = {"num_items_in_batch": more["num_items_in_batch"]} if _counted(more) else {}
        size = model.config.get_text_config().vocab_size
        logits = self.head(self.norm(state))
        loss: Tensor = model.loss_function(
            logits=logits, labels=given["labels"], vocab_size=size, **rest
        )
        return loss

    def _check(self, output: Any) -> None:
        """Raise unless the logits are what the head makes of the normed last state."""
        last = output.hidden_states[-1]
        same = self._normed is not None and torch.equal(self._normed, last)
        if not same or not torch.allclose(self.head(last), output.logits, rtol=1e-2, atol=1e-3):
            raise Unsupported(
                f"The logits of {type(self.model).__name__} must be head(norm(h)) for an "
                "early-exit loss; here they are something else (scaled, capped), or the norm is "
                "not the one before the head. Pass norm=<its path>."
            )
        self._checked = True


def _counted(given: Mapping[str, Any]) -> bool:
    return given.get("num_items_in_batch") is not None


def _final_norm(model: nn.Module) -> nn.Module:
    """Return the last norm beside the list of layers."""
    size = model.config.get_text_config().num_hidden_layers  # type: ignore[union-attr,operator]
    for module in model.modules():
        children = list(module.children())
        if any(isinstance(child, nn.ModuleList) and len(child) == size for child in children):
            norms = [child for child in children if "norm" in type(child).__name__.lower()]
            if norms:
                return norms[-1]
    raise Unsupported(
        f"{type(model).__name__} must have a norm behind its layers; none was found beside a "
        "list of them. Pass norm=<its path>."
    )


@contextmanager
def early_exit(
    model: nn.Module,
    curriculum: ExitCurriculum | None = None,
    *,
    scale: float = 1.0,
    norm: str | None = None,
) -> Iterator[EarlyExits]:
    """Train a decoder to be left after any layer, inside a `with` statement.

        loss = sum over l of w_l(t) CE(head(norm(h_{l+1})), labels)

    In training mode, the `loss` that a model of transformers returns for a batch with labels is
    replaced by that mean over layers; evaluation stays as it is. A later
    `model.generate(..., assistant_early_exit=k)` drafts with the first k layers.

    Args:
        model: a decoder of transformers, with or without stochastic depth.
        curriculum: which layers have a loss in step t, `Rotational` or `Gradual`; by default
            `Rotational(8)`.
        scale: weight of early layers, see `exit_weights`.
        norm: path of the norm before the head; found if it stands beside the layers.

    Yields:
        The exits, whose `step` the loop sets, and `steps` for `Gradual`.

    Raises:
        InvalidArgument: the model has no head, or no loss of its own.
        Unsupported: its logits are not those of head(norm(h)).

    References:
        Elhoushi et al. 2024, "LayerSkip: enabling early exit inference and self-speculative
        decoding", section 4.1.2.
    """
    exits = EarlyExits(model, Rotational() if curriculum is None else curriculum, scale, norm)
    with exits.attached():
        yield exits

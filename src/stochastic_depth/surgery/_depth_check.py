"""Tell from its statistics at initialisation whether an architecture bears more depth."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn
from torch.utils import _pytree as pytree

from .._checks import count, fail
from .._errors import Unsupported
from ..theory import Classification, RelativeChange, classify, relative_change
from ._find import find_blocks
from ._hidden_states import Passage, recording, stages

Factory = Callable[[int], nn.Module]
"""depth -> model, newly initialised; depth in any unit, such as blocks or blocks per stage."""

Changes = tuple[RelativeChange, RelativeChange]
"""Of the hidden states and of the gradients, one entry per repetition and sample."""


@dataclass(frozen=True)
class DepthCheck:
    """How the models of a factory behave as they get deeper.

    Attributes:
        hidden: what becomes of ||h_L - h_0|| / ||h_0||.
        gradients: what becomes of ||p_0 - p_L|| / ||p_L||, p the gradient in a hidden state.
        measured: both at each depth, (repetitions, samples) each; the last depth is the
            first at which numbers overflowed, where they did.
    """

    hidden: Classification
    gradients: Classification
    measured: dict[int, Changes] = field(repr=False)

    def __str__(self) -> str:
        return f"hidden states: {self.hidden}\ngradients: {self.gradients}"


def depth_check(
    factory: Factory,
    depths: Iterable[int],
    x: Tensor,
    *,
    repetitions: int = 10,
    margin: float = 0.1,
    seed: int = 0,
    track: Callable[[Iterable[int]], Iterable[int]] = lambda depths: depths,
) -> DepthCheck:
    """Check how hidden states and gradients of an architecture depend on its depth.

    Models of several depths are initialised `repetitions` times each, and run forward and
    backward once, in training mode. The change from the first hidden state to the last is
    measured over each stage, which is a run of blocks that keep the shape of their input;
    the largest counts. The gradients are those of a random linear function of the outputs.
    What mup's coordinate check is for width, this is for depth.

    Args:
        factory: depth -> newly initialised model, whose blocks `find_blocks` finds.
        depths: at least two different ones; a factor of ten between the ends is sensible.
        x: an input of the models, N samples; two or more where batches are normalised.
        repetitions: independent initialisations of each depth, at least 2.
        margin: how far from 0 an exponent still counts as stable; positive.
        seed: of the initialisations; the global generator is left as it is.
        track: passes the depths on while showing how far it is.

    Returns:
        For both, the verdict (explosion, stable, identity, or undecided), and the exponent
        with its confidence interval; see `theory.classify`.

    Raises:
        InvalidArgument: an argument out of range.
        Unsupported: no block keeps the shape of its input, so that nothing is comparable.
        NothingToDrop: a model has no blocks.

    Example:
        >>> import torch, stochastic_depth as sd
        >>> def factory(depth):
        ...     return sd.models.ScaledResNet(depth, width=20, inputs=8, outputs=1, beta=1.0)
        >>> check = sd.surgery.depth_check(factory, [8, 32, 128], torch.randn(4, 8))
        >>> check.hidden.verdict, check.gradients.verdict
        ('identity', 'identity')

    References:
        Marion et al. 2022, figures 1 and 3, for one architecture.
    """
    count("repetitions", repetitions, least=2)
    wanted = sorted({count("depths", depth) for depth in depths})
    if len(wanted) < 2:
        raise fail("depths", "at least two different ones", wanted)
    measured: dict[int, Changes] = {}
    with torch.random.fork_rng(devices=[]):
        for depth in track(wanted):
            torch.manual_seed(seed)
            runs = [_measure(factory, depth, x) for _ in range(repetitions)]
            measured[depth] = tuple(map(_stacked, zip(*runs, strict=True)))  # type: ignore[assignment]
            if any((change.overflow > 0).any() for change in measured[depth]):
                break
    hidden, gradients = (
        classify(lambda depth, kind=kind: measured[depth][kind], measured, margin=margin)  # type: ignore[misc]
        for kind in (0, 1)
    )
    return DepthCheck(hidden, gradients, measured)


def _measure(factory: Factory, depth: int, x: Tensor) -> Changes:
    model = _built(factory, depth)
    blocks = find_blocks(model, example=x[:2])
    if not blocks:
        raise Unsupported(f"factory({depth}) must have residual blocks; none were found.")
    model.train()
    start = x.detach().clone().requires_grad_(x.is_floating_point())
    with recording(model, blocks) as passages:
        output = model(start)
    runs = stages(passages)
    if not runs:
        raise Unsupported(
            f"factory({depth}) must have a block that keeps the shape of its input: otherwise "
            "no hidden states can be compared. Build the branches at the width of their input."
        )
    hidden = _largest([_over(run, [passages[run[0]][0], *_outputs(passages, run)]) for run in runs])
    if (hidden.overflow > 0).any():
        return hidden, hidden
    return hidden, _gradients(passages, runs, output)


def _built(factory: Factory, depth: int) -> nn.Module:
    try:
        model = factory(depth)
    except (TypeError, ValueError) as error:
        reason = str(error).partition("\n")[0]
        raise fail(f"factory({depth})", "a torch module", f"an error: {reason}") from error
    if not isinstance(model, nn.Module):
        raise fail(f"factory({depth})", "a torch module", type(model).__name__)
    return model


def _gradients(passages: list[Passage], runs: list[list[int]], output: object) -> RelativeChange:
    outputs = next(leaf for leaf in pytree.tree_leaves(output) if isinstance(leaf, Tensor))
    slope = (outputs * torch.randn_like(outputs)).sum()
    changes = []
    for run in runs:
        states = [*reversed(_outputs(passages, run)), passages[run[0]][0]]
        gradients = torch.autograd.grad(slope, states, retain_graph=True)
        changes.append(_over(run, list(gradients)))
    return _largest(changes)


def _outputs(passages: list[Passage], run: list[int]) -> list[Tensor]:
    return [passages[index][1] for index in run]


def _over(run: list[int], states: list[Tensor]) -> RelativeChange:
    """Return the change over a stage; a start that is not finite overflowed before it."""
    rows = [state.detach().flatten(1) for state in states]
    if not rows[0].isfinite().all():
        infinite = torch.full((len(rows[0]),), torch.inf, dtype=torch.float64)
        return RelativeChange(infinite, torch.full_like(infinite, run[0] + 1, dtype=torch.long))
    change = relative_change(rows)
    return RelativeChange(
        change.log10, torch.where(change.overflow > 0, change.overflow + run[0], 0)
    )


def _largest(changes: list[RelativeChange]) -> RelativeChange:
    """Return, for each sample, the largest change of the stages, and where one overflowed."""
    log10 = torch.stack([change.log10 for change in changes])
    overflow = torch.stack([change.overflow for change in changes]).amax(0)
    return RelativeChange(log10.amax(0), overflow)


def _stacked(changes: tuple[RelativeChange, ...]) -> RelativeChange:
    return RelativeChange(
        torch.stack([change.log10 for change in changes]),
        torch.stack([change.overflow for change in changes]),
    )

"""Put stochastic depth on a model."""

import warnings
from itertools import count as count_from
from typing import Any, get_args

from torch import nn

from .._checks import network, one_of, seed_or_step
from ..blocks import Execution
from ..gates import Per, Rescale
from ._asked import Survival, law_of, scheduled
from ._handle import Handle
from ._takeover import masks_samples
from .following import Anatomy, Granularity, Scale, Transitions
from .running import (
    DroppedGrads,
    Options,
    Ranks,
    install,
    refuse_synchronised,
    refuse_wrapped,
    require_plain,
)

_APPLIED = count_from(0)
"""Default seeds: models of one process do not draw in lockstep by accident."""


def apply(
    model: nn.Module,
    survival: Survival = None,
    *,
    budget: float | None = None,
    per: Per | None = None,
    multiple: int = 1,
    rescale: Rescale = "train",
    granularity: Granularity = "block",
    scale: Scale = "block",
    transitions: Transitions = "protect",
    dropped_grads: DroppedGrads = "none",
    ranks: Ranks | None = None,
    seed: int | None = None,
    execution: Execution = "auto",
    example: Any | None = None,
) -> Handle:
    """Put stochastic depth on a model, in place.

        h_l = act(s_l(h_{l-1}) + d_l F_l(h_{l-1})),   d drawn anew in each training forward

    In training, each forward of the model draws the gates d and runs what they leave; in
    evaluation the gates are the law's `evaluation`. The model keeps its class (isinstance
    holds), its state-dict keys and, under `rescale="train"`, its evaluated outputs to the
    bit. `handle.remove()` undoes it.

    Args:
        model: the project's own or a foreign model; see `find_blocks`.
        survival: what the survival probabilities are: a schedule, a vector (L,), a law, or,
            with `budget`, a family of schedules (`schedules.uniform` by default). None
            takes over the drop rates the model was built with. Probabilities of
            protected blocks are set to 1; those of a law must be.
        budget: expected active share of the blocks in (0, 1], protected ones included;
            by cost if an `example` is given.
        per: what shares a draw: `"batch"`, `"sample"` or `"subset"`, see `gates.draw`. None is
            `"batch"`, and warns if it replaces masks that were built to draw for each sample.
        multiple: for `per="subset"`, what the number of survivors of a block is a multiple
            of, such as 16 for FP8, unless the whole batch survives; at least 1. The survival
            probabilities are kept exactly, see `gates.Bernoulli.sample_subset`.
        rescale: where the mean of the gates is put right, see `gates.Rescale`. A law has
            its own.
        granularity: `"block"`, or `"branch"` for a gate per residual branch (attention
            and MLP apart, as timm masks them).
        scale: what a gate scales in a block of several branches: `"block"` its whole change,
            S(x) + d (B(x) - S(x)), whose mean is the evaluated block; `"branch"` each branch,
            whose mean is not.
        transitions: what becomes of blocks whose shortcut is a projection: `"protect"`
            runs them always, `"drop"` reduces a dropped one to its shortcut.
        dropped_grads: gradient of dropped branches: `"none"` leaves it None and the
            optimizer skips the parameters; `"zero"`, as Huang et al., lets weight
            decay and momentum move them.
        ranks: `"shared"` gates on all processes, or `"independent"`. By default shared
            for `per="batch"` and independent otherwise. `"equal-depth"`, for `per="batch"`:
            each process its own blocks, but equally many, so that none waits.
        seed: of the gates, at least 0; by default the number of models that `apply` was
            called for before, 0 for the first. The global random generators are not used.
        execution: how dropped branches are left out, see `blocks.Execution`.
        example: an input of the model; see `find_blocks`.

    Returns:
        The handle.

    Raises:
        AlreadyApplied: the model, or part of it, has stochastic depth.
        NothingToDrop: no block may be dropped; the message lists what was looked at.
        InfeasibleBudget: the droppable blocks cannot meet the budget.
        InvalidArgument: an argument out of range.
        Unsupported: the model is compiled, or wrapped or partitioned for several processes, or
            has SyncBatchNorm and independent gates.

    Warns:
        UserWarning: all survival probabilities are 1; a budget leaves the droppable blocks less
            than half of it, the rest being spent on protected ones; or `per` is None for a
            model that was built to drop per sample.

    Example:
        >>> import torch, stochastic_depth as sd
        >>> model = sd.models.CifarResNet(20, num_classes=10)
        >>> handle = sd.apply(model, sd.schedules.linear(0.5), seed=1)
        >>> logits = model(torch.randn(2, 3, 32, 32))
        >>> handle.gates
        tensor([1.0588, 1.1250, 1.2000, 1.2857, 0.0000, 1.5000, 1.6364, 1.8000, 0.0000])
        >>> handle.remove()

    References:
        Huang et al. 2016, section 3.
    """
    silent = survival is None and budget is None and per is None
    per = "batch" if per is None else per
    options = Options(per, execution, dropped_grads, ranks, scale, multiple)
    one_of("rescale", rescale, get_args(Rescale))
    require_plain(network("model", model))
    by_sample = silent and masks_samples(model)
    refuse_wrapped(model)
    given = None if seed is None else seed_or_step("seed", seed)
    anatomy = Anatomy.of(
        model, granularity, transitions, example, scale=scale, samples=per != "batch"
    )
    anatomy.require_droppable(model)
    if per != "batch":
        anatomy.require_samples()
    if options.independent:
        refuse_synchronised(model)
    law = law_of(anatomy, survival, scheduled(model, anatomy, survival, budget), rescale)
    if bool((law.survival == 1).all()):
        warnings.warn(
            f"Nothing of this {type(model).__name__} will drop: every block survives "
            "with probability 1.",
            stacklevel=2,
        )
    if by_sample:
        warnings.warn(
            f"This {type(model).__name__} was built to drop blocks for each sample by itself, and "
            "now drops them for the whole batch, which saves more time. Pass per='sample' to "
            "keep to samples, or per='batch' to say that you mean it.",
            stacklevel=2,
        )
    install(model, anatomy, law, options, next(_APPLIED) if given is None else given)
    return Handle(model)

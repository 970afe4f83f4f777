"""Put stochastic depth on a model."""

import warnings
from typing import Any, get_args

from torch import nn

from .._checks import count, one_of
from ..blocks import Execution
from ..gates import Per, Rescale
from ._controller import DroppedGrads, Options, Ranks
from ._distributed import refuse_synchronised, refuse_wrapped
from ._handle import Handle
from ._install import install, require_plain
from ._survival import Survival, law_of, scheduled
from .finding import Anatomy, Granularity, Transitions


def apply(
    model: nn.Module,
    survival: Survival = None,
    *,
    budget: float | None = None,
    per: Per = "batch",
    rescale: Rescale = "train",
    granularity: Granularity = "block",
    transitions: Transitions = "protect",
    dropped_grads: DroppedGrads = "none",
    ranks: Ranks | None = None,
    seed: int = 0,
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
        per: what shares a draw: `"batch"`, `"sample"` or `"subset"`, see `gates.draw`.
        rescale: where the mean of the gates is put right, see `gates.Rescale`. A law has
            its own.
        granularity: `"block"`, or `"branch"` for a gate per residual branch (attention
            and MLP apart, as timm masks them).
        transitions: what becomes of blocks whose shortcut is a projection: `"protect"`
            runs them always, `"drop"` reduces a dropped one to its shortcut.
        dropped_grads: gradient of dropped branches: `"none"` leaves it None and the
            optimizer passes the parameters over; `"zero"`, as Huang et al., lets weight
            decay and momentum move them.
        ranks: `"shared"` gates on all processes, or `"independent"`. By default shared
            for `per="batch"` and independent otherwise.
        seed: of the gates, at least 0. The global random generators are not used.
        execution: how dropped branches are left out, see `blocks.Execution`.
        example: an input of the model, or a tuple of inputs; see `find_blocks`.

    Returns:
        The handle.

    Raises:
        AlreadyApplied: the model, or part of it, has stochastic depth.
        NothingToDrop: no block may be dropped; the message lists what was looked at.
        InfeasibleBudget: the droppable blocks cannot meet the budget.
        InvalidArgument: an argument out of range.
        Unsupported: the model is compiled, or wrapped for several processes, or has
            SyncBatchNorm and independent gates.

    Warns:
        UserWarning: all survival probabilities are 1.

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
    options = Options(per, execution, dropped_grads, ranks)
    one_of("rescale", rescale, get_args(Rescale))
    require_plain(model)
    refuse_wrapped(model)
    anatomy = Anatomy.of(model, granularity, transitions, example)
    anatomy.require_droppable(model)
    if options.independent:
        refuse_synchronised(model)
    law = law_of(anatomy, survival, scheduled(model, anatomy, survival, budget), rescale)
    if bool((law.survival == 1).all()):
        warnings.warn(
            f"Nothing of this {type(model).__name__} will drop: every block survives "
            "with probability 1.",
            stacklevel=2,
        )
    install(model, anatomy, law, options, count("seed", seed, least=0))
    return Handle(model)

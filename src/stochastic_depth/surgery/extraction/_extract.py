"""Cut a subnetwork out of a model."""

import copy
from collections import Counter
from typing import Any

import torch
from torch import Tensor, nn

from ..._checks import finite, same_length
from ..._errors import Unsupported
from ...blocks import Residual
from .._gated import CONTROLLER
from .._install import uninstall
from ..finding import Anatomy, Granularity, Unit
from ..translation import CannotTranslate, Foreign, Step, masks
from ._fold import last_weights
from ._reduce import Bypass, reduced


def extract(model: nn.Module, gates: Tensor, *, example: Any | None = None) -> nn.Module:
    """Return a copy of `model` from which dropped blocks are physically gone.

        extract(model, d)(x) = f(x; d)

    A gate of 0 removes the branches it governs, with their parameters; the keys of all
    other parameters stay. A gate other than 0 and 1 is folded into the last weights of
    the branch, or multiplies it where they are out of reach. What remains is an ordinary module without gates or masks: it is saved,
    compiled and exported like any other.

    Args:
        model: any model whose blocks `find_blocks` finds, with or without stochastic depth.
        gates: one finite number per block, shape (L,).
        example: an input of the model, or a tuple of inputs; see `find_blocks`.

    Returns:
        The subnetwork; `model` is left as it is.

    Raises:
        InvalidArgument: gates of another length, or not finite.
        NothingToDrop: the model has no blocks.
        Unsupported: a gate other than 1 for a block that cannot be cut.

    Example:
        >>> import torch, stochastic_depth as sd
        >>> model = sd.models.CifarResNet(8, num_classes=10)
        >>> half = sd.extract(model, torch.tensor([0.0, 1.0, 0.0]))
        >>> sum(p.numel() for p in half.parameters()) < sum(p.numel() for p in model.parameters())
        True
    """
    twin = copy.deepcopy(model)
    granularity: Granularity = "block"
    if CONTROLLER in vars(twin):
        granularity = vars(twin)[CONTROLLER].anatomy.granularity
        uninstall(twin)
    anatomy = Anatomy.of(twin, granularity, "drop", example)
    anatomy.require_droppable(twin)
    for path, name, _ in list(masks(twin)):
        setattr(twin.get_submodule(path), name, 0.0)
    values = same_length("gates", finite("gates", gates), len(anatomy.blocks)).tolist()
    for unit in anatomy.survey.units:
        gates_of_unit = anatomy.per_branch(unit, values)
        if any(gate != 1 for gate in gates_of_unit):
            twin = _replace(twin, unit, gates_of_unit)
    return twin


def _replace(model: nn.Module, unit: Unit, gates: list[float]) -> nn.Module:
    """Put gates on one block for good, and return the model."""
    if unit.translation is None:
        raise Unsupported(f"The gate of {unit.path} must be 1, because {unit.obstacle}.")
    block = model.get_submodule(unit.path)
    left = _own(block, gates[0]) or _foreign(block, unit, gates)
    if not unit.path:
        return left
    model.set_submodule(unit.path, left)
    return model


def _own(block: nn.Module, gate: float) -> nn.Module | None:
    if not isinstance(block, Residual):
        return None
    if gate == 0:
        return Bypass(block)
    block.scale *= gate
    return block


def _foreign(block: nn.Module, unit: Unit, gates: list[float]) -> nn.Module:
    assert isinstance(unit.translation, Foreign)  # noqa: S101  # the only other kind
    try:
        program, call = unit.translation.single()
    except CannotTranslate as error:
        raise Unsupported(f"{unit.path} cannot be cut: {error}.") from error
    left = [
        1.0 if gate not in (0, 1) and _fold(block, step, gate) else gate
        for step, gate in zip(program.steps, gates, strict=True)
    ]
    return block if all(gate == 1 for gate in left) else reduced(block, program, call, left)


def _fold(block: nn.Module, step: Step, gate: float) -> bool:
    """Scale a branch by scaling its last weights, and return whether it has any."""
    weights = last_weights(step.code.graph, block)
    uses = Counter(id(p) for _, p in block.named_parameters(remove_duplicate=False))
    if not weights or any(uses[id(weight)] > 1 for weight in weights):
        return False
    with torch.no_grad():
        for weight in weights:
            weight.mul_(gate)
    return True

"""Cut a subnetwork out of a model."""

import copy
import warnings
from typing import Any

from torch import Tensor, nn

from .._checks import finite, network, same_length
from .._errors import Unsupported
from ._remains import cut, is_left, uses_of
from ._shorten import is_configured, shorten
from ._takeover import own_rates
from .following import Anatomy, Granularity, Inputs
from .running import CONTROLLER, bearer, uninstall


def extract(model: nn.Module, gates: Tensor, *, example: Any | None = None) -> nn.Module:
    """Return a copy of `model` from which dropped blocks are physically gone.

        extract(model, d)(x) = f(x; d)

    A gate of 0 removes the branches it governs, with their parameters; the keys of all
    other parameters stay. A gate other than 0 and 1 is folded into the last weights of
    the branch, or multiplies it where they are out of reach. What remains is an ordinary
    module without gates or masks: it is saved, compiled and exported like any other.

    A model of transformers becomes a shorter one of its class: the layers that are left are
    numbered anew, in the cache as well, and its configuration counts and describes them, so
    that `from_pretrained` loads what `save_pretrained` wrote. The adapters of PEFT on a block
    that is cut out go with it, those on other blocks stay; around them, the model stays the
    `PeftModel` that it was.

    Args:
        model: any model whose blocks `find_blocks` finds, with or without stochastic depth.
        gates: one finite number per block, shape (L,).
        example: an input of the model; see `find_blocks`.

    Returns:
        The subnetwork; `model` is left as it is.

    Raises:
        InvalidArgument: gates of another length, or not finite.
        NothingToDrop: the model has no blocks.
        Unsupported: a gate other than 1 for a block that cannot be cut.

    Warns:
        UserWarning: no configuration of transformers describes what is left.

    Example:
        >>> import torch, stochastic_depth as sd
        >>> model = sd.models.CifarResNet(8, num_classes=10)
        >>> half = sd.extract(model, torch.tensor([0.0, 1.0, 0.0]))
        >>> sum(p.numel() for p in half.parameters()) < sum(p.numel() for p in model.parameters())
        True
    """
    twin = copy.deepcopy(network("model", model))
    granularity: Granularity = "block"
    each = False
    if (gated := bearer(twin)) is not None:
        controller = vars(gated)[CONTROLLER]
        granularity = controller.anatomy.granularity
        each = granularity == "branch" or controller.options.scale == "branch"
        uninstall(gated)
    anatomy = Anatomy.of(twin, granularity, "drop", example)
    anatomy.require_droppable(twin)
    # In training the model's own masks would drop what was chosen to stay.
    for rate in own_rates(twin):
        rate.put(twin, 0.0)
    values = same_length("gates", finite("gates", gates), len(anatomy.blocks)).tolist()
    uses = uses_of(twin.named_parameters(remove_duplicate=False))
    shared = {parameter for parameter, count in uses.items() if count > 1}
    gone: list[str] = []
    for unit in anatomy.survey.units:
        mine = [values[index] for index in anatomy.gates_of(unit)]
        if all(gate == 1 for gate in mine):
            continue
        if unit.obstacle:
            raise Unsupported(f"The gate of {unit.path} must be 1, because {unit.obstacle}.")
        if unit.uses > 1:
            raise Unsupported(f"{unit.path} cannot be cut: the model calls it {unit.uses} times.")
        every = mine if len(mine) == len(unit.branches) else mine * len(unit.branches)
        left = cut(twin.get_submodule(unit.path), unit, every, shared, each=each)
        # The model is the block, and there is no parent to set it in.
        if not unit.path:
            return left
        # Only a layer of which nothing is left can be taken out of its list.
        if not any(mine) and next(left.parameters(), None) is None:
            gone.append(unit.path)
        twin.set_submodule(unit.path, left)
    if anatomy.survey.observation is not None:
        _describe(twin, gone, anatomy.survey.observation.inputs)
    return twin


def _describe(model: nn.Module, gone: list[str], inputs: Inputs) -> None:
    """Have the configuration of a model of transformers say what is left, or warn."""
    path = next((path for path, module in model.named_modules() if is_configured(module)), None)
    # Around a model that adapters are in stands one that only passes its input on.
    if path is None or not hasattr(model, "config"):
        return
    model = model.get_submodule(path)
    gone = [name.removeprefix(f"{path}.") for name in gone]
    reason = shorten(model, gone, inputs) if gone else ""
    if not reason and any(map(is_left, model.modules())):
        reason = "a block is left of which a part was cut out or scaled"
    if reason:
        warnings.warn(
            f"The configuration of this {type(model).__name__} cannot describe what is left, "
            f"because {reason}. Save it with torch.save: from_pretrained would build other layers.",
            stacklevel=3,
        )

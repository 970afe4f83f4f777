"""Force the gates of a model, for a while or in a function of them."""

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from .._checks import fail, finite, network
from .._errors import Unsupported
from .._typing import Gates
from ..gates import Deterministic
from ._frame import arguments_of
from ._takeover import without_cache
from .following import Anatomy, Block
from .running import CONTROLLER, Controller, Options, Pass, bearer, install, uninstall


@contextmanager
def gating(model: nn.Module, gates: Gates, *, example: Any | None = None) -> Iterator[None]:
    """Run `model` under the given gates inside a `with` statement.

        output = f(x; d) with d = gates, in training and in evaluation mode

    Nothing is drawn meanwhile. A model that has no stochastic depth has it for the
    duration of the statement only. Backward passes that run blocks again (activation
    checkpointing) belong inside the statement.

    Args:
        model: any model whose blocks `find_blocks` finds.
        gates: one number per block, shape (L,), or one per block and sample, (L, N). With
            gates that require a gradient all branches run.
        example: an input of a model without stochastic depth; see `find_blocks`.

    Raises:
        InvalidArgument: gates of another length.
        NothingToDrop: the model has no blocks.
        Unsupported: a gate other than 1 for a block that cannot be gated.

    Example:
        >>> import torch, stochastic_depth as sd
        >>> model = sd.models.CifarResNet(8, num_classes=10)
        >>> x = torch.randn(1, 3, 32, 32)
        >>> with sd.gating(model, torch.tensor([1.0, 0.0, 1.0])):
        ...     without_second_block = model(x)
    """
    gated = bearer(network("model", model))
    if isinstance(gates, Tensor):
        finite("gates", gates.flatten())
    if gated is not None:
        with _forced(vars(gated)[CONTROLLER], gates):
            yield
        return
    controller = gate_all(model, example)
    try:
        with _forced(controller, gates):
            yield
    finally:
        uninstall(model)


@dataclass(frozen=True, eq=False)
class GatedModel:
    """A model as a function of its input and its gates; see `gated`.

    Attributes:
        model: the model.
        blocks: one record per gate.
    """

    model: nn.Module
    _twin: nn.Module
    _controller: Controller

    @property
    def blocks(self) -> tuple[Block, ...]:
        """One record per gate."""
        return self._controller.blocks

    def __call__(self, x: Any, gates: Gates) -> Any:
        """Return the model's output for x under the gates, shape (L,) or (L, N)."""
        args, kwargs = arguments_of(x)
        # Modes are plain numbers of each module, and cannot be shared.
        for module, original in zip(self._twin.modules(), self.model.modules(), strict=True):
            module.training = original.training
        with _forced(self._controller, gates):
            return self._twin(*args, **without_cache(self._twin, args, kwargs))


def gated(model: nn.Module, *, example: Any | None = None) -> GatedModel:
    """Return the model as a function of its input and its gates, `f(x, gates)`.

    The function shares parameters, buffers and training mode with the model, which is
    itself left as it is. It is differentiable in x, in the parameters and in the gates.

    Args:
        model: any model whose blocks `find_blocks` finds.
        example: an input of a model without stochastic depth; see `find_blocks`.

    Returns:
        `f(x, gates)`, gates of shape (L,) or (L, N); x is an input of the model, a tuple of
        inputs, or a dictionary of keyword arguments. `f.blocks` tells the L blocks.

    Raises:
        NothingToDrop: the model has no blocks.

    Example:
        >>> import torch, stochastic_depth as sd
        >>> f = sd.gated(sd.models.VanillaResNet(depth=3, width=8, inputs=2, outputs=1))
        >>> gates = torch.ones(3, requires_grad=True)
        >>> f(torch.randn(5, 2), gates).sum().backward()
        >>> gates.grad.shape
        torch.Size([3])
    """
    twin = _sharing_copy(network("model", model))
    gated = bearer(twin)
    controller = gate_all(twin, example) if gated is None else vars(gated)[CONTROLLER]
    return GatedModel(model, twin, controller)


def gate_all(model: nn.Module, example: Any | None = None) -> Controller:
    """Put gates on every block of `model`, all open."""
    anatomy = Anatomy.of(model, transitions="drop", example=example)
    anatomy.require_droppable(model)
    ones = torch.ones(len(anatomy.blocks), device="cpu")
    return install(model, anatomy, Deterministic(ones), Options(), 0)


@contextmanager
def _forced(controller: Controller, gates: Gates) -> Iterator[None]:
    before = controller.forced
    controller.forced = Pass("auto", _checked(gates, controller), forced=True)
    try:
        yield
    finally:
        controller.forced = before


def _checked(gates: Gates, controller: Controller) -> Gates:
    blocks = controller.blocks
    if not isinstance(gates, Tensor) or gates.ndim not in (1, 2) or len(gates) != len(blocks):
        shape = tuple(gates.shape) if isinstance(gates, Tensor) else type(gates).__name__
        raise fail("gates", f"a tensor ({len(blocks)},) or ({len(blocks)}, N)", shape)
    for index in controller.anatomy.fixed:
        if (gates[index] != 1).any():
            raise Unsupported(
                f"The gate of block {index}, {blocks[index]}, must be 1, because "
                f"{blocks[index].reason}."
            )
    return gates


def _sharing_copy(model: nn.Module) -> nn.Module:
    """Return a copy of the modules that shares everything else with `model`."""
    shared: dict[int, Any] = {}
    for module in model.modules():
        # The dictionaries, not the tensors: one that is replaced later is replaced in both.
        for tensors in (module._parameters, module._buffers):
            shared[id(tensors)] = tensors
        for name, value in vars(module).items():
            if name not in _OWN and not _holds_modules(value) and name != CONTROLLER:
                shared[id(value)] = value
    return copy.deepcopy(model, shared)


_OWN = {*vars(nn.Module()), "_stochastic_depth_seat", "_stochastic_depth_child"}


def _holds_modules(value: Any, depth: int = 3) -> bool:
    if isinstance(value, nn.Module) or depth == 0:
        return True
    if isinstance(value, dict):
        return any(_holds_modules(entry, depth - 1) for entry in value.values())
    if isinstance(value, list | tuple | set):
        return any(_holds_modules(entry, depth - 1) for entry in value)
    # A bound method runs its own module: shared, it would run the original's.
    return callable(value) and getattr(value, "__self__", None) is not None

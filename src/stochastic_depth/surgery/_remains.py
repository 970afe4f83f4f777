"""What stands in an extracted network for what was cut out: plain modules and hooks."""

from collections.abc import Iterator, Set
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import BatchNorm1d, BatchNorm2d, BatchNorm3d

from .._errors import Unsupported
from ..blocks import Gate, Residual
from ._frame import Role, on_leaf
from .following import Arguments, Known, Unit
from .running._execute import merged

AFFINE = (
    nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d,
    BatchNorm1d, BatchNorm2d, BatchNorm3d, nn.SyncBatchNorm,
    nn.LayerNorm, nn.GroupNorm, nn.RMSNorm,
)  # fmt: skip
"""Layers whose output is proportional to their weight and bias."""


class Bypass(nn.Module):
    """What is left of a `Residual` without its branch: `act(s(x))`."""

    def __init__(self, block: Residual) -> None:
        super().__init__()
        self.shortcut = block.shortcut
        self.activation = None if block.activated else block.activation

    def forward(self, x: Tensor, gate: Gate = 1.0) -> Tensor:
        """Return what passes by; there is no branch left for `gate` to govern."""
        del gate
        x = x if self.shortcut is None else self.shortcut(x)
        return x if self.activation is None else self.activation(x)


class Remains(nn.Module):
    """What is left of a block without its branches: S(x), with the children that S needs."""

    def __init__(self, block: nn.Module, unit: Unit) -> None:
        super().__init__()
        assert unit.shortcut is not None  # noqa: S101  # the caller has looked
        for name, value in vars(block).items():  # a parent may ask what kind of layer it is
            if name[0] != "_" and isinstance(value, bool | int | float | str):
                setattr(self, name, value)
        self.kind, self.unit = type(block), unit
        for path in unit.shortcut.modules:
            _place(self, path, block.get_submodule(path))
        for path in unit.shortcut.parameters:
            owner, _, name = path.rpartition(".")
            parameter = getattr(block.get_submodule(owner), name)
            # Under its old path, so that keys stay what they were.
            _place(self, owner, None).register_parameter(name, parameter)

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """Return what the block would without its branches."""
        leaves = bound(self.kind, self.unit, args, kwargs)
        return self.unit.shortcut(self, leaves)  # type: ignore[misc]


def bound(kind: type[nn.Module], unit: Unit, args: Any, kwargs: Any) -> list[Any]:
    """Return the leaves of a call in the order of the example."""
    arguments = Arguments.of(kind, args, kwargs)
    return Known(arguments.positions(unit.paths)).slots(arguments.leaves)


def _place(root: nn.Module, path: str, child: nn.Module | None) -> nn.Module:
    """Put a child at a path, below modules that hold nothing else."""
    owner = root
    names = path.split(".") if path else []
    for name in names[: -1 if child is not None else None]:
        if name not in owner._modules:
            owner.add_module(name, nn.Module())
        owner = owner.get_submodule(name)
    if child is not None:
        owner.add_module(names[-1], child)
    return owner


class Nothing(nn.Module):
    """Stands for a child of a branch that was cut out."""

    def __init__(self, role: Role) -> None:
        super().__init__()
        self.role = role

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """Return zeros where the branch leaves, and something of the right shape elsewhere."""
        assert self.role.stub is not None  # noqa: S101  # the caller has looked
        return self.role.stub(args, kwargs, zero=self.role.leaf is not None)


class Times:
    """A forward hook that multiplies one tensor of an output, by a factor for each call in turn.

    One mask may stand at the end of several branches of a block.
    """

    def __init__(self, factors: list[float], leaf: int) -> None:
        self.factors, self.leaf, self.calls = factors, leaf, 0

    def __call__(self, module: nn.Module, args: Any, output: Any) -> Any:
        """Return the output times the factor of this call."""
        factor = self.factors[self.calls % len(self.factors)]
        self.calls += 1
        return on_leaf(output, self.leaf, lambda y: y * factor)


class Blend:
    """A forward hook that scales the whole change of a block, S + d (B - S)."""

    def __init__(self, kind: type[nn.Module], unit: Unit, gate: float) -> None:
        self.kind, self.unit, self.gate = kind, unit, gate

    def __call__(self, module: nn.Module, args: Any, kwargs: Any, output: Any) -> Any:
        """Return the output under the gate."""
        left = self.unit.shortcut(module, bound(self.kind, self.unit, args, kwargs))  # type: ignore[misc]
        return merged(left, output, self.gate)


def is_left(module: nn.Module) -> bool:
    """Return whether a module stands for a block of which a part was cut out, or is scaled."""
    hooks = module._forward_hooks.values()
    return isinstance(module, Bypass | Remains | Nothing) or any(
        isinstance(hook, Times | Blend) for hook in hooks
    )


def cut(
    block: nn.Module, unit: Unit, gates: list[float], shared: Set[int], *, each: bool
) -> nn.Module:
    """Return what is left of a block under fixed gates, one per branch, not all 1.

    Args:
        block: the block, which is changed.
        unit: what was found out about it.
        gates: of its branches.
        shared: parameters that are used elsewhere, too.
        each: whether a gate scales each branch, rather than the change of the block.

    Raises:
        Unsupported: the block cannot be cut.
    """
    if isinstance(block, Residual) and unit.form == "own":
        if gates[0] == 0:
            return Bypass(block)
        block.scale *= gates[0]
        return block
    if unit.form == "branch":
        return _cut_member(block, gates[0])
    if not any(gates) and unit.shortcut is not None:
        return Remains(block, unit)
    exits = all(branch.exits for branch in unit.branches)
    whole = not (exits and (each or len(gates) == 1))
    # A gate on the whole change of a block cannot be folded into the weights of a branch.
    if len(set(gates)) == 1 and whole and unit.shortcut is not None:
        block.register_forward_hook(Blend(type(block), unit, gates[0]), with_kwargs=True)
        return block
    for number, gate in enumerate(gates):
        if gate != 1:
            _cut_branch(block, unit, number, gate, shared)
    return block


def _cut_member(block: nn.Module, gate: float) -> nn.Module:
    block.register_forward_hook(Times([gate], 0))
    return block


def _cut_branch(block: nn.Module, unit: Unit, number: int, gate: float, shared: Set[int]) -> None:
    branch = unit.branches[number]
    if not branch.exits:
        raise Unsupported(f"{unit.path} cannot be cut: one of its branches leaves in no child.")
    used = [path for other in unit.branches if other is not branch for path in other.modules]
    # A child that another branch uses as well has to stay.
    if gate == 0 and branch.spared and not set(used) & set(branch.modules):
        for (path, _), role in branch.roles.items():
            block.set_submodule(path, Nothing(role))
        return
    for exit in branch.exits:
        child = block.get_submodule(exit.path)
        weights = _last_weights(child)
        calls = 1 + max(nth for b in unit.branches for path, nth in b.roles if path == exit.path)
        # Folded into weights that nobody else uses, a gate needs no hook in what is exported.
        if weights and calls == 1 and not {id(w) for w in weights} & shared:
            with torch.no_grad():
                for weight in weights:
                    weight.mul_(gate)
        else:
            factors = [gate if call == exit.nth else 1.0 for call in range(calls)]
            child.register_forward_hook(Times(factors, exit.leaf))


def _last_weights(child: nn.Module) -> list[nn.Parameter]:
    """Return the parameters that a layer's output is proportional to; none if not known."""
    # The very class: a subclass may do more to its output.
    if type(child) in AFFINE:
        return list(child.parameters())
    if type(child) is nn.Sequential and len(child):
        return _last_weights(child[-1])
    return []


def uses_of(parameters: Iterator[tuple[str, nn.Parameter]]) -> dict[int, int]:
    """Count in how many places each parameter is used, by id."""
    counts: dict[int, int] = {}
    for _, parameter in parameters:
        counts[id(parameter)] = counts.get(id(parameter), 0) + 1
    return counts

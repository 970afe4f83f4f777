"""Run a block as a trial: with other weights, without its branches, leaving no trace."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.utils import _pytree as pytree
from torch.utils._python_dispatch import TorchDispatchMode

from .._frame import Frame, Role, on_leaf
from ._joins import ADDITIONS
from ._pattern import Arguments
from ._units import Unit
from ._untouched import untouched


@dataclass(frozen=True, eq=False)
class Trial:
    """A block, and what it is tried with.

    Attributes:
        unit: what was found out about it.
        block: the block; left as it is.
        kind: its class, whose forward runs, before gates were put on it.
        weights: parameters and buffers to run with, by name; None for its own.
    """

    unit: Unit
    block: nn.Module
    kind: type[nn.Module]
    weights: dict[str, Tensor] | None = None

    def run(self, arguments: Arguments, leaves: list[Any], *, cut: bool = False) -> Any:
        """Run the block's own forward, with its branches or without."""
        branches = without_branches(self.unit, self.block) if cut else nullcontext()
        with branches:
            return self.trying(lambda: self.forward(*arguments.call(leaves)))

    def forward(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Call the block's own forward."""
        return self.kind.forward(self.block, *args, **kwargs)

    def trying(self, run: Callable[[], Any]) -> Any:
        """Return what `run` returns while the block has the weights of the trial."""
        with untouched(self.block):
            # Dropout must be the same in the two runs that are compared.
            _seed()
            if self.weights is None:
                return run()
            # Clones: what a forward writes into a buffer must not reach the next trial.
            named = {f"block.{name}": weight.clone() for name, weight in self.weights.items()}
            return functional_call(_Reparametrised(self.block), named, (_Holder(run),))


@dataclass
class _Holder:
    run: Callable[[], Any] = field(repr=False)


class _Reparametrised(nn.Module):
    """Runs anything while a block has other weights."""

    def __init__(self, block: nn.Module) -> None:
        super().__init__()
        self.block = block

    def forward(self, holder: _Holder) -> Any:
        return holder.run()


def _seed() -> None:
    # Not torch.manual_seed: it prepares all kinds of devices, which takes longer than a block.
    torch.default_generator.manual_seed(0)
    if torch.cuda.is_initialized():
        torch.cuda.manual_seed_all(0)


@contextmanager
def without_branches(unit: Unit, block: nn.Module) -> Iterator[None]:
    """Force the branches of a block to zero where they leave, or else where they are added."""
    if not every_exit(unit):
        with _Cut(unit):
            yield
        return
    with ExitStack() as stack:
        for path in dict.fromkeys(exit.path for exit in unit.exits):
            leaves = {exit.nth: exit.leaf for exit in unit.exits if exit.path == path}
            hook = block.get_submodule(path).register_forward_hook(_zeroing(leaves))
            stack.callback(hook.remove)
        yield


def every_exit(unit: Unit) -> bool:
    return bool(unit.branches) and all(branch.exits for branch in unit.branches)


def _zeroing(leaves: dict[int, int]) -> Callable[..., Any]:
    # A child may be called several times, and be an exit in one of them only.
    calls = iter(range(1_000_000))

    def zero(module: nn.Module, args: Any, output: Any) -> Any:
        leaf = leaves.get(next(calls))
        return output if leaf is None else on_leaf(output, leaf, torch.zeros_like)

    return zero


class _Cut(TorchDispatchMode):
    """Leaves branches out at their additions, which it finds by counting."""

    def __init__(self, unit: Unit) -> None:
        super().__init__()
        self.places = dict(unit.places)
        self.count = -1

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if is_sum(func, args):
            self.count += 1
            if (branch := self.places.get(self.count)) is not None:
                zeroed = list(args)
                zeroed[branch] = torch.zeros_like(args[branch])
                if args[branch].requires_grad:  # this is below autograd, whose graph stays
                    args[branch].register_hook(torch.zeros_like)
                # branch.add_(shortcut): the block goes on with the memory of the branch.
                if branch == 0 and func._schema.is_mutable:
                    return args[0].mul_(0).add_(args[1])
                args = tuple(zeroed)
        return func(*args, **(kwargs or {}))


def is_sum(func: Any, args: Sequence[Any]) -> bool:
    """Return whether an operation adds two tensors of real numbers of one shape."""
    return (
        func in ADDITIONS
        and all(isinstance(arg, Tensor) and arg.is_floating_point() for arg in args[:2])
        and args[0].shape == args[1].shape
    )


def redrawn(block: nn.Module) -> dict[str, Tensor]:
    """Return weights none of which is zero or one, and copies of the buffers."""
    noise = torch.Generator().manual_seed(0)
    weights = {}
    for name, weight in block.named_parameters():
        if weight.is_floating_point():
            weights[name] = _noise(weight, noise).requires_grad_()
    for name, buffer in block.named_buffers():
        like_meta = buffer.device.type == "meta"
        weights[name] = torch.ones_like(buffer, device="cpu") if like_meta else buffer.clone()
    return weights


def _noise(weight: Tensor, noise: torch.Generator) -> Tensor:
    device = "cpu" if weight.device.type == "meta" else weight.device
    # On the CPU: the draw does not depend on the device.
    draw = torch.randn(weight.shape, generator=noise, device="cpu")
    fan = max(1, weight[0].numel()) if weight.ndim > 1 else 4
    # A vector is mostly the scale of a norm: near zero it would hide what comes before it.
    return (draw / fan**0.5 + (0.3 if weight.ndim == 1 else 0.0)).to(device, weight.dtype)


def equal(a: Any, b: Any) -> bool:
    if a is None or b is None:
        return a is b or (_nothing(a) and _nothing(b))
    first, second = pytree.tree_leaves(a), pytree.tree_leaves(b)
    return len(first) == len(second) and all(map(_close, first, second))


def _nothing(gradient: Any) -> bool:
    # An input that is not used has no gradient, one that is multiplied by zero has zeros.
    return gradient is None or not bool(gradient.any())


def _close(a: Any, b: Any) -> bool:
    if not isinstance(a, Tensor):
        return type(a) is type(b) and (a is b or a == b)
    if not isinstance(b, Tensor) or a.shape != b.shape or a.dtype != b.dtype:
        return False
    # Without memory there are no values to compare.
    if a.device.type == "meta":
        return True
    loose = 2e-2 if a.dtype in (torch.float16, torch.bfloat16) else 1e-4
    # Relative to the largest entry: small entries may be differences of large ones.
    scale = (
        float(a.detach().abs().amax().nan_to_num(1.0))
        if a.numel() and a.is_floating_point()
        else 1.0
    )
    return torch.allclose(a, b, rtol=loose, atol=loose * max(scale, 1e-6), equal_nan=True)


def brief(error: Exception) -> str:
    return str(error).strip().partition("\n")[0][:80] or type(error).__name__


@contextmanager
def under_frame(trial: Trial, frame: Frame) -> Iterator[None]:
    """Have the children on the branches of a block run under gates."""
    unit, block = trial.unit, trial.block
    before = []
    for path in {path for branch in unit.branches for path, _ in branch.roles}:
        roles = {nth: r for b in unit.branches for (p, nth), r in b.roles.items() if p == path}
        child = block.get_submodule(path)
        # On the instance, for the time being: the class belongs to other modules, too.
        before.append((child, vars(child).get("forward")))
        child.__dict__["forward"] = _gated(child, roles, frame)
    try:
        yield
    finally:
        for child, forward in before:
            child.__dict__.pop("forward", None)
            if forward is not None:
                child.__dict__["forward"] = forward


def _gated(child: nn.Module, roles: dict[int, Role], frame: Frame) -> Callable[..., Any]:
    calls = iter(range(1_000_000))
    own = child.forward

    def forward(*args: Any, **kwargs: Any) -> Any:
        role = roles.get(next(calls))
        return own(*args, **kwargs) if role is None else frame.call(role, own, args, kwargs)

    return forward

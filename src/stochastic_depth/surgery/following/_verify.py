"""Check what was derived of a block by running the block itself.

With its branches forced to zero the block's own forward must return what was derived, in
training mode, with gradients, at two batch sizes, with redrawn weights, for every tensor it
returns; and its samples may be run apart only if each of them comes out as in its batch.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.utils import _pytree as pytree
from torch.utils._python_dispatch import TorchDispatchMode

from ...blocks import Gate, Rows
from .._frame import Frame, Role, Stub, on_leaf
from ._joins import ADDITIONS
from ._observe import Seen, copied
from ._pattern import Arguments
from ._shortcut import PRODUCT, Made
from ._stand_in import stub_of
from ._units import Unit
from ._untouched import in_mode, untouched

NOT_FIRST = "its samples are not the first dimension"
ONE_SIZE = "the example runs at one batch size only, so that its samples cannot be told"
NO_EXIT = "its branch leaves in no child, where a gate of its own could be put"
FROZEN = "its shortcut depends on a number that may change"
OPAQUE = "it is given an object that it may change for others, such as a cache"


@dataclass(eq=False)
class Known:
    """What is known of the calls of a block that have one pattern.

    Attributes:
        positions: for each leaf of the arguments in the example, its position here.
        batched: which leaves have one row per sample.
        masked: why the block runs when dropped; empty if it does not.
        rows: why its samples cannot be run apart; empty if they can.
        stub: of a branch that its parent adds, what stands for what it returns.
    """

    positions: list[int]
    batched: tuple[bool, ...] = ()
    masked: str = ""
    rows: str = ""
    stub: Stub | None = None

    def slots(self, leaves: Sequence[Any]) -> list[Any]:
        """Return the leaves in the order of the example."""
        return [leaves[position] if position >= 0 else None for position in self.positions]


def verify(unit: Unit, block: nn.Module, seen: Sequence[Seen], larger: Sequence[Seen]) -> None:
    """Check a foreign unit, and note on it what holds and what does not.

    Args:
        unit: from `survey`.
        block: its module; left as it is.
        seen: its calls on the example.
        larger: its calls with one sample more; empty if there are none.
    """
    kind = type(block)
    sizes = [Arguments.of(kind, s.args, s.kwargs) for s in (*seen[:1], *larger[:1])]
    unit.paths = sizes[0].paths
    known = Known(list(range(len(sizes[0].leaves))))
    if unit.form == "own":  # which is executed as blocks are; only its samples are not known
        unit.rows = _not_first(sizes, known) if len(sizes) > 1 else ""
        return
    weights = _redrawn(block)
    known.batched = _batched(sizes)
    known.masked = _kept(unit, block, kind, sizes[0], weights)
    fault = _check_exits(unit, block, kind, sizes, known, weights)
    if unit.form == "branch":
        known.stub = stub_of(seen, larger)
        if known.stub is None:
            known.masked = known.masked or "the shape of what it returns cannot be told"
    elif unit.shortcut is not None and fault:
        unit.shortcut, unit.masked = None, fault
    elif unit.shortcut is not None:
        with other_numbers(block):
            other = arguments_with(sizes[0], [_other(leaf) for leaf in sizes[0].leaves])
            if _faults(unit, block, kind, [other], known, weights):
                unit.shortcut, unit.masked = None, FROZEN
    again = unit.masked not in ("", PRODUCT) and not known.masked  # its forward runs twice
    if unit.form == "block" and again and unit.spared:
        reason, unit.masked, unit.hollow = unit.masked, "", True
        if _faults(unit, block, kind, sizes, known, weights):
            unit.masked, unit.hollow = reason, False
    if unit.shortcut is None and unit.form == "block" and not (_every_exit(unit) or unit.hollow):
        unit.obstacle = unit.obstacle or unit.masked
    for branch in unit.branches:
        if not branch.exits and unit.form == "block":
            branch.obstacle = NO_EXIT
    known.rows = _row_fault(unit, block, kind, sizes, known, weights)
    unit.rows = known.rows
    for number, branch in enumerate(unit.branches):
        if branch.exits and not (
            unit.rows or _apart(unit, number, block, kind, sizes[-1], weights)
        ):
            roles = branch.roles.items()
            branch.roles = {key: replace(role, enters=None) for key, role in roles}
    unit.patterns[sizes[0].pattern] = known


def learn(unit: Unit, block: nn.Module, kind: type[nn.Module], arguments: Arguments) -> Known:
    """Find out what holds for calls of a pattern that the example did not show.

    The block runs a few times as it is, without leaving a trace. Nothing is tried with
    objects that it might change; with those it runs when dropped.
    """
    where = {path: position for position, path in enumerate(arguments.paths)}
    known = Known([where.get(path, -1) for path in unit.paths])
    stream = _stream(unit, arguments)
    if (arguments.opaque and not _harmless(unit, arguments)) or _fills(block, kind, arguments):
        known.masked = known.rows = OPAQUE
        return known
    if unit.form == "own" or (known.positions and known.positions[stream] < 0):
        known.masked = known.rows = "its input was passed in another way"
        return known
    x = arguments.leaves[known.positions[stream]] if known.positions else None
    known.batched = _alike(arguments, x)
    still = arguments_with(arguments, copied(arguments.leaves))
    with torch.no_grad():
        if unit.form == "block" and (unit.shortcut is not None or unit.hollow):
            known.masked = _fault(block.training, unit, block, kind, still, known, None)
        known.rows = unit.rows or _row_fault(unit, block, kind, [still], known, None)
        if unit.form == "branch":
            output = _run(block, kind, still, still.leaves, None)
            same = isinstance(output, Tensor) and isinstance(x, Tensor) and output.shape == x.shape
            known.stub = Stub((None,), pytree.tree_flatten(0)[1]) if same else None
    return known


def _fills(block: nn.Module, kind: type[nn.Module], arguments: Arguments) -> bool:
    """Return whether a block changes a list or a dictionary that it is given."""
    given, named = arguments.given or ((), {})
    values = (*given, *named.values())
    if not any(isinstance(value, list | dict | set) for value in values):
        return False
    args, kwargs = arguments.call(copied(arguments.leaves))
    before = _contents((args, kwargs))
    with torch.no_grad():
        _reparametrised(block, None, lambda: _forward(kind)(block, *args, **kwargs))
    return bool(_contents((args, kwargs)) != before)


def arguments_with(arguments: Arguments, leaves: list[Any]) -> Arguments:
    """Return arguments of the same form with other leaves."""
    return Arguments(leaves, arguments.form, arguments.names)


def spares(unit: Unit, block: nn.Module) -> Iterator[nn.Parameter]:
    """Yield the parameters of a block that do not take part when it is dropped."""
    kept: set[int] = set()
    if unit.hollow:
        for path in {path for branch in unit.branches for path in branch.modules}:
            yield from block.get_submodule(path).parameters()
        return
    if unit.shortcut is not None:
        kept |= {
            id(p) for path in unit.shortcut.modules for p in block.get_submodule(path).parameters()
        }
        kept |= {id(block.get_parameter(path)) for path in unit.shortcut.parameters
                 if path in dict(block.named_parameters())}  # fmt: skip
    yield from (parameter for parameter in block.parameters() if id(parameter) not in kept)


# What a dropped block leaves


@contextmanager
def other_numbers(block: nn.Module) -> Iterator[None]:
    """Change the numbers that a block computes with, for a while.

    A shortcut that was derived from a recording has the numbers of the recording.
    """
    changed = [
        (holder, name, value)
        for module in block.modules()
        for holder, name, value in _numbers(vars(module))
    ]
    try:
        for holder, name, value in changed:
            holder[name] = _other(value)
        yield
    finally:
        for holder, name, value in reversed(changed):
            holder[name] = value


def _numbers(holder: Any, depth: int = 3) -> Iterator[tuple[Any, Any, float]]:
    entries = list(holder.items() if isinstance(holder, dict) else enumerate(holder))
    for name, value in entries:
        if isinstance(value, float):
            yield holder, name, value
        elif isinstance(value, dict | list) and depth:
            yield from _numbers(value, depth - 1)
        elif depth and not isinstance(value, nn.Module | Tensor | type):
            attributes = getattr(value, "__dict__", None)
            if isinstance(attributes, dict):
                yield from _numbers(attributes, depth - 1)


def _other(value: Any) -> Any:
    return value * 0.9 if isinstance(value, float) else value


def _faults(
    unit: Unit,
    block: nn.Module,
    kind: type[nn.Module],
    sizes: Sequence[Arguments],
    known: Known,
    weights: dict[str, Tensor],
) -> str:
    """Return what is wrong with the shortcut of a unit at these sizes, or an empty string."""
    trials = [(True, arguments) for arguments in sizes] + [(False, sizes[0])]
    faults = (_fault(mode, unit, block, kind, given, known, weights) for mode, given in trials)
    return next(filter(None, faults), "")


def _fault(
    training: bool,
    unit: Unit,
    block: nn.Module,
    kind: type[nn.Module],
    arguments: Arguments,
    known: Known,
    weights: dict[str, Tensor] | None,
) -> str:
    position = known.positions[_stream(unit, arguments)]
    leaves, stream = _with_gradient(arguments, position)
    if unit.shortcut is not None and unit.shortcut.positive:
        # Where it is 0 the ReLU that it comes from has no gradient.
        leaves[position] = leaves[position].abs() + 0.1
    try:
        with in_mode(block, training):
            own = _run(block, kind, arguments, leaves, weights, cut=unit)
            left = _left(unit, block, kind, arguments, leaves, known, weights)
    except Exception as error:  # whatever foreign code may raise is a reason, not a crash
        return f"without its branches it fails ({_brief(error)})"
    own, left = _common(own, left)
    if not _equal(own, left):
        return "without its branches it returns something else than its shortcut"
    if stream.requires_grad and not _equal(_gradient(own, stream), _gradient(left, stream)):
        return "without its branches its gradient is another than that of its shortcut"
    return ""


def _check_exits(
    unit: Unit,
    block: nn.Module,
    kind: type[nn.Module],
    sizes: Sequence[Arguments],
    known: Known,
    weights: dict[str, Tensor],
) -> str:
    """Forget where the branches leave if that is not so in every mode; return what is wrong.

    Without them the whole change of the block is scaled, which needs its shortcut only.
    """
    if unit.shortcut is None:
        return ""
    fault = _faults(unit, block, kind, sizes, known, weights)
    if not fault or not _every_exit(unit):
        return fault
    before = [(branch.exits, branch.roles, branch.spared) for branch in unit.branches]
    for branch in unit.branches:
        branch.exits, branch.roles, branch.spared = (), {}, False
    if not _faults(unit, block, kind, sizes, known, weights):
        return ""
    for branch, kept in zip(unit.branches, before, strict=True):
        branch.exits, branch.roles, branch.spared = kept
    return fault


def _stream(unit: Unit, arguments: Arguments) -> int:
    """Return which leaf of the example's arguments goes by the branches."""
    if unit.shortcut is not None:
        return unit.shortcut.stream
    floating = (
        position
        for position, leaf in enumerate(arguments.leaves)
        if isinstance(leaf, Tensor) and leaf.is_floating_point()
    )
    return next(floating, 0)


def _left(
    unit: Unit,
    block: nn.Module,
    kind: type[nn.Module],
    arguments: Arguments,
    leaves: list[Any],
    known: Known,
    weights: dict[str, Tensor] | None,
) -> Any:
    """Return what the block would leave when dropped."""
    if unit.hollow:
        count = len(unit.branches)
        with _under(unit, block, Frame(0, [0.0] * count, [True] * count)):
            return _run(block, kind, arguments, leaves, weights)
    shortcut = unit.shortcut
    assert shortcut is not None  # noqa: S101  # the caller has looked
    return _reparametrised(block, weights, lambda: shortcut(block, known.slots(leaves)))


@contextmanager
def _under(unit: Unit, block: nn.Module, frame: Frame) -> Iterator[None]:
    """Have the children on the branches of a block run under gates."""
    before = []
    for path in {path for branch in unit.branches for path, _ in branch.roles}:
        roles = {nth: r for b in unit.branches for (p, nth), r in b.roles.items() if p == path}
        child = block.get_submodule(path)
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


def _common(own: Any, left: Any) -> tuple[list[Any], list[Any]]:
    """Return the leaves of two outputs without those that only the branches make."""
    first, second = pytree.tree_leaves(own), pytree.tree_leaves(left)
    if len(first) != len(second):
        return first, second
    pairs = [(a, b) for a, b in zip(first, second, strict=True) if not isinstance(b, Made)]
    return [a for a, _ in pairs], [b for _, b in pairs]


def _with_gradient(arguments: Arguments, position: int) -> tuple[list[Any], Tensor]:
    leaves = list(arguments.leaves)
    stream: Tensor = leaves[position]
    if torch.is_grad_enabled() and stream.is_floating_point() and stream.device.type != "meta":
        # A block may change its input in place, which no leaf allows.
        leaf = stream.detach().clone().requires_grad_()
        leaves[position] = leaf * 1.0
        return leaves, leaf
    return leaves, stream


def _gradient(output: Any, stream: Tensor) -> Tensor | None:
    tensors = [leaf for leaf in pytree.tree_leaves(output) if isinstance(leaf, Tensor)]
    total = sum((y * torch.cos(y.detach())).sum() for y in tensors if y.requires_grad)
    if not isinstance(total, Tensor):
        return None
    return torch.autograd.grad(total, stream, retain_graph=True, allow_unused=True)[0]


def _kept(
    unit: Unit,
    block: nn.Module,
    kind: type[nn.Module],
    arguments: Arguments,
    weights: dict[str, Tensor],
) -> str:
    """Return what a block leaves for others beside its output, in words; empty if nothing."""
    before = [_marks(leaf) for leaf in arguments.leaves]
    held = _held(block)
    with untouched(block), in_mode(block, True):
        try:
            given = arguments.call(copied(arguments.leaves))
            contents = _contents(given)
            holding = _reparametrised(block, weights, lambda: _held_after(block, kind, given))
            changed = _contents(given) != contents
        except Exception as error:  # as above
            return f"in training mode it fails on the example ({_brief(error)})"
    new = {name for name, marks in holding.items() if marks - held.get(name, set())}
    if new:
        return f"it keeps a tensor with a gradient for others: {', '.join(sorted(new))}"
    changed = changed or [_marks(leaf) for leaf in arguments.leaves] != before
    if not changed:
        unit.harmless |= {type(leaf) for leaf in (*arguments.leaves, *arguments.containers)}
    return OPAQUE if changed else ""


def _held_after(block: nn.Module, kind: type[nn.Module], given: Any) -> dict[str, set[int]]:
    args, kwargs = given
    output = _forward(kind)(block, *args, **kwargs)
    found = _held(block)
    del output  # until here: another tensor could have its identity
    return found


def _contents(given: Any) -> Any:
    """Return what tells whether something was put into a container, or taken out of it."""
    leaves, form = pytree.tree_flatten(given)
    return form, [id(leaf) for leaf in leaves]


def _held(block: nn.Module) -> dict[str, set[int]]:
    """Return the tensors with a gradient that modules hold as plain attributes."""
    found: dict[str, set[int]] = {}
    for path, module in block.named_modules():
        for name, value in vars(module).items():
            if name.startswith("_") and name in nn.Module().__dict__:
                continue
            tensors = {
                id(leaf)
                for leaf in pytree.tree_leaves(value if not isinstance(value, nn.Module) else ())
                if isinstance(leaf, Tensor) and leaf.requires_grad
            }
            if tensors:
                found[f"{path}.{name}" if path else name] = tensors
    return found


def _marks(value: Any, depth: int = 4) -> Any:
    """Return what tells whether an object was changed: whatever it holds, by identity."""
    if isinstance(value, Tensor):
        return id(value), value._version
    if depth == 0 or isinstance(value, str | int | float | type(None)):
        return id(value)
    if isinstance(value, dict):
        return {key: _marks(entry, depth - 1) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [_marks(entry, depth - 1) for entry in value]
    return _marks(vars(value), depth - 1) if hasattr(value, "__dict__") else id(value)


def _harmless(unit: Unit, arguments: Arguments) -> bool:
    return all(
        type(leaf) in unit.harmless or isinstance(leaf, Tensor | int | float | str | type(None))
        for leaf in (*arguments.leaves, *arguments.containers)
    )


# Samples


def _batched(sizes: Sequence[Arguments]) -> tuple[bool, ...]:
    """Return which leaves have a first dimension that grows with the batch."""
    if len(sizes) < 2 or len(sizes[0].leaves) != len(sizes[1].leaves):
        return tuple(False for _ in sizes[0].leaves)
    pairs = zip(sizes[0].leaves, sizes[1].leaves, strict=True)
    return tuple(isinstance(a, Tensor) and a.ndim > 0 and len(a) != len(b) for a, b in pairs)


def _alike(arguments: Arguments, x: Tensor | None) -> tuple[bool, ...]:
    """Guess the same from sizes; the guess is checked by running samples apart."""
    size = len(x) if isinstance(x, Tensor) and x.ndim else 0
    return tuple(
        isinstance(leaf, Tensor) and leaf.ndim > 0 and len(leaf) == size and size > 0
        for leaf in arguments.leaves
    )


def _row_fault(
    unit: Unit,
    block: nn.Module,
    kind: type[nn.Module],
    sizes: Sequence[Arguments],
    known: Known,
    weights: dict[str, Tensor] | None,
) -> str:
    """Return why samples cannot be run apart, or an empty string."""
    if weights is not None:
        if len(sizes) < 2:
            return ONE_SIZE
        if fault := _not_first(sizes, known):
            return fault
    arguments = sizes[-1]
    rows = [leaf for leaf, batched in zip(arguments.leaves, known.batched, strict=True) if batched]
    if not rows:
        return f"{NOT_FIRST} of its input"
    size = len(rows[0])
    if size < 2:
        return "" if weights is None else ONE_SIZE
    if rows[0].device.type == "meta":
        return ""
    index = torch.tensor([size - 1], device=rows[0].device)
    some = [
        leaf.index_select(0, index) if batched else leaf
        for leaf, batched in zip(arguments.leaves, known.batched, strict=True)
    ]
    try:
        with torch.no_grad(), in_mode(block, False):
            whole = _run(block, kind, arguments, copied(arguments.leaves), weights)
            apart = _run(block, kind, arguments, copied(some), weights)
    except Exception as error:  # as above
        return f"it fails on some of its samples ({_brief(error)})"
    pairs = list(zip(pytree.tree_leaves(whole), pytree.tree_leaves(apart), strict=True))
    for a, b in pairs:
        if isinstance(a, Tensor) and (a.ndim == 0 or len(a) != size or not _equal(a[-1:], b)):
            return "its samples depend on each other"
    return ""


def _apart(
    unit: Unit,
    number: int,
    block: nn.Module,
    kind: type[nn.Module],
    arguments: Arguments,
    weights: dict[str, Tensor],
) -> bool:
    """Return whether a branch gives the same on some samples as on all of them, masked.

    What a block does between its children may hold on to the number of samples it was given.
    """
    first = next(leaf for leaf in arguments.leaves if isinstance(leaf, Tensor) and leaf.ndim)
    if first.device.type == "meta":
        return True
    size, count = len(first), len(unit.branches)
    index = torch.tensor([size - 1], device=first.device)
    every = torch.zeros(size, device=first.device).index_fill(0, index, 1.0)
    outputs = []
    for gate in (Rows(index, 1.0), every):
        gates: list[Gate] = [gate if other == number else 1.0 for other in range(count)]
        frame = Frame(0, gates, [True] * count)
        frame.size = size
        leaves = copied(arguments.leaves)
        try:
            with torch.no_grad(), in_mode(block, False), _under(unit, block, frame):
                outputs.append(_run(block, kind, arguments, leaves, weights))
        except Exception:  # as above
            return False
    return _equal(*outputs)


def _not_first(sizes: Sequence[Arguments], known: Known) -> str:
    for a, b in zip(sizes[0].leaves, sizes[1].leaves, strict=True):
        if isinstance(a, Tensor) and a.shape != b.shape:
            grown = [d for d, (m, n) in enumerate(zip(a.shape, b.shape, strict=False)) if m != n]
            if grown != [0]:
                return f"{NOT_FIRST} of its input: they are dimension {grown[0] if grown else '?'}"
            if len(b) - len(a) != 1:
                return f"{NOT_FIRST} of its input: it has {len(b) - len(a)} rows for each"
    return ""


# Running a block


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


def _reparametrised(
    block: nn.Module, weights: dict[str, Tensor] | None, run: Callable[[], Any]
) -> Any:
    with untouched(block):
        _seed()
        if weights is None:
            return run()
        named = {f"block.{name}": weight.clone() for name, weight in weights.items()}
        return functional_call(_Reparametrised(block), named, (_Holder(run),))


def _run(
    block: nn.Module,
    kind: type[nn.Module],
    arguments: Arguments,
    leaves: list[Any],
    weights: dict[str, Tensor] | None,
    *,
    cut: Unit | None = None,
) -> Any:
    with ExitStack() as stack:
        if cut is not None:
            stack.enter_context(_without_branches(cut, block))
        return _reparametrised(block, weights, lambda: _call(kind, block, arguments, leaves))


def _call(kind: type[nn.Module], block: nn.Module, arguments: Arguments, leaves: list[Any]) -> Any:
    args, kwargs = arguments.call(leaves)
    return _forward(kind)(block, *args, **kwargs)


def _forward(kind: type[nn.Module]) -> Callable[..., Any]:
    forward: Callable[..., Any] = getattr(kind, "_stochastic_depth_original", kind).forward
    return forward


@contextmanager
def _without_branches(unit: Unit, block: nn.Module) -> Iterator[None]:
    """Force the branches of a block to zero where they leave, or else where they are added."""
    if not _every_exit(unit):
        with _Cut(unit):
            yield
        return
    with ExitStack() as stack:
        for path in dict.fromkeys(exit.path for exit in unit.exits):
            leaves = {exit.nth: exit.leaf for exit in unit.exits if exit.path == path}
            hook = block.get_submodule(path).register_forward_hook(_zeroing(leaves))
            stack.callback(hook.remove)
        yield


def _every_exit(unit: Unit) -> bool:
    return bool(unit.branches) and all(branch.exits for branch in unit.branches)


def _zeroing(leaves: dict[int, int]) -> Callable[..., Any]:
    calls = iter(range(1_000_000))

    def zero(module: nn.Module, args: Any, output: Any) -> Any:
        leaf = leaves.get(next(calls))
        return output if leaf is None else on_leaf(output, leaf, torch.zeros_like)

    return zero


class _Cut(TorchDispatchMode):
    """Leaves the branches out where they are added, counting additions."""

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


def _redrawn(block: nn.Module) -> dict[str, Tensor]:
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
    draw = torch.randn(weight.shape, generator=noise, device="cpu")
    fan = max(1, weight[0].numel()) if weight.ndim > 1 else 4
    return (draw / fan**0.5 + (0.3 if weight.ndim == 1 else 0.0)).to(device, weight.dtype)


def _equal(a: Any, b: Any) -> bool:
    if a is None or b is None:
        return a is b or (_nothing(a) and _nothing(b))
    first, second = pytree.tree_leaves(a), pytree.tree_leaves(b)
    return len(first) == len(second) and all(map(_close, first, second))


def _nothing(gradient: Any) -> bool:
    return gradient is None or not bool(gradient.any())


def _close(a: Any, b: Any) -> bool:
    if not isinstance(a, Tensor):
        return type(a) is type(b) and (a is b or a == b)
    if not isinstance(b, Tensor) or a.shape != b.shape or a.dtype != b.dtype:
        return False
    if a.device.type == "meta":
        return True
    loose = 2e-2 if a.dtype in (torch.float16, torch.bfloat16) else 1e-4
    scale = (
        float(a.detach().abs().amax().nan_to_num(1.0))
        if a.numel() and a.is_floating_point()
        else 1.0
    )
    return torch.allclose(a, b, rtol=loose, atol=loose * max(scale, 1e-6), equal_nan=True)


def _brief(error: Exception) -> str:
    return str(error).strip().partition("\n")[0][:80] or type(error).__name__

"""Check what was derived of a block by running the block itself.

With its branches forced to zero the block's own forward must return what was derived, in
training mode, with gradients, at two batch sizes, with redrawn weights, for every tensor it
returns; and its samples may be run apart only if each of them comes out as in its batch.
"""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.graph import saved_tensors_hooks
from torch.utils import _pytree as pytree

from .._frame import Frame
from ._kept import OPAQUE, fills_containers, harmless, kept_for_others
from ._observe import Seen, copied
from ._pattern import Arguments, Known
from ._samples import apart, batched_leaves, guessed_rows, not_first, row_fault, writes_to_itself
from ._shortcut import PRODUCT, Made
from ._stand_in import stub_of
from ._trial import Trial, brief, equal, every_exit, redrawn, under_frame
from ._units import Branch, Unit
from ._untouched import in_mode

NO_EXIT = "its branch leaves in no child, where a gate of its own could be put"
FROZEN = "its shortcut depends on a number that may change"
FACTORS = 0.9, 1e-6
"""What numbers are multiplied by to see whether they matter. A normalization hides the size of
its input, until its epsilon is the larger of the two."""


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
    if unit.form == "own":  # which is executed as blocks are; only its samples are not known
        unit.rows = not_first(sizes)
        return
    known = Known(list(range(len(sizes[0].leaves))))
    # Redrawn: with a branch that starts at zero every shortcut would look right.
    trial = Trial(unit, block, kind, redrawn(block))
    known.batched = batched_leaves(sizes)
    known.masked = kept_for_others(trial, sizes[0])
    if unit.form == "branch":
        known.stub = stub_of(seen, larger)
        if known.stub is None:
            known.masked = known.masked or "the shape of what it returns cannot be told"
    else:
        _check_block(trial, sizes, known)
    known.rows = unit.rows = row_fault(trial, sizes, known)
    for number, branch in enumerate(unit.branches):
        # The block's own code between the children may insist on all samples.
        if branch.exits and not (unit.rows or apart(trial, number, sizes[-1])):
            roles = branch.roles.items()
            branch.roles = {key: replace(role, enters=None) for key, role in roles}
    entered = all(r.enters is not None for b in unit.branches for r in b.roles.values())
    if unit.shortcut is not None and unit.shortcut.modules and entered and not known.rows:
        known.beside = not writes_to_itself(trial, sizes[-1])
    unit.patterns[sizes[0].pattern] = known


def _check_block(trial: Trial, sizes: Sequence[Arguments], known: Known) -> None:
    """Check what a block would leave, and note what can be gated."""
    unit = trial.unit
    _check_shortcut(trial, sizes, known)
    # Stand-ins would make a product of zeros, and a cache would be filled twice.
    again = unit.masked not in ("", PRODUCT) and not known.masked  # its forward runs twice
    if again and unit.spared:
        reason, unit.masked, unit.hollow = unit.masked, "", True
        if _faults(trial, sizes, known):
            unit.masked, unit.hollow = reason, False
    # With an exit on every branch a gate needs no S; when dropped, such a block runs.
    if unit.shortcut is None and not (every_exit(unit) or unit.hollow):
        unit.obstacle = unit.obstacle or unit.masked
    for branch in unit.branches:
        if not branch.exits:
            branch.obstacle = NO_EXIT


def _check_shortcut(trial: Trial, sizes: Sequence[Arguments], known: Known) -> None:
    """Forget a shortcut that is not what the block leaves, and note why."""
    if trial.unit.shortcut is None:
        return
    fault = _check_exits(trial, sizes, known)
    if not fault:
        # A derived step has the numbers of the recording, frozen, where the block reads them anew.
        fault = FROZEN if any(_frozen(trial, sizes[0], known, f) for f in FACTORS) else ""
    if fault:
        trial.unit.shortcut, trial.unit.masked = None, fault


def _frozen(trial: Trial, arguments: Arguments, known: Known, factor: float) -> str:
    with other_numbers(trial.block, factor):
        leaves = [_other(leaf, factor) for leaf in arguments.leaves]
        return _faults(trial, [arguments_with(arguments, leaves)], known)


def learn(unit: Unit, block: nn.Module, kind: type[nn.Module], arguments: Arguments) -> Known:
    """Find out what holds for calls of a pattern that the example did not show.

    The block runs a few times as it is, without leaving a trace. Nothing is tried with
    objects that it might change; with those it runs when dropped.
    """
    trial = Trial(unit, block, kind)
    known = Known(arguments.positions(unit.paths))
    stream = _stream(unit, arguments)
    opaque = arguments.opaque and not harmless(unit, arguments)
    if opaque or fills_containers(trial, arguments):
        known.masked = known.rows = OPAQUE
        return known
    if unit.form == "own" or (known.positions and known.positions[stream] < 0):
        known.masked = known.rows = "its input was passed in another way"
        return known
    x = arguments.leaves[known.positions[stream]] if known.positions else None
    known.batched = guessed_rows(arguments, x)
    # This happens within somebody's forward: a trial must not change what was passed.
    still = arguments_with(arguments, copied(arguments.leaves))
    # A loss that is kept shows by its gradient, whatever mode the caller is in.
    # A checkpoint around the block counts the tensors that its forward saves, not these.
    with torch.enable_grad(), saved_tensors_hooks(_same, _same):
        known.masked = kept_for_others(trial, still)
    with torch.no_grad():
        if unit.form == "block" and (unit.shortcut is not None or unit.hollow):
            known.masked = known.masked or _fault(block.training, trial, still, known)
        known.rows = unit.rows or row_fault(trial, [still], known)
        if unit.form == "branch":
            output = trial.run(still, still.leaves)
            known.stub = stub_of([Seen(*still.call(still.leaves), output)], [])
    return known


def _same(x: Tensor) -> Tensor:
    return x


def arguments_with(arguments: Arguments, leaves: list[Any]) -> Arguments:
    """Return arguments of the same form with other leaves."""
    return Arguments(leaves, arguments.form, arguments.names)


def spares(unit: Unit, block: nn.Module) -> Iterator[nn.Parameter]:
    """Yield the parameters of a block that do not take part when it is dropped."""
    if unit.hollow:
        # Its forward runs, so that only what is on its branches rests.
        yield from parameters_on(unit.branches, block)
        return
    kept: set[int] = set()
    if unit.shortcut is not None:
        children = (block.get_submodule(path) for path in unit.shortcut.modules)
        kept = {id(parameter) for child in children for parameter in child.parameters()}
        kept |= {id(p) for name, p in block.named_parameters() if name in unit.shortcut.parameters}
    yield from (parameter for parameter in block.parameters() if id(parameter) not in kept)


def parameters_on(branches: Iterable[Branch], block: nn.Module) -> Iterator[nn.Parameter]:
    """Yield the parameters of the children on some branches of a block."""
    for path in {path for branch in branches for path in branch.modules}:
        yield from block.get_submodule(path).parameters()


# What a dropped block leaves


@contextmanager
def other_numbers(block: nn.Module, factor: float) -> Iterator[None]:
    """Multiply the numbers that a block computes with, for a while.

    A shortcut that was derived from a recording has the numbers of the recording.
    """
    changed = [
        (holder, name, value)
        for module in block.modules()
        for holder, name, value in _numbers(vars(module))
    ]
    try:
        for holder, name, value in changed:
            holder[name] = _other(value, factor)
        yield
    finally:
        for holder, name, value in reversed(changed):
            holder[name] = value


def _numbers(holder: Any, depth: int = 3) -> Iterator[tuple[Any, Any, float]]:
    entries = list(holder.items() if isinstance(holder, dict) else enumerate(holder))
    for name, value in entries:
        # Integers are sizes and counts: with others a forward would fail.
        if isinstance(value, float):
            yield holder, name, value
        elif isinstance(value, dict | list) and depth:
            yield from _numbers(value, depth - 1)
        # Numbers may lie in a configuration; modules are visited by `other_numbers` itself.
        elif depth and not isinstance(value, nn.Module | Tensor | type):
            attributes = getattr(value, "__dict__", None)
            if isinstance(attributes, dict):
                yield from _numbers(attributes, depth - 1)


def _other(value: Any, factor: float) -> Any:
    return value * factor if isinstance(value, float) else value


def _faults(trial: Trial, sizes: Sequence[Arguments], known: Known) -> str:
    """Return what is wrong with the shortcut of a unit at these sizes, or an empty string."""
    modes = [(True, arguments) for arguments in sizes] + [(False, sizes[0])]
    faults = (_fault(training, trial, given, known) for training, given in modes)
    return next(filter(None, faults), "")


def _fault(training: bool, trial: Trial, arguments: Arguments, known: Known) -> str:
    shortcut = trial.unit.shortcut
    position = known.positions[_stream(trial.unit, arguments)]
    leaves, stream = _with_gradient(arguments, position)
    if shortcut is not None and shortcut.positive:
        # Where it is 0 the ReLU that it comes from has no gradient.
        leaves[position] = leaves[position].abs() + 0.1
    try:
        with in_mode(trial.block, training):
            own = trial.run(arguments, leaves, cut=True)
            left = _left(trial, arguments, leaves, known)
    except Exception as error:  # whatever foreign code may raise is a reason, not a crash
        return f"without its branches it fails ({brief(error)})"
    own, left = _common(own, left)
    if not equal(own, left):
        return "without its branches it returns something else than its shortcut"
    if stream.requires_grad and not equal(_gradient(own, stream), _gradient(left, stream)):
        return "without its branches its gradient is another than that of its shortcut"
    return ""


def _check_exits(trial: Trial, sizes: Sequence[Arguments], known: Known) -> str:
    """Forget where the branches leave if that is not so in every mode; return what is wrong.

    Without them the whole change of the block is scaled, which needs its shortcut only.
    """
    unit = trial.unit
    fault = _faults(trial, sizes, known)
    if not fault or not every_exit(unit):
        return fault
    before = [(branch.exits, branch.roles, branch.spared) for branch in unit.branches]
    for branch in unit.branches:
        branch.exits, branch.roles, branch.spared = (), {}, False
    if not _faults(trial, sizes, known):
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


def _left(trial: Trial, arguments: Arguments, leaves: list[Any], known: Known) -> Any:
    """Return what the block would leave when dropped."""
    if trial.unit.hollow:
        count = len(trial.unit.branches)
        with under_frame(trial, Frame(0, [0.0] * count, [True] * count)):
            return trial.run(arguments, leaves)
    shortcut = trial.unit.shortcut
    assert shortcut is not None  # noqa: S101  # the caller has looked
    return trial.trying(lambda: shortcut(trial.block, known.slots(leaves)))


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
    # Not a plain sum: behind a norm its gradient is zero for every shortcut.
    total = sum((y * torch.cos(y.detach())).sum() for y in tensors if y.requires_grad)
    if not isinstance(total, Tensor):
        return None
    return torch.autograd.grad(total, stream, retain_graph=True, allow_unused=True)[0]

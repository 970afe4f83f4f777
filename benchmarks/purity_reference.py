"""What a program must compute under given gates: run everything, multiply, discard.

Written from the marks of the grammar and from `DESIGN.md` alone. Each block runs in full; its
marked branches are multiplied by their gates, or the change of the whole block is.
"""

import copy
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor, nn
from torch.utils import _pytree as pytree

State = dict[str, Any]

OWN = {*vars(nn.Module())}
"""Attributes that every module has."""


@dataclass(eq=False)
class Rule:
    """How a block is to run in one forward.

    Attributes:
        gates: for each call, one per branch, or one for all: a number, or one per sample.
        branches: how many it has.
        each: whether a gate scales each branch, rather than the change of the block.
        everything: whether it runs in full even if it is dropped.
        apart: whether its samples are run apart, or all of them with a gate each.
        before: what its state was before each call.
        alternatives: states that it may be in afterwards, beside the one that it is in.
        loose: whether the state of its children is not told by this reference.
    """

    gates: list[list[Any]]
    branches: int
    each: bool
    everything: bool
    apart: bool
    calls: int = 0
    alternatives: list[State] = field(default_factory=list)
    loose: bool = False


class Gated:
    """Goes before the class of a marked block."""

    _purity_rule: Rule | None = None
    _purity_now: list[Any]

    def gate(self, number: int, branch: Tensor) -> Tensor:
        """Return a branch times its gate."""
        gate = self._purity_now[number]
        if isinstance(gate, float):
            return branch if gate == 1 else branch * gate
        return branch * gate.to(branch).view(-1, *[1] * (branch.ndim - 1))

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """Run under the rule of this forward."""
        rule = self._purity_rule
        if rule is None:
            return self._run([1.0] * 99, args, kwargs)
        gates = rule.gates[min(rule.calls, len(rule.gates) - 1)]
        rule.calls += 1
        if len(gates) > 1:
            rule.loose = rule.loose or any(not isinstance(g, float) or g != 1 for g in gates)
            return self._run(gates, args, kwargs)
        gate = gates[0]
        if isinstance(gate, Tensor) and not rule.everything and bool((gate == gate[0]).all()):
            gate = float(gate[0])
        if isinstance(gate, float):
            return self._whole(gate, rule, args, kwargs)
        if not rule.apart or (int((gate != 0).sum()) == 1 and self._normalises()):
            return self._scaled(gate, rule, args, kwargs)
        return self._gathered(gate, rule, args, kwargs)

    def _normalises(self) -> bool:
        """Return whether one survivor would be normalised by itself; it runs with its batch."""
        norms = (m for m in self.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm))  # type: ignore[attr-defined]
        return any(norm.training for norm in norms)

    def _run(self, gates: list[Any], args: Any, kwargs: Any) -> Any:
        vars(self)["_purity_now"] = gates
        return super().forward(*args, **kwargs)  # type: ignore[misc]

    def _without(self, rule: Rule, args: Any, kwargs: Any) -> Any:
        """Return S(x), without a trace."""
        before = state_of(self)
        args, kwargs = pytree.tree_map(_copied, (args, kwargs))
        output = self._run([0.0] * rule.branches, args, kwargs)
        set_state(self, before)
        return output

    def _whole(self, gate: float, rule: Rule, args: Any, kwargs: Any) -> Any:
        if gate == 0 and not rule.everything:
            before = state_of(self)
            self._run([float(rule.each)] * rule.branches, *pytree.tree_map(_copied, (args, kwargs)))
            rule.alternatives += [before, state_of(self)]
            set_state(self, before)
        return self._scaled(gate, rule, args, kwargs)

    def _scaled(self, gate: Any, rule: Rule, args: Any, kwargs: Any) -> Any:
        if rule.each or (isinstance(gate, float) and gate == 1):
            return self._run([gate] * rule.branches, args, kwargs)
        left = self._without(rule, args, kwargs)
        output = self._run([1.0] * rule.branches, args, kwargs)
        return pytree.tree_map(lambda s, b: _between(s, b, gate), left, output)

    def _gathered(self, gate: Tensor, rule: Rule, args: Any, kwargs: Any) -> Any:
        """Return S(x), with the surviving samples run in full by themselves."""
        index, size = gate.nonzero()[:, 0], len(gate)
        left = self._without(rule, args, kwargs)

        def pick(leaf: Any) -> Any:
            rows = isinstance(leaf, Tensor) and leaf.ndim and len(leaf) == size
            return leaf[index] if rows else leaf

        some = self._scaled(gate[index], rule, *pytree.tree_map(pick, (args, kwargs)))

        def place(s: Any, b: Any) -> Any:
            rows = isinstance(s, Tensor) and s.ndim and len(s) == size
            return s.index_put((index,), b.to(s.dtype)) if rows else b

        return pytree.tree_map(place, left, some)


def _between(s: Any, b: Any, gate: Any) -> Any:
    if not isinstance(b, Tensor) or not isinstance(s, Tensor):
        return b
    if isinstance(gate, float):
        return s + gate * (b - s)
    if not b.ndim or len(b) != len(gate):
        return b
    return s + gate.to(b).view(-1, *[1] * (b.ndim - 1)) * (b - s)


def _copied(leaf: Any) -> Any:
    if isinstance(leaf, Tensor):
        return leaf.clone()
    other = copy.copy(leaf)
    if hasattr(leaf, "kept"):  # the cache of the grammar
        other.kept = [*leaf.kept]
    return other


def gate_blocks(model: nn.Module) -> None:
    """Have the marked blocks of a model run under rules."""
    for module in set(model.modules()):
        if type(module).__name__.startswith("Block"):
            kind = type(module)
            module.__class__ = type(kind.__name__, (Gated, kind), {})


# What a module holds beside its parameters


def state_of(model: Any) -> State:
    """Return copies of the plain attributes and buffers of a model, by path."""
    return {key: copied(value) for key, value in _attributes(model)}


def _attributes(model: nn.Module) -> Iterator[tuple[str, Any]]:
    for path, module in model.named_modules(remove_duplicate=False):
        for name, value in vars(module).items():
            if name not in OWN and not name.startswith(("_purity", "_stochastic_depth")):
                yield f"{path}.{name}", value
        for name, buffer in module._buffers.items():
            yield f"{path}.{name}", buffer


def copied(value: Any) -> Any:
    """Return a copy of a value that may hold tensors with a graph."""
    if isinstance(value, Tensor):
        return value if value.requires_grad else value.detach().clone()
    if isinstance(value, dict):
        return {key: copied(entry) for key, entry in value.items()}
    return [copied(entry) for entry in value] if isinstance(value, list) else value


def set_state(model: Any, state: State) -> None:
    """Give a model the attributes and buffers of `state`."""
    for path, module in model.named_modules():
        for name in [*vars(module)]:
            ours = name in OWN or name.startswith(("_purity", "_stochastic_depth"))
            if not ours and f"{path}.{name}" not in state:
                del vars(module)[name]
    for key, value in state.items():
        path, _, name = key.rpartition(".")
        module = model.get_submodule(path)
        if name in module._buffers:
            module._buffers[name] = copied(value)
        else:
            vars(module)[name] = copied(value)


def same_state(a: State, b: State, tolerance: float) -> str:
    """Return which entry of two states differs; empty if none does."""
    for key in sorted(a.keys() | b.keys()):
        if key not in a or key not in b:
            return f"{key} is there on one side only"
        if not _same(a[key], b[key], tolerance):
            return f"{key}: {_shown(a[key])} instead of {_shown(b[key])}"
    return ""


def _shown(value: Any) -> str:
    if isinstance(value, Tensor):
        return f"tensor {tuple(value.shape)} of sum {float(value.detach().sum()):.6g}"
    return repr(value)[:80]


def _same(a: Any, b: Any, tolerance: float) -> bool:
    if isinstance(a, Tensor) and isinstance(b, Tensor):
        return far(a, b) <= tolerance
    if isinstance(a, list) and isinstance(b, list):
        return len(a) == len(b) and all(map(lambda p, q: _same(p, q, tolerance), a, b))
    if isinstance(a, dict) and isinstance(b, dict):
        return a.keys() == b.keys() and all(_same(a[k], b[k], tolerance) for k in a)
    return a is b or bool(a == b)


def far(a: Tensor, b: Tensor) -> float:
    """Return the largest difference of two tensors, relative to their size if above 1."""
    if a.shape != b.shape or a.dtype != b.dtype:
        return float("inf")
    if not a.numel():
        return 0.0
    a, b = a.detach().double(), b.detach().double()
    return float((a - b).abs().max()) / max(1.0, float(b.abs().max()))

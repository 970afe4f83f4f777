"""A translated block: the residual steps it takes, and how a gate executes each."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from torch import Tensor, nn

from ...blocks import Gate, Rows, residual_step, take_rows, with_zero_grads
from ._code import Code, Function
from ._compile import compiled
from ._joins import ShortcutKind


@dataclass(frozen=True)
class Branch:
    """One residual branch of a block, in the block's own terms.

    Attributes:
        label: the child with most parameters; names the branch.
        kind: what is on the shortcut beside it.
        modules: paths of the children that the branch calls.
        parameters: paths of the parameters that it uses directly.
        sites: names of the drop sites on it.
    """

    label: str
    kind: ShortcutKind
    modules: tuple[str, ...]
    parameters: tuple[str, ...] = ()
    sites: tuple[str, ...] = ()

    def parameters_of(self, block: nn.Module) -> Iterator[nn.Parameter]:
        """Yield the parameters of the branch."""
        for path in self.modules:
            yield from block.get_submodule(path).parameters()
        for path in self.parameters:
            yield block.get_parameter(path)


@dataclass(frozen=True)
class Step:
    """One residual step of a block, `act(s(x) + d F(x))`.

    Attributes:
        branch: F, described.
        sites: names of the nodes of the block's graph that mask the branch.
        code: F, as a function `(block, x, *reads)`.
        compiled: the same, compiled; None to run it as it is.
        batched: which of the further `reads` have one row per sample.
        activation: path of the child that follows the addition, if one does.
        activated: whether that activation leaves the shortcut's value as it is.
        overwritten: whether the sum is changed in place by what follows.
    """

    branch: Branch
    sites: frozenset[str]
    code: Code
    compiled: Function | None
    batched: tuple[bool, ...]
    activation: str | None
    activated: bool
    overwritten: bool

    def compile_for(self, block: nn.Module, options: dict[str, Any] | None) -> "Step":
        """Return the step compiled for blocks of the shape of `block`; None undoes it."""
        if options is None:
            return replace(self, compiled=None)
        shapes = tuple(parameter.shape for parameter in self.branch.parameters_of(block))
        return replace(self, compiled=compiled(self.code.function, shapes, options))


@dataclass(frozen=True)
class Program:
    """A block's forward for one pattern of call, as residual steps.

    Attributes:
        main: everything but the branches, as a function `(block, steps, *live)`.
        steps: in program order.
    """

    main: Code
    steps: tuple[Step, ...]

    def run(
        self,
        block: nn.Module,
        gates: Sequence[Gate],
        live: Sequence[Any],
        *,
        zero_grads: bool = False,
    ) -> Any:
        """Run `block` with one gate per step."""
        return self.main.function(block, Run(block, self.steps, gates, zero_grads), *live)

    def compiled(self, block: nn.Module, options: dict[str, Any] | None) -> "Program":
        """Return the program with its branches compiled for blocks of the shape of `block`."""
        return replace(self, steps=tuple(step.compile_for(block, options) for step in self.steps))


@dataclass(frozen=True)
class Run:
    """One execution of a program; `main` calls `take` where an addition stood."""

    block: nn.Module
    steps: tuple[Step, ...]
    gates: Sequence[Gate]
    zero_grads: bool

    def take(self, k: int, shortcut: Tensor, x: Tensor, *reads: Any) -> Tensor:
        """Take step `k` from `x`, with the shortcut's value already computed."""
        step, gate = self.steps[k], self.gates[k]
        base = self._passed_on(step, shortcut) if is_dropped(gate) else shortcut
        return residual_step(
            x,
            self._branch(step, gate, reads),
            gate,
            shortcut=None if base is x else lambda _: base,
            activation=self.block.get_submodule(step.activation) if step.activation else None,
            activated=step.activated,
        )

    def _branch(self, step: Step, gate: Gate, reads: tuple[Any, ...]) -> Callable[[Tensor], Tensor]:
        if isinstance(gate, Rows):
            reads = tuple(
                take_rows(value, gate.index) if batched else value
                for value, batched in zip(reads, step.batched, strict=True)
            )
        function = step.compiled or step.code.function
        return lambda x: function(self.block, x, *reads)

    def _passed_on(self, step: Step, base: Tensor) -> Tensor:
        """Return what a dropped step passes on, safe from what happens to it later."""
        if self.zero_grads:
            base = with_zero_grads(base, step.branch.parameters_of(self.block))
        # Without a branch nothing new is computed: what changes the sum in place would
        # reach the tensor that the previous block has saved for its gradient. (An
        # activation that is part of the step is `residual_step`'s to guard against.)
        return base.clone() if step.overwritten and step.activation is None else base


def is_dropped(gate: Gate) -> bool:
    """Return whether nothing of the branch is to run."""
    return isinstance(gate, float) and gate == 0.0

"""The translation of a foreign block into residual steps, by following its forward."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import fx, nn

from ..._errors import Unsupported
from ...blocks import Gate
from ._call import FIXED, Call
from ._code import write_branch, write_main
from ._joins import find_joins, is_parameter, may_join, module_of, parameter_count
from ._program import Branch, Program, Step
from ._sites import Site, sites, with_sites
from ._slice import Slice, cut
from ._trace import record_values, trace
from ._verify import check, cloned, isolated_rng, jiggled


class CannotTranslate(Exception):
    """A module is not a block that can be translated; the message says why."""


class NotResidual(CannotTranslate):
    """A module has no residual addition at all."""


@dataclass
class Foreign:
    """The programs of one block: one per pattern of call, written when first met.

    A pattern is what the code path of a forward may depend on: which arguments are
    tensors, the values of the others, training or evaluation mode, and every plain
    attribute of the block. Nothing of it is frozen silently.

    Attributes:
        original: see `Translation`.
        texts: the graph of the forward, as text, by pattern of call.
        programs: by text, for patterns of one code path share a program.
        options: of the compiler; None to run branches as they are.
    """

    original: type[nn.Module]
    texts: dict[Any, str] = field(default_factory=dict)
    programs: dict[str, Program] = field(default_factory=dict)
    options: dict[str, Any] | None = None

    def prepare(self, block: nn.Module, call: Call) -> tuple[Branch, ...]:
        """Write the programs of `block` for both modes, and return its branches.

        Raises:
            CannotTranslate: no program computes what the block's forward computes, or the
                two modes differ in their branches.
        """
        if "forward" in vars(block):
            raise CannotTranslate("its forward was replaced on the instance")
        if not may_join(_graph(block, call)):
            raise NotResidual("it has no residual addition")
        twin, found = jiggled(block, self.original), []
        for twin.training in (True, False):
            steps = self.programs[self._follow(twin, call)].steps
            found.append(tuple(step.branch for step in steps))
        in_training, in_evaluation = ([branch.kind for branch in kinds] for kinds in found)
        if in_training != in_evaluation:
            raise CannotTranslate("it has other branches in training than in evaluation")
        return found[0]

    def run(
        self,
        block: nn.Module,
        gates: Sequence[Gate],
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        *,
        zero_grads: bool,
    ) -> Any:
        """Run `block` under one gate per branch; see `Translation`."""
        call = Call.of(args, kwargs)
        text = self.texts.get(_pattern(block, call)) or self._meet(block, call, len(gates))
        program = self.programs[text]
        return program.run(block, gates, call.live, zero_grads=zero_grads)

    def compile(self, block: nn.Module, options: dict[str, Any] | None) -> None:
        """Compile the branches of `block`; see `Translation`."""
        self.options = options
        for text, program in self.programs.items():
            self.programs[text] = program.compiled(block, options)

    def single(self) -> tuple[Program, Call]:
        """Return the one program of all patterns met so far, and a call of it.

        Raises:
            CannotTranslate: training and evaluation, or different calls, differ.
        """
        if len(set(self.texts.values())) != 1:
            raise CannotTranslate("its forward depends on training mode or on its arguments")
        ((pattern, _, _), text), *_ = self.texts.items()
        live = tuple(object() for kind, _ in pattern[1] if kind is torch.Tensor)
        return self.programs[text], Call(live, pattern)

    def _meet(self, block: nn.Module, call: Call, branches: int) -> str:
        """Follow a pattern that the example did not show."""
        twin = jiggled(block, self.original)
        twin.training = block.training
        try:
            text = self._follow(twin, call)
        except CannotTranslate as error:
            raise Unsupported(f"{self.original.__name__} cannot be gated: {error}.") from error
        if len(self.programs[text].steps) != branches:
            raise Unsupported(
                f"{self.original.__name__} must have {branches} residual branches in every call; "
                f"this one has {len(self.programs[text].steps)}."
            )
        return text

    def _follow(self, twin: nn.Module, call: Call) -> str:
        """Make sure that there is a program for a pattern, and return its text."""
        graph = _graph(twin, call)
        text = str(graph)
        if text not in self.programs:
            program = _write(graph, with_sites(twin), call)
            if fault := check(twin, program, call):
                raise CannotTranslate(fault)
            self.programs[text] = program.compiled(twin, self.options)
        self.texts[_pattern(twin, call)] = text
        return text

    def __getstate__(self) -> dict[str, Any]:
        # Programs hold generated functions; another process writes its own.
        return {**vars(self), "texts": {}, "programs": {}}

    def __deepcopy__(self, memo: dict[int, Any]) -> "Foreign":
        return Foreign(self.original, dict(self.texts), dict(self.programs), self.options)


def _graph(block: nn.Module, call: Call) -> fx.Graph:
    try:
        return trace(with_sites(block), call)
    except Exception as error:  # whatever foreign code may raise is a reason, not a crash
        reason = str(error).strip().partition("\n")[0]
        raise CannotTranslate(f"its forward cannot be traced ({reason})") from error


def _write(graph: fx.Graph, block: nn.Module, call: Call) -> Program:
    with torch.no_grad(), isolated_rng(block):
        values = record_values(graph, block, cloned(call.live))
    joins = find_joins(graph, block, has_sites=bool(sites(block)))
    if not joins:
        raise NotResidual("it has no residual addition")
    try:
        pieces = [cut(graph, join, block) for join in joins]
    except ValueError as error:
        raise CannotTranslate(str(error)) from error
    steps = tuple(_step(piece, block, values) for piece in pieces)
    return Program(write_main(graph, pieces, block), steps)


def _step(piece: Slice, block: nn.Module, values: dict[fx.Node, Any]) -> Step:
    return Step(
        branch=_describe(piece, block),
        code=write_branch(piece, block),
        compiled=None,
        batched=tuple(bool(read.meta["batched"]) for read in piece.reads[1:]),
        activation=str(piece.activation.target) if piece.activation else None,
        activated=_is_activated(piece, block, values),
        overwritten=piece.overwritten,
    )


def _describe(piece: Slice, block: nn.Module) -> Branch:
    children = [node for node in piece.nodes if node.op == "call_module"]
    at_sites = [node for node in children if isinstance(module_of(node, block), Site)]
    called = [node for node in children if node not in at_sites]
    largest = max(called, key=lambda node: parameter_count({node}, block), default=None)
    return Branch(
        label=str(largest.target if largest else piece.join.branch),
        kind=piece.join.kind,
        modules=tuple(dict.fromkeys(str(node.target) for node in called)),
        parameters=tuple(str(node.target) for node in piece.nodes if is_parameter(node, block)),
        sites=tuple(str(node.target) for node in at_sites),
    )


def _is_activated(piece: Slice, block: nn.Module, values: dict[fx.Node, Any]) -> bool:
    """Return whether the activation after the step leaves the shortcut's value alone.

    Judged by the values the block meets in the model: true of a ReLU behind a ReLU.
    """
    if piece.activation is None or piece.join.kind != "identity":
        return False
    activation = block.get_submodule(str(piece.activation.target))
    value = values[piece.join.shortcut]
    return bool(value.any()) and torch.equal(activation(value.clone()), value)


def _pattern(block: nn.Module, call: Call) -> Any:
    """Return what the code path may depend on, the kinds of arguments included."""
    plain = tuple(item for item in vars(block).items() if isinstance(item[1], FIXED))
    return call.pattern, plain, tuple((name, m is None) for name, m in block._modules.items())

"""The translation of a foreign block into residual steps, by following its forward."""

from collections.abc import Sequence, Set
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import fx, nn

from ..._errors import Unsupported
from ...blocks import Gate
from ._call import FIXED, Call
from ._errors import CannotTranslate, NotResidual
from ._fold import fold
from ._inline import is_inlined
from ._joins import may_join
from ._lint import lint
from ._program import Branch, Program
from ._reduce import reduced
from ._sites import sites, with_sites
from ._verify import check, jiggled
from ._write import path_of, write


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
        by_shape: whether the path taken depends on the shapes of the arguments.
        inlined: children that the path goes through.
    """

    original: type[nn.Module]
    texts: dict[Any, str] = field(default_factory=dict)
    programs: dict[str, Program] = field(default_factory=dict)
    options: dict[str, Any] | None = None
    by_shape: bool = False
    inlined: tuple[str, ...] = ()

    def prepare(self, block: nn.Module, call: Call) -> tuple[Branch, ...]:
        """Write the programs of `block` for both modes, and return its branches.

        Raises:
            CannotTranslate: no program computes what the block's forward computes, or the
                two modes differ in their branches.
        """
        if "forward" in vars(block):
            raise CannotTranslate("its forward was replaced on the instance")
        if not may_join(path_of(block, call).graph) and not sites(block):
            raise NotResidual("it has no residual addition")
        twin = jiggled(block, self.original)
        branches = self._branches(twin, call, block.training)
        in_other_mode = self._branches(twin, call, not block.training)
        if [branch.kind for branch in branches] != [branch.kind for branch in in_other_mode]:
            raise CannotTranslate("it has other branches in training than in evaluation")
        return branches

    def _branches(self, twin: nn.Module, call: Call, training: bool) -> tuple[Branch, ...]:
        text = self._follow(_in_mode(twin, training), call)
        return tuple(step.branch for step in self.programs[text].steps)

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
        text = self.texts.get(self._pattern(block, call)) or self._meet(block, call, len(gates))
        program = self.programs[text]
        return program.run(block, gates, call.live, zero_grads=zero_grads)

    def compile(self, block: nn.Module, options: dict[str, Any] | None) -> None:
        """Compile the branches of `block`; see `Translation`."""
        self.options = options
        for text, program in self.programs.items():
            self.programs[text] = program.compiled(block, options)

    def fixed(self, block: nn.Module, gates: Sequence[float], shared: Set[int]) -> nn.Module:
        """Return `block` under fixed gates; see `Translation`."""
        program, call = self.single()
        left = [
            1.0 if gate not in (0, 1) and fold(program, k, block, gate, shared) else gate
            for k, gate in enumerate(gates)
        ]
        return block if all(gate == 1 for gate in left) else reduced(block, program, call, left)

    def single(self) -> tuple[Program, Call]:
        """Return the one program of all patterns met so far, and a call of it.

        Raises:
            CannotTranslate: training and evaluation, or different calls, differ.
        """
        if len(set(self.texts.values())) != 1:
            raise CannotTranslate("its forward depends on training mode or on its arguments")
        ((pattern, *_), text), *_ = self.texts.items()
        live = tuple(object() for kind, _ in pattern[1] if kind is torch.Tensor)
        return self.programs[text], Call(live, pattern)

    def _meet(self, block: nn.Module, call: Call, branches: int) -> str:
        """Follow a pattern that the example did not show."""
        twin = _in_mode(jiggled(block, self.original), block.training)
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
        followed = path_of(twin, call)
        text = str(followed.graph)
        if text not in self.programs:
            program = self._written(twin, call, followed.graph)
            self.programs[text] = program.compiled(twin, self.options)
        self.by_shape = self.by_shape or followed.by_shape
        self.inlined = followed.inlined
        self.texts[self._pattern(twin, call)] = text
        return text

    def _written(self, twin: nn.Module, call: Call, graph: fx.Graph) -> Program:
        try:
            program = write(graph, with_sites(twin), call)
        except NotResidual:
            if fault := lint(twin, graph, call, "its mask is not on a residual branch"):
                raise CannotTranslate(fault) from None
            raise
        if fault := check(twin, graph, program, call):
            raise CannotTranslate(lint(twin, graph, call, fault) or fault)
        return program

    def _pattern(self, block: nn.Module, call: Call) -> Any:
        """Return what the code path may depend on, the kinds of arguments included."""
        owners = (block, *map(block.get_submodule, self.inlined))
        return call.pattern, call.shapes if self.by_shape else (), *map(_state, owners)

    def __getstate__(self) -> dict[str, Any]:
        # Programs hold generated functions; another process writes its own.
        return {**vars(self), "texts": {}, "programs": {}}

    def __deepcopy__(self, memo: dict[int, Any]) -> "Foreign":
        return replace(self, texts=dict(self.texts), programs=dict(self.programs))


def _state(block: nn.Module) -> Any:
    plain = tuple(item for item in vars(block).items() if isinstance(item[1], FIXED))
    return plain, tuple((name, m is None) for name, m in block._modules.items())


def _in_mode(twin: nn.Module, training: bool) -> nn.Module:
    """Put a block in a mode; what it calls stays in evaluation mode."""
    for path, module in twin.named_modules():
        if path == "" or is_inlined(module, path):
            module.training = training
    return twin

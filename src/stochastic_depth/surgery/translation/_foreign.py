"""The translation of a foreign block into residual steps, by following its forward."""

from collections.abc import Sequence, Set
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import fx, nn

from ..._errors import Unsupported
from ...blocks import Gate
from ._call import FIXED, Call
from ._errors import CannotTranslate, NotResidual
from ._fold import fold
from ._joins import may_join
from ._program import Branch, Program
from ._reduce import reduced
from ._sites import with_sites
from ._verify import check, jiggled
from ._write import graph_of, write


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
        graph = graph_of(block, call)
        if not may_join(graph):
            raise NotResidual("it has no residual addition")
        twin = jiggled(block, self.original)
        twin.training = block.training
        branches = self._branches(twin, call, graph)
        twin.training = not block.training
        in_other_mode = self._branches(twin, call, graph_of(twin, call))
        if [branch.kind for branch in branches] != [branch.kind for branch in in_other_mode]:
            raise CannotTranslate("it has other branches in training than in evaluation")
        return branches

    def _branches(self, twin: nn.Module, call: Call, graph: fx.Graph) -> tuple[Branch, ...]:
        text = self._follow(twin, call, graph)
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
        text = self.texts.get(_pattern(block, call)) or self._meet(block, call, len(gates))
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
        ((pattern, _, _), text), *_ = self.texts.items()
        live = tuple(object() for kind, _ in pattern[1] if kind is torch.Tensor)
        return self.programs[text], Call(live, pattern)

    def _meet(self, block: nn.Module, call: Call, branches: int) -> str:
        """Follow a pattern that the example did not show."""
        twin = jiggled(block, self.original)
        twin.training = block.training
        try:
            text = self._follow(twin, call, graph_of(twin, call))
        except CannotTranslate as error:
            raise Unsupported(f"{self.original.__name__} cannot be gated: {error}.") from error
        if len(self.programs[text].steps) != branches:
            raise Unsupported(
                f"{self.original.__name__} must have {branches} residual branches in every call; "
                f"this one has {len(self.programs[text].steps)}."
            )
        return text

    def _follow(self, twin: nn.Module, call: Call, graph: fx.Graph) -> str:
        """Make sure that there is a program for a pattern, and return its text."""
        text = str(graph)
        if text not in self.programs:
            program = write(graph, with_sites(twin), call)
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


def _pattern(block: nn.Module, call: Call) -> Any:
    """Return what the code path may depend on, the kinds of arguments included."""
    plain = tuple(item for item in vars(block).items() if isinstance(item[1], FIXED))
    return call.pattern, plain, tuple((name, m is None) for name, m in block._modules.items())

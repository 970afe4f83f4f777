"""One object per model: it draws the gates of each forward pass and hands them out."""

import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal, get_args

import torch
from torch import Tensor, distributed
from torch.utils import _pytree as pytree

from ..._checks import fail, one_of
from ..._errors import Unsupported
from ...blocks import Execution, Gate
from ...gates import Law, Per, draw, stream
from ...gates._draw import require_subset
from .._frame import Frame
from ..following import Anatomy, Block, Scale, Unit
from ._graph import Graph
from ._pass import Memory, Pass, in_backward
from ._ranks import run_anywhere
from ._spared import Spared

MODEL = -1
"""The model itself, where blocks are numbered."""

DroppedGrads = Literal["none", "zero"]
"""Gradient of the parameters of a dropped branch: None, or zeros (Huang et al.)."""

Ranks = Literal["shared", "equal-depth", "independent"]
"""Whether processes that train together use the same gates, or as many, or their own."""


@dataclass(frozen=True)
class Options:
    """What `apply` was told and does not change afterwards; see there."""

    per: Per = "batch"
    execution: Execution = "auto"
    dropped_grads: DroppedGrads = "none"
    ranks: Ranks | None = None
    scale: Scale = "block"
    multiple: int = 1

    def __post_init__(self) -> None:
        one_of("per", self.per, get_args(Per))
        one_of("execution", self.execution, get_args(Execution))
        one_of("dropped_grads", self.dropped_grads, get_args(DroppedGrads))
        one_of("ranks", self.ranks, (None, *get_args(Ranks)))
        one_of("scale", self.scale, get_args(Scale))
        require_subset(self.per, self.multiple)
        if self.ranks == "equal-depth" and self.per != "batch":
            remedy = "Use per='batch', or per='subset' for equally many samples per block."
            raise fail("ranks", f"shared or independent for per={self.per!r}", self.ranks, remedy)

    @property
    def independent(self) -> bool:
        """Whether each process draws its own gates; by default if samples do."""
        return self.per != "batch" if self.ranks is None else self.ranks != "shared"


class Controller:
    """The gates of a model.

    A training forward of the model opens a pass; so does a block that is called by another
    method of the model, or directly. A pass has one gate vector, drawn before the first block
    runs; blocks look up theirs. A copy of the model has a copy of this.

    Attributes:
        anatomy: what was found in the model; `blocks` are its records, one per gate.
        options: see `apply`.
        seed: of the stream of gates.
        step: number of the next draw.
        rates: drop rates that the model was built with.
        compiled: whether the branches run compiled.
        forced: gates that override draws and evaluation gates.
        latest: gates of the last draw.
        frames: of the blocks that are running, the innermost last.
        memory: what ran on which tensor, for a backward pass that runs it again.
        warned: what has been said, and is not said again.
        graph: the gates of a pass that is compiled.
        program: the forward of the model, compiled; None unless `handle.compile` made one.
        spared: what takes the gradients of dropped blocks away there.
        sharing: the processes that share out the parameters; None if none do.
    """

    def __init__(
        self,
        anatomy: Anatomy,
        law: Law,
        options: Options,
        seed: int = 0,
        rates: Sequence[Any] = (),
    ) -> None:
        self.anatomy = anatomy
        self.options = options
        self.seed = seed
        self.step = 0
        self.rates = tuple(rates)
        self.compiled = False
        self.forced: Pass | None = None
        self.latest: Pass | None = None
        self.frames: list[Frame] = []
        self._current: Pass | None = None
        self._finished: Pass | None = None
        self.memory = Memory()
        self.warned: set[str] = set()
        self.graph = Graph.of(len(anatomy.blocks))
        self.spared: Spared | None = None
        self.program: Callable[..., Any] | None = None
        self.sharing: distributed.ProcessGroup | None = None
        self.law = law

    @property
    def blocks(self) -> tuple[Block, ...]:
        """One record per gate."""
        return self.anatomy.blocks

    @property
    def law(self) -> Law:
        """The law of the gates."""
        return self._law

    @law.setter
    def law(self, law: Law) -> None:
        if len(law) != len(self.blocks):
            raise fail("law", f"of {len(self.blocks)} blocks", f"{len(law)}: {law}")
        for block in self.blocks:
            if not block.droppable and not law.survival[block.index] == law.mean[block.index] == 1:
                requirement = f"1 for block {block.index}, {block}, because {block.reason}"
                raise fail("survival", requirement, f"{float(law.survival[block.index]):g}")
        self._law = law
        # Numbers, once: every block asks in every evaluation.
        self._evaluation: list[Gate] = law.evaluation.tolist()

    @property
    def keeps_products(self) -> str:
        """Why dropped blocks run in this pass; empty if they do not."""
        running = self.forced or self._current
        return "" if running is None else running.products

    def gates(
        self, unit: int, indices: Sequence[Sequence[int]], training: bool, x: Tensor | None
    ) -> tuple[list[Gate], list[bool]]:
        """Return the gates for a block that is about to run on `x`, and which drop with zeros.

        Args:
            unit: number of the block.
            indices: of its gates, for each of its calls in a pass.
            training: whether it is in training mode.
            x: its input.

        Returns:
            Its gates, and whether parameters that one of them drops get gradients of zero.
        """
        running, call = self._running(unit, len(indices), x)
        # A model may loop longer than on the example: further calls share the last gates.
        mine = indices[min(call, len(indices) - 1)]
        if not training and not (running is not None and running.forced):
            zero = self.options.dropped_grads == "zero"
            return [self._evaluation[index] for index in mine], [zero] * len(mine)
        # Without a forward of the model, a block that comes round again begins the next pass.
        if running is None or (running.implicit and call >= len(indices)):
            running, call = Pass(self.options.execution, implicit=True), 0
            self._current, mine = running, indices[0]
            running.next_call(unit)
            self.memory.forget()
        if running.gates is None:  # the block is in training, the model as a whole is not
            self._draw(running, x)
        # For a checkpoint, which runs the block again when other gates may have been drawn.
        if training:
            self.memory.note(x, unit, running, call)
        if running.zeros is None:
            running.zeros = self._zeros(running)
        lowered = running.lowered(x)
        fixed = self.anatomy.fixed  # masked gates are tensors, and these have no place for one
        gates = [1.0 if index in fixed else lowered[index] for index in mine]
        return gates, [running.zeros[index] for index in mine]

    def _running(self, unit: int, uses: int, x: Tensor | None) -> tuple[Pass | None, int]:
        """Return the pass that a block runs in, and which call of it this is."""
        if in_backward() and not (self.forced or (self._current and not self._current.implicit)):
            found = self.memory.find(x, unit, self._finished)
            if found is not None:
                return found
            # Within a checkpoint over several blocks inputs are new tensors: guess the last pass.
            if self._finished is not None:
                return self._finished, 0
        running = self.forced or self._current
        return running, 0 if running is None else running.next_call(unit)

    @contextmanager
    def open_pass(self, training: bool, x: Tensor | None, products: str = "") -> Iterator[Pass]:
        """Run one forward pass of the model on `x`; in training, draw its gates."""
        before = self._current
        again = self.memory.find(x, MODEL, self._finished) if in_backward() else None
        running = self.forced or (again[0] if again else None) or Pass(self.options.execution)
        # A pass that is run again counts its calls anew.
        running.calls, running.products = {}, products
        self._current = running
        self.memory.forget()
        # Gates per sample wait for the first block, whose input shows the size of the batch.
        if training and running.gates is None and self.options.per == "batch":
            self._draw(running, x)
        if training:
            self.memory.note(x, MODEL, running, 0)
        try:
            yield running
        finally:
            # A pass opened within itself goes on; any other ends, even if its forward failed.
            self._finished, self._current = running, before if before is running else None

    def draw_for_graph(self, x: Tensor | None) -> None:
        """Draw the gates of a pass that runs in a graph, where no block can ask for them."""
        # Implicit: a block that the compiler has given up runs under these gates as well.
        running = self.forced or Pass(self.options.execution, implicit=True)
        if running.gates is None:
            self._draw(running, x)
        assert running.gates is not None  # noqa: S101  # drawn just now
        self._finished = self._current = running
        device, size = (torch.device("cpu"), 0) if x is None else (x.device, len(x))
        self.graph.fill(running.gates, device, size)

    @property
    def kept(self) -> list[bool]:
        """Which blocks run in the pass that was drawn last, for some sample at least."""
        running = self.forced or self.latest
        if running is None or running.gates is None:
            return [True] * len(self.blocks)
        return [bool(gate.any()) for gate in running.gates]

    def follow(self, output: Any, done: Pass) -> None:
        """Have the backward pass of `output` prefer the gates of its forward pass.

        Where two forwards were given the same memory, it is the gradient of the output, the
        first thing a backward pass computes, that tells which of them is run again.
        """

        def bring_back(_: Tensor) -> None:
            self._finished = done

        for tensor in pytree.tree_leaves(output):
            if isinstance(tensor, Tensor) and tensor.grad_fn is not None:
                tensor.register_hook(bring_back)

    @contextmanager
    def within(self, frame: Frame) -> Iterator[None]:
        """Have the children of a block know its gates while it runs."""
        self.frames.append(frame)
        try:
            yield
        finally:
            self.frames.pop()

    def say_masked(self, unit: Unit, reason: str) -> None:
        """Say once that a block runs although it is dropped."""
        running = self.forced or self._current
        # What `plan` has said beforehand needs no warning.
        planned = any(b.path == unit.path and b.masked == reason for b in self.blocks)
        said = f"{unit.kind}: {reason}"
        if planned or running is None or running.forced or said in self.warned:
            return
        self.warned.add(said)
        warnings.warn(
            f"A dropped {unit.kind} runs, and its change is discarded, because {reason}: nothing "
            "is saved in such a call.",
            stacklevel=2,
        )

    def say_outside(self, unit: Unit) -> None:
        """Say once that a block of a compiled model runs eagerly."""
        if "outside" in self.warned:
            return
        self.warned.add("outside")
        warnings.warn(
            f"{unit.path or unit.kind} runs outside of the graph of its compiled model, under the "
            "same gates: it was called by itself, or the compiler has given up. "
            "TORCH_LOGS=recompiles says why; a common reason is more shapes of batches than "
            "torch._dynamo.config.recompile_limit.",
            stacklevel=2,
        )

    def _draw(self, running: Pass, x: Tensor | None) -> None:
        # Without a rank every process draws from one stream, and gets the same gates.
        rank = _rank() if self.options.independent else None
        generator = stream(self.seed, self.step, rank)
        size = None if x is None or x.ndim == 0 or x.is_nested else x.shape[0]
        if size is None and self.options.per != "batch":
            raise Unsupported(
                "Gates per sample need a batch whose first dimension is its samples, all of one "
                "shape; this one is nested or has no dimension. Use per='batch'."
            )
        running.gates = draw(
            self.law,
            self.options.per,
            size,
            multiple=self.options.multiple,
            depth=stream(self.seed, self.step) if self.options.ranks == "equal-depth" else None,
            generator=generator,
        )
        running.lowered(x)
        # After all that may raise: a batch that is refused uses up no draw.
        self.step += 1
        self.latest = running

    def _zeros(self, running: Pass) -> list[bool]:
        """Return whose parameters get gradients of zero where a block is dropped."""
        assert running.gates is not None  # noqa: S101  # drawn, or forced
        alike = not (self.options.independent or running.forced)
        if self.options.dropped_grads == "zero" or self.sharing is None or alike:
            return [self.options.dropped_grads == "zero"] * len(self.blocks)
        # Sharded gradients are exchanged if any process has one, and then all must have one.
        return run_anywhere(running.gates, self.sharing)

    def __getstate__(self) -> dict[str, Any]:
        # A copy does not take part in the passes of the original.
        idle: dict[str, Any] = {
            "forced": None, "_current": None, "_finished": None, "frames": [],
            "memory": Memory(), "latest": self.latest, "graph": Graph.of(len(self.blocks)),
            "spared": None, "program": None, "sharing": None,
        }  # fmt: skip
        return {**vars(self), **idle}


def _rank() -> int:
    ready = distributed.is_available() and distributed.is_initialized()
    return distributed.get_rank() if ready else 0

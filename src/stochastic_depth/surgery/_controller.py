"""One object per model: it draws the gates of each forward pass and hands them out."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal, get_args

from torch import Tensor, distributed
from torch.utils import _pytree as pytree

from .._checks import fail, one_of
from .._errors import NotInForward
from ..blocks import Execution, Gate
from ..gates import Law, Per, draw, stream
from ._pass import Pass, in_backward
from .finding import Anatomy, Block

DroppedGrads = Literal["none", "zero"]
"""Gradient of the parameters of a dropped branch: None, or zeros (Huang et al.)."""

Ranks = Literal["shared", "independent"]
"""Whether processes that train together use the same gates."""


@dataclass(frozen=True)
class Options:
    """What `apply` was told and does not change afterwards; see there."""

    per: Per = "batch"
    execution: Execution = "auto"
    dropped_grads: DroppedGrads = "none"
    ranks: Ranks | None = None

    def __post_init__(self) -> None:
        one_of("per", self.per, get_args(Per))
        one_of("execution", self.execution, get_args(Execution))
        one_of("dropped_grads", self.dropped_grads, get_args(DroppedGrads))
        one_of("ranks", self.ranks, (None, *get_args(Ranks)))

    @property
    def independent(self) -> bool:
        """Whether each process draws its own gates; by default if samples do."""
        return self.per != "batch" if self.ranks is None else self.ranks == "independent"


class Controller:
    """The gates of a model.

    A training forward of the model opens a pass, which draws one gate vector before the
    first block runs; blocks look up theirs. A copy of the model has a copy of this.

    Attributes:
        anatomy: what was found in the model; `blocks` are its records, one per gate.
        options: see `apply`.
        seed: of the stream of gates.
        step: number of the next draw.
        masks: (path, attribute, drop rate) of masks that the model was built with.
        compiled: whether the branches run compiled.
        forced: gates that override draws and evaluation gates.
        latest: gates of the last draw.
    """

    def __init__(
        self,
        anatomy: Anatomy,
        law: Law,
        options: Options,
        seed: int = 0,
        masks: Sequence[tuple[str, str, float]] = (),
    ) -> None:
        self.anatomy = anatomy
        self.options = options
        self.seed = seed
        self.step = 0
        self.masks = tuple(masks)
        self.compiled = False
        self.forced: Pass | None = None
        self.latest: Pass | None = None
        self._current: Pass | None = None
        self._finished: Pass | None = None
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
        self._evaluation: list[Gate] = law.evaluation.tolist()

    def gates(self, training: bool, x: Tensor | None) -> list[Gate]:
        """Return the gates for a block that is about to run on `x`."""
        running = self.forced or self._current or self._recomputed()
        if running is not None and running.forced:
            return running.lowered(x)
        if not training:
            return self._evaluation
        if running is None:
            raise NotInForward(
                "A block with gates must run, in training, inside a forward pass of the model "
                "that stochastic depth was applied to; it was called directly. Call that model, "
                "apply to the part that is called, or force gates with stochastic_depth.gating."
            )
        if running.gates is None:  # the block is in training, the model as a whole is not
            self._draw(running, x)
        return running.lowered(x)

    @contextmanager
    def open_pass(self, training: bool, x: Tensor | None) -> Iterator["Pass"]:
        """Run one forward pass of the model on `x`; in training, draw its gates."""
        before = self._current
        self._current = self.forced or self._recomputed() or Pass(self.options.execution)
        if training and self._current.gates is None:
            self._draw(self._current, x)
        try:
            yield self._current
        finally:
            self._finished, self._current = self._current, before

    def follow(self, output: Any, done: Pass) -> None:
        """Have the backward pass of `output` run under the gates of its forward pass.

        Activation checkpointing runs blocks again during the backward pass. By then
        another forward may have drawn other gates: the gradient of the output, the first
        thing a backward pass computes, brings back those it was computed with.
        """

        def bring_back(_: Tensor) -> None:
            self._finished = done

        for tensor in pytree.tree_leaves(output):
            if isinstance(tensor, Tensor) and tensor.grad_fn is not None:
                tensor.register_hook(bring_back)

    def _recomputed(self) -> Pass | None:
        return self._finished if in_backward() else None

    def _draw(self, running: Pass, x: Tensor | None) -> None:
        rank = _rank() if self.options.independent else None
        generator = stream(self.seed, self.step, rank)
        size = None if x is None or x.ndim == 0 else x.shape[0]
        running.gates = draw(self.law, self.options.per, size, generator=generator)
        running.lowered(x)
        self.step += 1
        self.latest = running

    def __getstate__(self) -> dict[str, Any]:
        # A copy does not take part in the passes of the original.
        idle = {"forced": None, "_current": None, "_finished": None}
        return {**vars(self), **idle}


def _rank() -> int:
    ready = distributed.is_available() and distributed.is_initialized()
    return distributed.get_rank() if ready else 0

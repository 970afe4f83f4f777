"""Gates as data: one graph of a gated model, whatever the draw.

A compiler follows Python once. It cannot follow a draw, so the gates of a step are drawn
outside and put into tensors, which the graph reads. A block runs under them in one of two
ways:

- on some samples: per sample its survivors are taken out of the batch and put back; per batch
  it runs on all samples or, if it is dropped, on the first two, with a factor of 0;
- as a conditional on `keep`: its own forward, or what it leaves.

The first costs two samples of a dropped block, the second a quarter of one that runs, because
nothing is fused across it. At equal odds they meet at a batch of `ROWS_FROM`.
"""

from dataclasses import dataclass, field

import torch
from torch import Tensor

from ..._typing import Gates
from .._frame import Frame

ROWS_FROM = 8
"""Smallest batch for which a block that is dropped as a whole runs two samples."""


@dataclass(eq=False)
class Graph:
    """The gates of the pass that is running, where a graph finds them.

    Attributes:
        keep: which blocks run, bool, shape (L,); on the CPU, where a conditional costs no wait.
        scale: their gates, shape (L,).
        sizes: for each block a tensor of shape (k, 0), where k samples run, 2 <= k <= N: a
            number would be a constant of the graph, and sizes 0 and 1 graphs of their own.
        rows: for each block the samples that run, int64, shape (k,); empty for gates per batch.
        factors: their gates, shape (k,): 0 for a dropped sample that fills up.
        forced: whether blocks in evaluation mode have these gates, too.
        inside: whether the whole model is in the graph, and has drawn.
        gathers: whether blocks that could be conditionals run on some samples instead.
        checkpoints: whether blocks run again in the backward pass, where conditionals may not be.
        entered: whether every block is known to have a place in the graph.
        normed: gates of blocks with batch statistics.
        frames: of the blocks that are followed, the innermost last.
    """

    keep: Tensor
    scale: Tensor
    sizes: list[Tensor] = field(default_factory=list)
    rows: list[Tensor] = field(default_factory=list)
    factors: list[Tensor] = field(default_factory=list)
    forced: bool = False
    inside: bool = False
    gathers: bool = False
    checkpoints: bool = False
    entered: bool = False
    normed: set[int] = field(default_factory=set)
    frames: list[Frame] = field(default_factory=list)

    @classmethod
    def of(cls, count: int) -> "Graph":
        """Return open gates of `count` blocks."""
        # Whatever the default device: to read a condition from a GPU would wait for it.
        ones = torch.ones(count, device="cpu")
        return cls(ones.bool(), ones)

    def fill(self, gates: Gates, device: torch.device, size: int) -> None:
        """Put the gates of a pass on `size` samples where the graph finds them."""
        gates = gates.detach()
        # New tensors: the backward pass of the forward before may be to come.
        self.sizes, self.rows, self.factors = [], [], []
        if gates.ndim == 1:
            self.keep, self.scale = gates != 0, gates.to(device)
            self.gathers = size >= ROWS_FROM or (self.checkpoints and size > 1)
            counts = [size if kept else min(size, 2) for kept in self.keep.tolist()]
            self.sizes = [_dynamic(torch.empty(count, 0, device=device)) for count in counts]
            return
        indices = [_running(of_block, n in self.normed) for n, of_block in enumerate(gates)]
        factors = [of_block[index] for of_block, index in zip(gates, indices, strict=True)]
        self.rows, self.factors = _sent(indices, device), _sent(factors, device)


def _sent(parts: list[Tensor], device: torch.device) -> list[Tensor]:
    """Return what blocks run on where they compute: one transfer for all."""
    if device.type != "cpu":
        whole = torch.cat(parts).to(device, non_blocking=True)
        # Not views, whose sizes would be followed back to the whole.
        parts = torch.ops.aten.split_with_sizes_copy(whole, [len(part) for part in parts])
    return list(map(_dynamic, parts))


def _running(gates: Tensor, normed: bool) -> Tensor:
    """Return which samples run a block: those that are left, and two at least."""
    index = gates.nonzero()[:, 0]
    # One sample is not normalised by itself: it runs with its whole batch, masked.
    if normed and len(index) == 1:
        return torch.arange(len(gates))
    if len(index) < 2:
        index = torch.cat([index, (gates == 0).nonzero()[: 2 - len(index), 0]])
    return index


def _dynamic(x: Tensor) -> Tensor:
    # Otherwise the next number of samples would compile another graph.
    torch._dynamo.mark_dynamic(x, 0)
    return x

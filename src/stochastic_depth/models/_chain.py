"""Run a chain of residual blocks."""

from torch import Tensor, nn

from .._checks import fail
from .._typing import Gates
from ..blocks import lower


def run_chain(blocks: nn.ModuleList, x: Tensor, gates: Gates | None) -> Tensor:
    """Return the output of the last block; without gates every block runs."""
    if gates is None:
        for block in blocks:
            x = block(x)
        return x
    if len(gates) != len(blocks):
        raise fail("gates", f"of length {len(blocks)}, one per block", len(gates))
    if gates.ndim == 2 and gates.shape[1] != len(x):
        shapes = f"of shape ({len(blocks)}, {len(x)}), one per block and sample"
        raise fail("gates", shapes, f"shape {tuple(gates.shape)}")
    for block, gate in zip(blocks, lower(gates, device=x.device), strict=True):
        x = block(x, gate)
    return x

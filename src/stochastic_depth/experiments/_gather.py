"""Finding run directories and putting the runs in order."""

from collections.abc import Sequence
from pathlib import Path

from .._errors import DataError
from ..training.run_record import RunRecord


def runs_under(top: Path) -> list[Path]:
    """Return `top` if it is a run directory, else all run directories below it."""
    if (top / "run.json").exists():
        return [top]
    found = sorted(path.parent for path in top.rglob("run.json"))
    if found:
        return found
    if not top.is_dir():
        raise DataError(f"There is no directory {top}.")
    raise DataError(
        f"{top} holds no run: run.json is nowhere below it. "
        "Pass a directory that `sdepth train` or `sdepth compare` wrote."
    )


def in_order(runs: Sequence[RunRecord], variants: Sequence[str]) -> tuple[RunRecord, ...]:
    """Return `runs` by variant and seed, the variants as planned.

    Without a plan, a variant at constant depth comes first, since the others are read
    against it; the rest keep their order.
    """
    order = list(dict.fromkeys([*variants, *(run.variant for run in runs)]))
    if not variants:
        depths = {run.variant: bool((run.survival < 1).any()) for run in runs}
        order.sort(key=depths.__getitem__)
    return tuple(sorted(runs, key=lambda run: (order.index(run.variant), run.seed)))

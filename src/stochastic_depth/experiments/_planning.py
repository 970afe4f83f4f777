"""What `compare` and `sweep` decide before anything starts."""

import os
from collections.abc import Mapping, Sequence
from typing import Any

import torch

from .._checks import count
from ..training import RunConfig
from ._notes import changes_to_recipe, notes_on
from ._plan import Plan


def make_plan(
    config: RunConfig,
    variants: Mapping[str, Mapping[str, Any]],
    seeds: Sequence[int],
    *,
    processes: int | None,
    command: str,
    grid: Mapping[str, Sequence[Any]] | None = None,
) -> Plan:
    """Return what is to be done, the cores shared out among the runs of one time.

    Args:
        config: The recipe.
        variants: Overridden fields of each variant, by its name.
        seeds: One run of each variant per seed.
        processes: Runs at a time; by default one for each core, or one on a GPU.
        command: The command line that asked for it.
        grid: Values of each axis, where the variants are the cells of a grid.
    """
    processes, threads = _share_out(config, len(variants) * len(seeds), processes)
    return Plan(
        name=config.name,
        variants=variants,
        seeds=tuple(seeds),
        processes=processes,
        threads=threads,
        command=command,
        changes=changes_to_recipe(config),
        notes=notes_on(config),
        grid=grid or {},
    )


def _share_out(config: RunConfig, runs: int, processes: int | None) -> tuple[int, int]:
    """Return how many runs train at a time, and the threads of each."""
    if processes is None:
        one_gpu = config.accelerator != "cpu" and torch.cuda.is_available()
        processes = 1 if one_gpu else min(_cores(), runs)
    processes = count("processes", processes)
    return processes, config.threads or max(1, _cores() // processes)


def _cores() -> int:
    """Return how many cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1

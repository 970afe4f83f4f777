"""A function run in two processes that talk to each other, as training on two machines does."""

import multiprocessing
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import torch
from torch import distributed

CONTEXT = multiprocessing.get_context("forkserver")
PATIENCE = 60  # seconds; a process that waits for the other longer than this hangs


def in_two_processes(function: Callable[[int], Any], directory: Path) -> list[Any]:
    """Return what `function` of a module returns as rank 0 and as rank 1."""
    CONTEXT.set_forkserver_preload(["stochastic_depth"])
    processes = [
        CONTEXT.Process(target=_child, args=(function, rank, directory)) for rank in range(2)
    ]
    for process in processes:
        process.start()
    for process in processes:
        process.join(4 * PATIENCE)
        process.kill()
        process.join()
    assert [process.exitcode for process in processes] == [0, 0]
    return [torch.load(directory / f"{rank}.pt", weights_only=False) for rank in range(2)]


def _child(function: Callable[[int], Any], rank: int, directory: Path) -> None:
    torch.set_num_threads(1)
    distributed.init_process_group(
        "gloo",
        init_method=f"file://{directory / 'meeting'}",
        rank=rank,
        world_size=2,
        timeout=timedelta(seconds=PATIENCE),
    )
    torch.save(function(rank), directory / f"{rank}.pt")
    distributed.destroy_process_group()

"""One run in several processes: which of them this is, and how they are started."""

import logging
import multiprocessing
import os
import re
import signal
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from torch import distributed

from .. import _errors
from .._checks import fail
from .._errors import ProcessLost, StochasticDepthError

Value = TypeVar("Value")

REMEDY = "Train in this directory again to go on from the last checkpoint."


@dataclass(frozen=True)
class Place:
    """The place of this process among those that train one network.

    Args:
        rank: its number, from 0.
        world: how many there are.
        nodes: on how many machines.
    """

    rank: int = 0
    world: int = 1
    nodes: int = 1

    @classmethod
    def here(cls) -> "Place":
        """Return the place that torchrun, or `launch`, gave this process; alone without them."""
        if not distributed.is_torchelastic_launched():
            return cls()
        rank, world, local = (
            int(os.environ[name]) for name in ("RANK", "WORLD_SIZE", "LOCAL_WORLD_SIZE")
        )
        return cls(rank, world, world // local)

    @property
    def writes(self) -> bool:
        """Whether this process keeps the record of the run."""
        return self.rank == 0


def gathered(value: Value) -> list[Value]:
    """Return what every process passes, by rank; all of them must call this together."""
    if not (distributed.is_available() and distributed.is_initialized()):
        return [value]
    values: list[Any] = [None] * distributed.get_world_size()
    distributed.all_gather_object(values, value)
    return values


def from_first(value: Value) -> Value:
    """Return what the first process passes; all of them must call this together."""
    if not (distributed.is_available() and distributed.is_initialized()):
        return value
    values = [value]
    distributed.broadcast_object_list(values)
    return values[0]


def must_launch(processes: int) -> bool:
    """Return whether the processes of a run have still to be started.

    Raises:
        InvalidArgument: they were started, and are not as many as the run asks for.
    """
    if not distributed.is_torchelastic_launched():
        return processes > 1
    world = Place.here().world
    if world != processes:
        raise fail("processes", f"{world}, the number that torchrun has started", processes)
    return False


def launch(function: Callable[..., Any], processes: int, *arguments: Any) -> None:
    """Call `function` in several processes of this machine, as torchrun does.

    If one of them ends before its time, the others are ended too.

    Raises:
        ProcessLost: one of them was killed, or failed without a word.
        StochasticDepthError: what one of them raised.
        SystemExit: SIGTERM came.
    """
    from torch.distributed.elastic.multiprocessing.api import SignalException
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.launcher.api import LaunchConfig, elastic_launch

    for name in ("torch.distributed.elastic", "torch.multiprocessing.spawn"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
    # DistributedDataParallel wonders at steps in which no block was skipped.
    os.environ.setdefault("TORCH_CPP_LOG_LEVEL", "ERROR")
    how = LaunchConfig(
        min_nodes=1,
        max_nodes=1,
        nproc_per_node=processes,
        rdzv_backend="c10d",
        rdzv_endpoint="localhost:0",
        run_id=f"stochastic-depth-{os.getpid()}",
        max_restarts=0,
        monitor_interval=0.1,
        start_method=_start_method(),
    )
    try:
        elastic_launch(how, function)(*arguments)
    except ChildFailedError as error:
        raise _in_words(error.failures, processes) from error
    except SignalException as error:
        raise SystemExit(128 + error.sigval) from error


def _start_method() -> str:
    """Return how to start processes: forked from one that has imported torch, if possible."""
    if "forkserver" not in multiprocessing.get_all_start_methods():
        return "spawn"
    multiprocessing.get_context("forkserver").set_forkserver_preload([f"{__package__}._train"])
    return "forkserver"


def lost(error: Exception) -> ProcessLost | None:
    """Return what an error of the network between processes means, None for any other."""
    spoken = str(error)
    if not isinstance(error, RuntimeError) or not re.search("gloo|nccl|Connection", spoken):
        return None
    reason = re.sub(r"^\[.*?\] ", "", spoken).partition("\n")[0].partition(". ")[0]
    return ProcessLost(f"Another process of this run has ended ({reason}). {REMEDY}")


def _in_words(failures: Mapping[int, Any], processes: int) -> StochasticDepthError:
    """Return what the process that failed first has raised, or how it ended."""
    rank, failure = min(failures.items(), key=lambda pair: (pair[1].exitcode >= 0, pair[0]))
    if failure.exitcode < 0:
        name = signal.Signals(-failure.exitcode).name
        return ProcessLost(f"Process {rank} of {processes} was ended by {name}. {REMEDY}")
    message = failure.message
    spoken = message["message"] if isinstance(message, dict) else message
    name, _, words = spoken.partition(": ")
    kind = getattr(_errors, name, None)
    if kind is not None and issubclass(kind, StochasticDepthError):
        return kind(words)
    return ProcessLost(f"Process {rank} of {processes} failed ({spoken}). {REMEDY}")

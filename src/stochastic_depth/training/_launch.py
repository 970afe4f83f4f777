"""Devices and processes: which process this is, how they start, train and end together."""

import logging
import multiprocessing
import os
import signal
import tempfile
import threading
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any, TypeVar

import torch
from lightning.fabric import Fabric
from lightning.fabric.strategies.ddp import DDPStrategy
from lightning.fabric.strategies.model_parallel import ModelParallelStrategy
from torch import distributed, nn
from torch.distributed.device_mesh import DeviceMesh
from torch.distributed.fsdp import fully_shard

from .._checks import fail
from .._errors import ProcessLost, StochasticDepthError
from ..surgery import Block
from ._run_config import RunConfig

Value = TypeVar("Value")

PRECISION: Any = {"float32": "32-true", "float64": "64-true", "bf16": "bf16-mixed"}
REMEDY = "Train in this directory again to go on from the last checkpoint."
PATIENCE = timedelta(seconds=1)  # for an answer of processes that may be busy
HANDLED = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT)  # by torch's launcher
TERMINATED = 128 + signal.SIGTERM
LIGHTNING_LOGGERS = ("lightning.pytorch", "lightning.fabric")


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


def by_first(function: Callable[[], Value]) -> Value:
    """Call a function in the first process, and return what it returns in all of them.

    An error of the first process is raised in all: none waits for one that has failed.
    """
    if not (distributed.is_available() and distributed.is_initialized()):
        return function()
    outcome: list[Any] = [None, None]
    if Place.here().writes:
        try:
            outcome[0] = function()
        except StochasticDepthError as error:
            outcome[1] = error
    distributed.broadcast_object_list(outcome)
    if outcome[1] is not None:
        raise outcome[1]
    return outcome[0]


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

    If one of them ends before its time, torch ends the others too.

    Raises:
        ProcessLost: one of them was killed, or failed with an error that is not ours.
        StochasticDepthError: what one of them raised.
        SystemExit: a signal came, or SIGTERM to one of the processes.
    """
    from torch.distributed.elastic.multiprocessing.api import DefaultLogsSpecs, SignalException
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.launcher.api import LaunchConfig, elastic_launch

    logging.getLogger("torch.distributed.elastic").setLevel(logging.CRITICAL)
    logging.getLogger("torch.multiprocessing.spawn").setLevel(logging.CRITICAL)
    # DistributedDataParallel wonders at steps in which no block was skipped.
    os.environ.setdefault("TORCH_CPP_LOG_LEVEL", "ERROR")
    method, handlers = _start_method(), {number: signal.getsignal(number) for number in HANDLED}
    errors = multiprocessing.get_context(method).SimpleQueue()
    with tempfile.TemporaryDirectory(prefix="stochastic-depth-") as logs:
        how = LaunchConfig(
            min_nodes=1,
            max_nodes=1,
            nproc_per_node=processes,
            rdzv_backend="c10d",
            rdzv_endpoint="localhost:0",
            run_id=f"stochastic-depth-{os.getpid()}",
            max_restarts=0,
            start_method=method,
            logs_specs=DefaultLogsSpecs(log_dir=logs),
        )
        try:
            elastic_launch(how, _tell)(errors, function, arguments)
        except ChildFailedError as error:
            raise _in_words(error.failures, errors, processes) from error
        except SignalException as error:
            raise SystemExit(128 + error.sigval) from error
        finally:
            for number, handler in handlers.items():  # torch does not put them back
                signal.signal(number, handler)


def rejoin(device: torch.device) -> None:
    """Find the other processes, where torchrun has started them again on one machine.

    Its store still has the addresses of those that have ended, and who reads one waits in vain:
    every restart gets a part of the store to itself. On several machines the restarts that
    each has counted differ, and nothing is done.
    """
    place, restart = Place.here(), int(os.environ.get("TORCHELASTIC_RESTART_COUNT", "0"))
    shared = os.environ.get("TORCHELASTIC_USE_AGENT_STORE") == "True"
    if not (restart and shared and place.nodes == 1 and place.world > 1):
        return
    stores: Any = distributed  # torch documents these two, and declares neither
    store = stores.TCPStore(os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"]))
    distributed.init_process_group(
        distributed.get_default_backend_for_device(device),
        store=stores.PrefixStore(f"restart-{restart}", store),
        rank=place.rank,
        world_size=place.world,
    )


def _start_method() -> str:
    """Return how to start processes: forked from one that has imported torch, if possible."""
    if "forkserver" not in multiprocessing.get_all_start_methods():
        return "spawn"
    multiprocessing.get_context("forkserver").set_forkserver_preload([f"{__package__}._train"])
    return "forkserver"


def _tell(errors: Any, function: Callable[..., Any], arguments: tuple[Any, ...]) -> None:
    """Call the function; hand an error of ours to the process that has started this one."""
    try:
        function(*arguments)
    except StochasticDepthError as error:
        errors.put(error)
        raise


def _in_words(failures: dict[int, Any], errors: Any, processes: int) -> BaseException:
    """Return what to raise for processes that have failed."""
    rank, failure = min(failures.items(), key=lambda pair: (pair[1].exitcode >= 0, pair[0]))
    if failure.exitcode in (TERMINATED, -signal.SIGTERM):
        return SystemExit(TERMINATED)
    if failure.exitcode < 0:
        ended = f"was ended by {failure.signal_name()}"
        return ProcessLost(f"Process {rank} of {processes} {ended}. {REMEDY}")
    if not errors.empty():
        return errors.get()
    return ProcessLost(f"Process {rank} of {processes} failed ({failure.message}). {REMEDY}")


class Ending:
    """SIGTERM and lost processes: how those that train together end together.

    As a context it takes SIGTERM for a wish: the step is finished and a checkpoint written.
    Processes are told at different moments. What each was told goes around with every step,
    and is looked at one step later: by then it is there, and nobody waits for it.
    """

    def __init__(self) -> None:
        self.asked = False
        self._main = False  # outside the context signals are somebody else's
        self._group: Any = None
        self._on_its_way: tuple[Any, torch.Tensor] | None = None

    def __enter__(self) -> "Ending":
        self._main = threading.current_thread() is threading.main_thread()
        self._before = signal.getsignal(signal.SIGTERM)
        if Place.here().world == 1:
            self._listen()
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: Any) -> None:
        if self._main:
            signal.signal(signal.SIGTERM, self._before)
        if self.asked and kind is None:  # it came when there was no step left
            raise SystemExit(TERMINATED)

    def _listen(self) -> None:
        if self._main:  # Python lets no other thread handle signals
            signal.signal(signal.SIGTERM, self._ask)

    def _ask(self, *_: Any) -> None:
        self.asked = True

    def connect(self) -> None:
        """Set up a line between the processes, beside that of the gradients.

        Until all of them have come, SIGTERM ends a process at once: there is nothing to keep, and
        who waits in torch for another that is lost hears of no wish.
        """
        if distributed.is_available() and distributed.is_initialized():
            self._group = distributed.new_group(backend="gloo")
        self._listen()

    def agreed(self) -> bool:
        """Return whether all processes end after this step; they must call this together."""
        if self._group is None:
            return self.asked
        known = False
        if self._on_its_way is not None:
            work, told = self._on_its_way
            work.wait()
            known = bool(told)
        told = torch.tensor([float(self.asked)])
        largest = distributed.ReduceOp.MAX
        work = distributed.all_reduce(told, largest, self._group, async_op=True)
        self._on_its_way = work, told
        return known

    def lost(self) -> bool:
        """Return whether another process has ended, after an error in this one."""
        if self._group is None:
            return False
        work = distributed.barrier(self._group, async_op=True)
        try:
            work.wait(PATIENCE)
        except RuntimeError:
            # The connection to a process that has ended fails at once; a busy one is slow.
            return bool(work.is_completed())
        return False


def new_fabric(config: RunConfig, blocks: Sequence[Block], directory: Path) -> Fabric:
    """Return Lightning's Fabric of a run: devices, precision, processes and loggers."""
    nodes = Place.here().nodes
    return Fabric(
        accelerator=config.accelerator,
        devices=config.processes // nodes,
        num_nodes=nodes,
        strategy=_strategy(config, blocks),
        precision=PRECISION[config.precision],
        loggers=[
            logger.build(save_dir=str(directory)) if logger.accepts("save_dir") else logger.build()
            for logger in config.loggers
        ],
    )


def _strategy(config: RunConfig, blocks: Sequence[Block]) -> Any:
    """Return what Fabric calls that by which processes train together."""
    if config.processes == 1:
        return "auto"
    if config.strategy == "ddp":
        unused = config.depth.enabled and config.depth.dropped_grads == "none"
        return DDPStrategy(find_unused_parameters=unused)

    def shard(model: nn.Module, mesh: DeviceMesh) -> nn.Module:
        # Block by block: one that no process runs is not reduced.
        for path in filter(None, (block.path for block in blocks)):
            fully_shard(model.get_submodule(path), mesh=mesh["data_parallel"])
        fully_shard(model, mesh=mesh["data_parallel"])
        return model

    return ModelParallelStrategy(shard, data_parallel_size=config.processes, tensor_parallel_size=1)


@contextmanager
def quiet() -> Iterator[None]:
    """Silence what Lightning tells its own developers; errors come through."""
    loggers = [logging.getLogger(name) for name in LIGHTNING_LOGGERS]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", module=r"lightning\.")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)

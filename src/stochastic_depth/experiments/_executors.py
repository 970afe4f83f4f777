"""Executors: processes of this machine, or a Ray cluster.

Each run has its own process, so that none can take down the others.
"""

import gc
import multiprocessing
import os
import signal
import threading
from concurrent.futures import Future, ThreadPoolExecutor
from importlib.util import find_spec
from multiprocessing.connection import wait
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any, Self

from .._errors import Unsupported
from .._mappings import read_json
from ._jobs import Job, RunOne

PATIENCE = 10.0  # seconds in which a run must end by itself once it is told to


class Failed(Exception):
    """A run failed; the message says how."""


class LocalExecutor:
    """Processes of this machine, each watched by a thread.

    Args:
        processes: Greatest number of runs at a time.
    """

    def __init__(self, processes: int) -> None:
        self._threads = ThreadPoolExecutor(processes)
        self._live: set[BaseProcess] = set()
        # Starting a process also collects the exit codes of finished ones, which no other thread
        # could then read.
        self._lock = threading.Lock()
        self._closed = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self._threads.shutdown(wait=False, cancel_futures=True)
        with self._lock:
            self._closed = True
            for process in self._live:
                process.terminate()
            for process in self._live:
                process.join(PATIENCE)
                if process.is_alive():
                    process.kill()
                    process.join()
        self._threads.shutdown()

    def submit(self, run_one: RunOne, job: Job) -> Future[None]:
        """Do a run as soon as one of the threads is free."""
        return self._threads.submit(self._watch, run_one, job)

    def explain(self, error: BaseException, job: Job) -> str:
        """Return the message, which is one line already."""
        return str(error)

    def _watch(self, run_one: RunOne, job: Job) -> None:
        with self._lock:
            if self._closed:
                raise Failed("stopped before it began")
            process = _context().Process(target=_child, args=(run_one, job), name=job.key)
            process.start()
            self._live.add(process)
        wait([process.sentinel])
        with self._lock:
            process.join()
            self._live.discard(process)
        if process.exitcode:
            raise Failed(_last_words(process.exitcode, job))


class RayExecutor:
    """Ray tasks; Ray decides where they run and how many at a time.

    Each has as many cores as its configuration has threads. Directories must mean the same
    on every machine.

    Args:
        address: Of a cluster; None starts one on this machine for the time of these runs.

    Raises:
        Unsupported: Ray is not installed.
    """

    def __init__(self, address: str | None = None) -> None:
        if find_spec("ray") is None:
            raise Unsupported(
                "Sweeping on Ray needs Ray, which is not installed. "
                "Install it with: pip install 'stochastic-depth[cluster]'"
            )
        import ray

        self._ray: Any = ray
        self._address = address or "local"

    def __enter__(self) -> Self:
        """Join the cluster; raises `ConnectionError` if there is none at the address."""
        self._ray.init(address=self._address, log_to_driver=False, logging_level="error")
        return self

    def __exit__(self, *error: object) -> None:
        self._ray.shutdown()

    def submit(self, run_one: RunOne, job: Job) -> Future[None]:
        """Hand a run over to Ray."""
        gpus = self._ray.cluster_resources().get("GPU", 0)
        wants_gpu = bool(gpus) and job.config.accelerator != "cpu"
        # One call per process: each run has a fresh process, like a program of its own.
        options = {"max_calls": 1, "max_retries": 0, "num_gpus": int(wants_gpu)}
        task = self._ray.remote(num_cpus=job.config.threads or 1, **options)(_do_in)
        future: Future[None] = task.options(name=job.key).remote(Path.cwd(), run_one, job).future()
        return future

    def explain(self, error: BaseException, job: Job) -> str:
        """Return what the run raised, or how Ray lost it."""
        cause = getattr(error, "cause", None)
        return str(cause) if cause else f"{str(error).partition(chr(10))[0]}; see {job.log}"


def _context() -> Any:
    """Return how to start processes: forked from one that has imported everything, if possible."""
    if "forkserver" not in multiprocessing.get_all_start_methods():
        return multiprocessing.get_context("spawn")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([__name__, "stochastic_depth.training._train"])
    return context


def _child(run_one: RunOne, job: Job) -> None:
    """Do one run, in a process of its own."""
    # Ctrl-C reaches the whole process group; the parent decides what happens to its runs.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_die_with_parent, daemon=True).start()
    _do(run_one, job)


def _do_in(directory: Path, run_one: RunOne, job: Job) -> None:
    """Do one run in the driver's directory, because its configuration may have relative paths."""
    os.chdir(directory)
    _do(run_one, job)


def _do(run_one: RunOne, job: Job) -> None:
    """Do one run, and send everything this process prints to its log."""
    # Nothing the libraries created is garbage. One search of it takes as long as several
    # epochs of a small network, and would be charged to whichever variant it hits.
    gc.freeze()
    job.log.parent.mkdir(parents=True, exist_ok=True)
    with job.log.open("a", encoding="utf-8") as output:
        os.dup2(output.fileno(), 1)
        os.dup2(output.fileno(), 2)
    run_one(job.config, job.directory, variant=job.variant, command=job.command, progress=False)


def _die_with_parent() -> None:
    """End this process when its parent dies: a killed comparison leaves no runs behind."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        wait([parent.sentinel])
        os._exit(1)


def _last_words(exitcode: int, job: Job) -> str:
    """Return the last words of a failed run."""
    if exitcode < 0:
        return f"ended by {signal.Signals(-exitcode).name}; see {job.log}"
    record = job.directory / "run.json"
    if record.exists() and (error := read_json(record).get("error")):
        return str(error)
    text = job.log.read_text(encoding="utf-8") if job.log.exists() else ""
    lines = [line for line in text.splitlines() if line.strip()]
    return lines[-1] if lines else f"ended without a message; see {job.log}"

"""Runs in processes of their own: several at a time, none of which can take the others down."""

import gc
import multiprocessing
import os
import signal
import threading
from collections import deque
from collections.abc import Callable, Sequence
from multiprocessing.connection import wait
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any, TypeAlias

from ..training.run_record import read_json
from ._jobs import Job
from ._progress import Progress

PATIENCE = 10.0  # seconds a run has to end by itself once it is told to
GLANCE = 0.3  # seconds between two looks at the progress of the runs

RunOne: TypeAlias = Callable[..., Any]
"""Does one run, called as `stochastic_depth.training.train` is. A function of a module."""


def run_all(
    jobs: Sequence[Job], progress: Progress, *, run_one: RunOne, processes: int
) -> dict[str, str]:
    """Do the jobs, at most `processes` at a time; leave no process behind, whatever happens.

    Args:
        jobs: Started in this order.
        progress: Is told of every start, epoch and end.
        run_one: Does one run.
        processes: Greatest number of runs at a time.

    Returns:
        What went wrong, by the key of the job; empty when nothing did.
    """
    waiting, failures = deque(jobs), dict[str, str]()
    live: dict[str, tuple[Job, BaseProcess]] = {}
    try:
        while waiting or live:
            while waiting and len(live) < processes:
                job = waiting.popleft()
                live[job.key] = (job, _start(job, run_one))
                progress.started(job)
            wait([process.sentinel for _, process in live.values()], timeout=GLANCE)
            progress.look(job for job, _ in live.values())
            for job, process in [pair for pair in live.values() if not pair[1].is_alive()]:
                del live[job.key]
                failure = _failure(job, process)
                failures |= {job.key: failure} if failure else {}
                progress.ended(job, failure)
    finally:
        _stop([process for _, process in live.values()])
    return failures


def _start(job: Job, run_one: RunOne) -> BaseProcess:
    process = _context().Process(target=_child, args=(run_one, job), name=job.key)
    process.start()
    return process


def _context() -> Any:
    """Return how to start processes: forked from one that has imported torch, if possible."""
    if "forkserver" not in multiprocessing.get_all_start_methods():
        return multiprocessing.get_context("spawn")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["stochastic_depth.training._train"])
    return context


def _child(run_one: RunOne, job: Job) -> None:
    """Do one run, in a process of its own."""
    # Ctrl-C reaches the whole process group; the parent decides what becomes of its runs.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_die_with_parent, daemon=True).start()
    do(run_one, job)


def do(run_one: RunOne, job: Job) -> None:
    """Do one run; what it prints goes to its log, from this process for good."""
    # Nothing the libraries have made is garbage. Searching it once takes as long as several
    # epochs of a small network, and would be charged to whichever variant it hits.
    gc.freeze()
    job.log.parent.mkdir(parents=True, exist_ok=True)
    with job.log.open("a", encoding="utf-8") as output:
        os.dup2(output.fileno(), 1)
        os.dup2(output.fileno(), 2)
    run_one(job.config, job.directory, variant=job.variant, command=job.command, progress=False)


def _die_with_parent() -> None:
    """End this process when its parent is gone: a killed comparison leaves no runs behind."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        wait([parent.sentinel])
        os._exit(1)


def _failure(job: Job, process: BaseProcess) -> str:
    """Return what went wrong with a run that has ended, or nothing."""
    if process.exitcode == 0:
        return ""
    if process.exitcode is not None and process.exitcode < 0:
        return f"ended by {signal.Signals(-process.exitcode).name}; see {job.log}"
    record = job.directory / "run.json"
    error = read_json(record).get("error") if record.exists() else None
    return str(error or _last_line(job.log))


def _last_line(log: Path) -> str:
    text = log.read_text(encoding="utf-8") if log.exists() else ""
    lines = [line for line in text.splitlines() if line.strip()]
    return lines[-1] if lines else f"ended without a word; see {log}"


def _stop(processes: Sequence[BaseProcess]) -> None:
    for process in processes:
        process.terminate()
    for process in processes:
        process.join(PATIENCE)
        if process.is_alive():
            process.kill()
            process.join()

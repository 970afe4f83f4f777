"""Runs on a Ray cluster: on one machine, or on all that share the file system of the runs."""

import os
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import Any

from .._errors import Unsupported
from ._jobs import Job
from ._processes import GLANCE, RunOne, do
from ._progress import Progress


def run_all_on_ray(
    jobs: Sequence[Job], progress: Progress, *, run_one: RunOne, address: str | None = None
) -> dict[str, str]:
    """Do the jobs as tasks of Ray, which decides where and how many at a time.

    Each has a process of its own, and as many cores as its configuration has threads.

    Args:
        jobs: Their directories must mean the same on every machine.
        progress: Is told of every epoch and end.
        run_one: Does one run.
        address: Of a cluster; None starts one on this machine for the time of these jobs.

    Returns:
        What went wrong, by the key of the job; empty when nothing did.

    Raises:
        Unsupported: Ray is not installed.
        ConnectionError: There is no cluster at the address.
    """
    ray = require_ray()
    ray.init(address=address or "local", log_to_driver=False, logging_level="error")
    failures: dict[str, str] = {}
    try:
        waiting = _submit(ray, jobs, run_one)
        while waiting:
            ended, _ = ray.wait(list(waiting), timeout=GLANCE)
            progress.look(waiting.values())
            for task in ended:
                job = waiting.pop(task)
                failure = _failure(ray, task, job)
                failures |= {job.key: failure} if failure else {}
                progress.ended(job, failure)
    finally:
        ray.shutdown()
    return failures


def require_ray() -> ModuleType:
    """Return Ray.

    Raises:
        Unsupported: It is not installed.
    """
    if find_spec("ray") is None:
        raise Unsupported(
            "Sweeping on Ray needs Ray, which is not installed. "
            "Install it with: pip install 'stochastic-depth[cluster]'"
        )
    import ray

    return ray


def _submit(ray: Any, jobs: Sequence[Job], run_one: RunOne) -> dict[Any, Job]:
    """Hand over the jobs in their order; return them by task."""
    gpus = ray.cluster_resources().get("GPU", 0)
    tasks = {}
    for job in jobs:
        wants_gpu = bool(gpus) and job.config.accelerator != "cpu"
        # One call per process: a run finds the process, and leaves it, like a program of its own.
        options = {"max_calls": 1, "max_retries": 0, "num_gpus": int(wants_gpu)}
        task = ray.remote(num_cpus=job.config.threads or 1, **options)(_do_in)
        tasks[task.options(name=job.key).remote(Path.cwd(), run_one, job)] = job
    return tasks


def _do_in(directory: Path, run_one: RunOne, job: Job) -> None:
    """Do one run where the driver runs: the paths of its configuration may be relative."""
    os.chdir(directory)
    do(run_one, job)


def _failure(ray: Any, task: Any, job: Job) -> str:
    """Return what went wrong with a task that has ended, or nothing."""
    try:
        ray.get(task)
    except ray.exceptions.RayTaskError as error:
        return str(error.cause or error)
    except ray.exceptions.RayError as error:
        return f"{str(error).partition(chr(10))[0]}; see {job.log}"
    return ""

"""Stand-ins for training that runs in a process of its own: they write a record, or fail."""

import json
import os
import shutil
import signal
import time
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import polars as pl

from stochastic_depth._errors import StochasticDepthError, TrainingDiverged
from stochastic_depth.experiments import CONSTANT_AGAINST_STOCHASTIC, compare
from stochastic_depth.training import RunConfig

from .records import write_run


def write_record(config: RunConfig, directory: Path, *, variant: str, **options: Any) -> None:
    """Write a finished record of `config` and leave a mark that this was done."""
    marks = directory.parent.parent / "marks"
    marks.mkdir(exist_ok=True)
    name = f"{variant}-{config.seed}-{time.time_ns()}"
    (marks / name).write_text(str(os.getpid()))
    last = 0.5 if config.depth.enabled else 1.0
    mapping = config.to_mapping()
    shutil.rmtree(directory, ignore_errors=True)
    write_run(directory, variant=variant, seed=config.seed, last=last, config=mapping)


def diverge_once_random(config: RunConfig, directory: Path, **options: Any) -> None:
    """Fail at random depth, in words; write the record at constant depth."""
    if config.depth.enabled:
        raise TrainingDiverged("the loss became NaN in step 7")
    write_record(config, directory, **options)


def be_killed_at_random_depth(config: RunConfig, directory: Path, **options: Any) -> None:
    """Die as a process dies that has used up the memory."""
    if config.depth.enabled:
        os.kill(os.getpid(), signal.SIGKILL)
    write_record(config, directory, **options)


def never_end(config: RunConfig, directory: Path, **options: Any) -> None:
    """Say who one is, and go on for longer than any test waits."""
    directory.mkdir(parents=True)
    (directory / "pid").write_text(str(os.getpid()))
    time.sleep(600)


def compare_without_end(config: RunConfig, out: Path) -> None:
    """Start a comparison whose runs do not end; to be killed."""
    compare(config, CONSTANT_AGAINST_STOCHASTIC, (0,), out, processes=2, run_one=never_end)


class Inline:
    """An executor in this process: no process is started, and a run may be a closure."""

    def __init__(self, *_: Any) -> None:
        pass

    def __enter__(self) -> "Inline":
        return self

    def __exit__(self, *error: object) -> None:
        pass

    def submit(self, run_one: Any, job: Any) -> "Future[None]":
        future: Future[None] = Future()
        try:
            run_one(job.config, job.directory, variant=job.variant, command="", progress=False)
            future.set_result(None)
        except StochasticDepthError as error:
            future.set_exception(error)
        return future

    def explain(self, error: BaseException, job: Any) -> str:
        return str(error)


def told(errors: Any, trained: float = 0.0, done: list[tuple[str, int]] | None = None) -> Any:
    """Return a stand-in for training whose validation error is `errors(config)`.

    Its training error is `trained`; what it has done is added to `done`.
    """

    def run_one(config: RunConfig, directory: Path, *, variant: str, **options: Any) -> None:
        error = errors(config)
        if done is not None:
            done.append((variant, config.seed))
        mapping, last = config.to_mapping(), 0.5 if config.depth.enabled else 1.0
        shutil.rmtree(directory, ignore_errors=True)
        write_run(
            directory, variant=variant, seed=config.seed, last=last, config=mapping,
            epochs=2, steps_per_epoch=2, validation=50,
        )  # fmt: skip
        table = pl.read_csv(directory / "metrics.csv")
        table.with_columns(validation_error=pl.lit(float(error))).write_csv(
            directory / "metrics.csv"
        )
        file = directory / "run.json"
        run = json.loads(file.read_text())
        run["summary"]["train_error_final"] = trained
        file.write_text(json.dumps(run))

    return run_one

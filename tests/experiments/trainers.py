"""Stand-ins for training that runs in a process of its own: they write a record, or fail."""

import os
import shutil
import signal
import time
from pathlib import Path
from typing import Any

from stochastic_depth._errors import TrainingDiverged
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

"""One run, from its configuration to its record."""

import signal
from collections.abc import Mapping
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch.utilities.exceptions import SIGTERMException

from .._errors import ProcessLost
from . import _record
from ._checkpoint_io import LAST, PREVIOUS, newest
from ._config import RunConfig
from ._directory import RunDirectory
from ._fit import fit
from ._prepare import Prepared, prepare
from ._processes import Place, launch, lost, must_launch
from ._quiet import quiet


def train(
    config: RunConfig,
    directory: str | Path,
    *,
    variant: str | None = None,
    command: str = "",
    progress: bool = True,
) -> dict[str, Any]:
    """Train in `directory`, or go on with the training that was begun there.

    A directory that holds a run of this configuration is resumed from its last
    checkpoint, and ends with the weights that an uninterrupted run would have had: bit
    for bit on the processor of the same machine with the same threads and processes. A
    finished run is left as it is. Several processes are started here, unless torchrun has
    started this one beside others. The global random generators are seeded.

    Args:
        config: of the run.
        directory: created if missing; nothing is written before the run could start.
        variant: its name in a comparison; by default whether its depth is constant.
        command: the command line that asked for it, for the record.
        progress: whether to draw a progress line.

    Returns:
        What `run.json` says.

    Raises:
        RunDirectoryInUse: the directory holds another configuration or other files, or
            another process trains there.
        ProcessLost: one of several processes that train together has ended.
        TrainingDiverged: the loss became NaN or infinite. The last good checkpoint stays.
        CheckpointError: there are checkpoints, and none can be read.
        StochasticDepthError: the configuration cannot be met.
        SystemExit: SIGTERM came; a checkpoint was written first.
    """
    run = RunDirectory(directory)
    if must_launch(config.processes):
        asked = {"variant": variant, "command": command, "progress": progress}
        return _in_processes(config, run, **asked)
    if config.threads is not None:
        torch.set_num_threads(config.threads)
    writes = Place.here().writes
    with quiet():
        prepared = prepare(config)
        with run.claim(config) if writes else nullcontext():
            if run.read_run().get("status") != "finished":
                _run(prepared, run, variant=variant, command=command, progress=progress and writes)
            return run.read_run()


def _in_processes(config: RunConfig, run: RunDirectory, **asked: Any) -> dict[str, Any]:
    """Train in processes that are started for it."""
    run.holds(config)  # refused here, it is refused in one voice
    try:
        launch(_train_beside_others, config.processes, config, run.path, asked)
    except ProcessLost as error:
        if record := run.read_run():
            run.write_run(record | _failed(error))
        raise
    return run.read_run()


def _train_beside_others(config: RunConfig, directory: Path, asked: dict[str, Any]) -> None:
    train(config, directory, **asked)


def _run(
    prepared: Prepared, run: RunDirectory, *, variant: str | None, command: str, progress: bool
) -> None:
    checkpoint = newest(run.checkpoints)
    record = _record.opening(prepared, run.read_run(), variant=variant, command=command)
    write = run.write_run if Place.here().writes else _leave_it
    if checkpoint == run.checkpoints / PREVIOUS and Place.here().writes:
        # The last one is damaged: it must not take the place of the good one before it.
        (run.checkpoints / LAST).unlink(missing_ok=True)
    write(record)
    try:
        recorder, score = fit(prepared, run, checkpoint, progress=progress)
    except SystemExit as leaving:
        # Lightning turns Ctrl-C into an exit of its own, and SIGTERM into success.
        if isinstance(leaving.__context__, KeyboardInterrupt):
            raise leaving.__context__ from None
        code = 128 + signal.SIGTERM if isinstance(leaving, SIGTERMException) else leaving.code
        raise SystemExit(code) from leaving
    except Exception as error:
        told = lost(error) or error
        try:
            write(record | _failed(told))
        except OSError as unwritten:  # a full disk: what went wrong first is what is said
            told.add_note(f"Nor could this be recorded: {unwritten}")
        if told is error:
            raise
        raise told from error
    summary = _record.summary(recorder.history, recorder.depth, score, recorder.sent)
    write(record | {"status": "finished", "finished": _record.now(), "summary": summary})


def _failed(error: Exception) -> dict[str, Any]:
    return {"status": "failed", "error": str(error), "finished": _record.now()}


def _leave_it(record: Mapping[str, Any]) -> None:
    """Write nothing: another process keeps the record."""

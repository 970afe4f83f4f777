"""One run, from its configuration to its record."""

import signal
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch.utilities.exceptions import SIGTERMException

from . import _record
from ._checkpoint_io import LAST, PREVIOUS, newest
from ._config import RunConfig
from ._directory import RunDirectory
from ._fit import fit
from ._prepare import Prepared, prepare
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
    for bit on the processor of the same machine with the same threads. A finished run is
    left as it is. The global random generators are seeded.

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
        TrainingDiverged: the loss became NaN or infinite. The last good checkpoint stays.
        CheckpointError: there are checkpoints, and none can be read.
        StochasticDepthError: the configuration cannot be met.
        SystemExit: SIGTERM came; a checkpoint was written first.
    """
    if config.threads is not None:
        torch.set_num_threads(config.threads)
    run = RunDirectory(directory)
    with quiet():
        prepared = prepare(config)
        with run.claim(config):
            if run.read_run().get("status") != "finished":
                _run(prepared, run, variant=variant, command=command, progress=progress)
            return run.read_run()


def _run(
    prepared: Prepared, run: RunDirectory, *, variant: str | None, command: str, progress: bool
) -> None:
    checkpoint = newest(run.checkpoints)
    if checkpoint == run.checkpoints / PREVIOUS:
        # The last one is damaged: it must not take the place of the good one before it.
        (run.checkpoints / LAST).unlink(missing_ok=True)
    record = _record.opening(prepared, run.read_run(), variant=variant, command=command)
    run.write_run(record)
    try:
        recorder, score = fit(prepared, run, checkpoint, progress=progress)
    except SystemExit as leaving:
        # Lightning turns Ctrl-C into an exit of its own, and SIGTERM into success.
        if isinstance(leaving.__context__, KeyboardInterrupt):
            raise leaving.__context__ from None
        code = 128 + signal.SIGTERM if isinstance(leaving, SIGTERMException) else leaving.code
        raise SystemExit(code) from leaving
    except Exception as error:
        failed = record | {"status": "failed", "error": str(error), "finished": _record.now()}
        try:
            run.write_run(failed)
        except OSError as unwritten:  # a full disk: what went wrong first is what is said
            error.add_note(f"Nor could this be recorded: {unwritten}")
        raise
    summary = _record.summary(recorder.history, recorder.depth, score)
    run.write_run(record | {"status": "finished", "finished": _record.now(), "summary": summary})

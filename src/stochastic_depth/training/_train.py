"""One run, from its configuration to its record."""

import logging
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from pathlib import Path
from typing import Any

from .._errors import ProcessLost
from .._files import write_text
from . import record
from ._checkpoint import LAST, PREVIOUS, newest, writing
from ._launch import REMEDY, Ending, Place, gathered, launch, must_launch, quiet
from ._loop import fit
from ._prepare import Prepared, prepare
from ._run_config import RunConfig
from ._run_directory import RunDirectory
from .run_record import RunRecord

log = logging.getLogger(__name__)


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
        DataError: what is recorded there is damaged.
        CheckpointError: there are checkpoints, and none can be read.
        StochasticDepthError: the configuration cannot be met.
        SystemExit: SIGTERM came; a checkpoint was written first.
    """
    run = RunDirectory(directory)
    if must_launch(config.processes):
        asked = {"variant": variant, "command": command, "progress": progress}
        return _in_processes(config, run, **asked)
    writes = Place.here().writes
    with quiet():
        prepared = prepare(config)
        with run.claim(config) if writes else nullcontext():
            if run.read_run().get("status") != "finished":
                _run(prepared, run, variant=variant, command=command, progress=progress and writes)
            elif writes:
                RunRecord.read(run.path)  # damaged, it is refused
            return run.read_run()


def _in_processes(config: RunConfig, run: RunDirectory, **asked: Any) -> dict[str, Any]:
    """Train in processes that are started for it."""
    run.holds(config)  # refused here, it is refused in one voice
    try:
        launch(_train_beside_others, config.processes, config, run.path, asked)
    except (ProcessLost, SystemExit) as error:
        # The process that keeps the record may have had no time to say how it ended.
        if run.read_run().get("status", "finished") != "finished":
            _put_on_record(run.write_run, run.read_run(), error)
        raise
    return run.read_run()


def _train_beside_others(config: RunConfig, directory: Path, asked: dict[str, Any]) -> None:
    train(config, directory, **asked)


def _run(
    prepared: Prepared, run: RunDirectory, *, variant: str | None, command: str, progress: bool
) -> None:
    checkpoint = newest(run.checkpoints)
    begun = record.opening(prepared, run.read_run(), variant=variant, command=command)
    write = run.write_run if Place.here().writes else _leave_it
    if checkpoint == run.checkpoints / PREVIOUS and Place.here().writes:
        # The last one is damaged: it must not take the place of the good one before it.
        (run.checkpoints / LAST).unlink(missing_ok=True)
    for note in prepared.splits.notes if progress else ():
        print(f"{prepared.config.data.name}: {note}")
    if prepared.splits.tokenizer is not None and Place.here().writes:
        write_text(run.path / "tokenizer.json", prepared.splits.tokenizer)
    with Ending() as ending:
        write(begun)
        try:
            summary = fit(prepared, run, checkpoint, ending, progress=progress)
            _note_skipped(begun["data"], prepared)
        except (SystemExit, KeyboardInterrupt) as wish:
            _put_on_record(write, begun, wish)
            raise
        except Exception as error:
            lost = ProcessLost(f"Another process of this run has ended. {REMEDY}")
            told = lost if ending.lost() else error
            _put_on_record(write, begun, told)
            if told is error:
                raise
            raise told from error
        with writing(run.path / "run.json"):
            write(begun | record.finished(summary))


def _put_on_record(
    write: Callable[[Mapping[str, Any]], None], begun: Mapping[str, Any], error: BaseException
) -> None:
    """Say in `run.json` how a run has ended; what ended it matters more than a full disk."""
    try:
        write({**begun, **record.ended(error)})
    except OSError as unwritten:
        error.add_note(f"Nor could this be recorded: {unwritten}")


def _note_skipped(data: dict[str, Any], prepared: Prepared) -> None:
    """Put on the record which images no process could read, and say how many they are."""
    found = gathered(prepared.splits.skipped)
    data["skipped"] = sorted({*data["skipped"], *(trouble for part in found for trouble in part)})
    if data["skipped"]:
        number = len(data["skipped"])
        log.warning("%d images could not be read and were skipped; run.json names them.", number)


def _leave_it(record: Mapping[str, Any]) -> None:
    """Write nothing: another process keeps the record."""

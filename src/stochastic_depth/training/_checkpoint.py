"""Checkpoints: what they hold, how they are written whole, and which one to go on from."""

import logging
import math
import random
import shutil
import zipfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from lightning.fabric import seed_everything
from lightning_utilities import apply_to_collection
from torch import Tensor, nn
from torch.distributed.tensor import DTensor, distribute_tensor
from torch.optim import Optimizer

from .._errors import CheckpointError, TrainingDiverged
from .._files import atomic_write
from ..gates import stream

LAST, PREVIOUS, BEST = "last.ckpt", "previous.ckpt", "best.ckpt"
REMEDY = (
    "The last good checkpoint is kept. "
    "Lower learning_rate.initial, or lengthen learning_rate.warmup_epochs."
)
log = logging.getLogger(__name__)


def write(state: Mapping[str, Any], path: Path) -> None:
    """Write a checkpoint, whole or not at all.

    The one that `last.ckpt` replaces stays as `previous.ckpt`.

    Raises:
        CheckpointError: it cannot be written; the one before it stays.
    """
    keep = path.with_name(PREVIOUS) if path.name == LAST else None
    with writing(path):
        path.parent.mkdir(exist_ok=True)
        with atomic_write(path, keep=keep) as file:
            torch.save(state, file)


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Say of a file of a run, where writing it fails, what stays and what to do.

    Raises:
        CheckpointError: it cannot be written, or the file that it replaces not be kept.
    """
    try:
        yield
    except (OSError, RuntimeError) as error:  # RuntimeError is what torch makes of the former
        raise CheckpointError(
            f"{path} cannot be written ({_trouble(error, path)}). The last good checkpoint "
            "stays: see to the disk, and train in this directory again to go on from there."
        ) from error


def _trouble(error: Exception, path: Path) -> str:
    """Return what stands in the way of a file, in the words of the system where it has some."""
    # torch reports a write that failed as a position that it did not expect.
    cause = error if isinstance(error, OSError) else error.__cause__ or error.__context__
    if isinstance(cause, OSError) and cause.strerror:
        return cause.strerror
    free = shutil.disk_usage(path.parent).free if path.parent.is_dir() else 0
    return f"{free / 2**20:.1f} MB are free"


def read(path: Path) -> dict[str, Any]:
    """Read a checkpoint: tensors and plain values, no code, every part against its checksum.

    Raises:
        CheckpointError: the file is missing, truncated or altered.
    """
    try:
        # torch.save writes a zip archive with checksums, which torch.load does not look at.
        with zipfile.ZipFile(path) as archive:
            altered = archive.testzip()
        if altered is not None:
            raise CheckpointError(f"{path} is damaged: {altered} does not match its checksum.")
        state = torch.load(path, map_location="cpu", weights_only=True)
        if not (isinstance(state, dict) and isinstance(state.get("step"), int)):
            raise CheckpointError(f"{path} must say its step; another program has written it.")
        return state
    except CheckpointError:
        raise
    except Exception as error:  # damaged bytes fail in the archive, the pickle or the tensors
        reason = str(error).partition("\n")[0]
        raise CheckpointError(f"{path} is damaged ({reason}).") from error


@contextmanager
def of_this_run(path: Path) -> Iterator[None]:
    """Say of a checkpoint that it is of another run, where taking its state fails.

    Raises:
        CheckpointError: its entries are not those that this run would have written.
    """
    try:
        yield
    except (AttributeError, IndexError, KeyError, RuntimeError, TypeError, ValueError) as error:
        raise CheckpointError(
            f"{path} must be of this run; its entries do not fit the network, the optimizer or "
            "the record. Train in another directory."
        ) from error


def newest(directory: Path) -> Path | None:
    """Return the newest checkpoint that can be read, None where there is none at all.

    Says so where the last one is damaged and the one before is taken.

    Raises:
        CheckpointError: there are checkpoints, and none of them can be read.
    """
    problems: list[str] = []
    for path in (directory / LAST, directory / PREVIOUS):
        if not path.exists():
            continue
        try:
            read(path)
        except CheckpointError as error:
            problems.append(str(error))
            continue
        if problems:
            log.warning("%s Resuming from %s, the one before it.", problems[0], path)
        return path
    if problems:
        raise CheckpointError(f"{' '.join(problems)} Train in another directory.")
    return None


def whole(state: Any) -> Any:
    """Return a state with every sharded tensor in one piece; all processes must call this."""
    return apply_to_collection(state, DTensor, DTensor.full_tensor)


def load_model(model: nn.Module, state: Mapping[str, Tensor]) -> None:
    """Load weights that were saved in one piece, each process its shard."""
    own = model.state_dict()
    model.load_state_dict({name: _as_shard(value, own.get(name)) for name, value in state.items()})


def load_optimizer(optimizer: Optimizer, state: Mapping[str, Any]) -> None:
    """Load the state of an optimizer that was saved in one piece, each process its shard."""
    weights = [weight for group in optimizer.param_groups for weight in group["params"]]
    own = {
        index: {
            name: _as_shard(value, weights[index]) if isinstance(value, Tensor) else value
            for name, value in entry.items()
        }
        for index, entry in state["state"].items()
    }
    optimizer.load_state_dict({**state, "state": own})


def _as_shard(value: Tensor, like: Tensor | None) -> Tensor:
    """Return the shard of `value` that `like` is of its own; all of it if `like` is whole."""
    if not isinstance(like, DTensor) or value.shape != like.shape:
        return value
    return distribute_tensor(value.to(like.device), like.device_mesh, like.placements)


def random_state() -> dict[str, Any]:
    """Return the states of the global generators as tensors and plain numbers.

    Gates and batches have streams of their own; this is for whatever else the network
    draws, such as dropout.
    """
    numpy_state: Any = np.random.get_state(legacy=False)
    words = numpy_state["state"] | {"key": numpy_state["state"]["key"].tolist()}
    return {
        "python": random.getstate(),
        "numpy": numpy_state | {"state": words},
        "torch": torch.get_rng_state(),
        "cuda": torch.cuda.get_rng_state_all(),
    }


def set_random_state(states: Iterable[Mapping[str, Any]], rank: int, seed: int, step: int) -> None:
    """Set the global generators to the states of a checkpoint, given for each process.

    A process that the checkpoint does not know gets a stream of its own; the first one
    keeps the state it has where there is no checkpoint.
    """
    known = list(states)
    if rank < len(known):
        random.setstate(known[rank]["python"])
        np.random.set_state(known[rank]["numpy"])
        torch.set_rng_state(known[rank]["torch"])
        torch.cuda.set_rng_state_all(known[rank]["cuda"])
    elif rank:
        seed_everything(stream(seed, step, rank).initial_seed() % 2**32, verbose=False)


def check_finite(quantity: str, value: float, step: int) -> None:
    """Refuse a number that is NaN or infinite.

    Raises:
        TrainingDiverged: it is.
    """
    if not math.isfinite(value):
        raise TrainingDiverged(
            f"The {quantity} must stay finite; at step {step} it is {value}. {REMEDY}"
        )


def check_finite_state(model: nn.Module, step: int) -> None:
    """Refuse parameters and buffers that are NaN or infinite. Waits for the device.

    Raises:
        TrainingDiverged: some are.
    """
    for name, tensor in model.state_dict().items():
        local = tensor.to_local() if isinstance(tensor, DTensor) else tensor
        if not torch.isfinite(local).all():
            raise TrainingDiverged(f"{name} must stay finite; at step {step} it is not. {REMEDY}")

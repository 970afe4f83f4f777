"""A trained network and its stochastic depth, back from a run directory."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .._errors import CheckpointError
from ._checkpoint import newest, of_this_run, read
from ._prepare import Prepared, prepare
from ._recipes import load, override
from ._run_directory import RunDirectory


@dataclass(frozen=True)
class Restored:
    """A run as a checkpoint has it.

    Attributes:
        prepared: the run; its model, in evaluation mode, has the weights of the checkpoint,
            its handle the survival probabilities.
        directory: of the run.
        checkpoint: the file.
        step: training steps done.
    """

    prepared: Prepared
    directory: Path
    checkpoint: Path
    step: int


def restore(path: str | Path, data_dir: str | None = None) -> Restored:
    """Return the network of a run with the weights of a checkpoint.

    Args:
        path: a run directory, for its newest checkpoint, or a file in its `checkpoints/`.
        data_dir: where the images, or the text, are now, if they have moved.

    Raises:
        CheckpointError: no run or no checkpoint there, or one that is damaged or of another.
        DataError: `run.json` is damaged.
        DataError: the images of the run cannot be found.
    """
    path = Path(path)
    directory = path.parent.parent if path.is_file() else path
    configuration = directory / "config.yaml"
    if not configuration.is_file():
        raise CheckpointError(
            f"{path} must be a run directory or a checkpoint in one; there is no {configuration}."
        )
    RunDirectory(directory).read_run()  # damaged, it is refused by every verb
    checkpoint = path if path.is_file() else newest(directory / "checkpoints")
    if checkpoint is None:
        raise CheckpointError(f"{path} must hold a checkpoint; it has none yet. Train first.")
    config = load(configuration, {"accelerator": "cpu"})
    if data_dir is not None:
        field = "data.name" if config.data.is_text else "data.data_dir"
        config = override(config, {field: data_dir})
    prepared = prepare(config)
    state = read(checkpoint)
    with of_this_run(checkpoint):
        prepared.model.load_state_dict(state["model"])
        prepared.model.eval()
        _set_survival(prepared, state)
    return Restored(prepared, directory, checkpoint, state["step"])


def _set_survival(prepared: Prepared, state: dict[str, Any]) -> None:
    """Set the probabilities that were in force after the last step."""
    if prepared.handle is None:
        return
    sense = state.get("sense")
    if sense and sense["estimates"]:
        prepared.handle.survival = sense["estimates"][-1]
    else:
        progress = min(1.0, state["step"] / prepared.num_steps)
        prepared.handle.survival = prepared.curriculum(progress)

"""The runs a comparison consists of, and which of them are still to be done."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from .._errors import RunDirectoryInUse
from ..training import RunConfig
from ..training.run_record import RunRecord
from ._configuration import differing_fields, identity

LOGS = "logs"


@dataclass(frozen=True)
class Job:
    """One run to do.

    Args:
        variant: Name of the variant.
        config: Of the run, seed and all.
        directory: Where the run is recorded.
        log: Where what the run prints is kept.
        command: The command line that asked for it.
    """

    variant: str
    config: RunConfig
    directory: Path
    log: Path
    command: str = ""

    @property
    def key(self) -> str:
        """Name of the run within the comparison."""
        return f"{self.variant}/seed-{self.config.seed}"

    def is_done(self) -> bool:
        """Return whether the run has finished before.

        Raises:
            RunDirectoryInUse: The directory holds a run of another configuration.
        """
        if not (self.directory / "run.json").exists():
            return False
        record = RunRecord.read(self.directory)
        differing = differing_fields(record.config, self.config.to_mapping())
        if differing:
            name, (there, wanted) = next(iter(differing.items()))
            raise RunDirectoryInUse(
                f"{self.directory} holds a run with {name} = {there!r}, and {wanted!r} is asked "
                "for. Ask for the same again, or give another --out."
            )
        return record.status == "finished"


Place = Callable[[str, RunConfig], tuple[Path, Path]]
"""From a variant and a configuration to the directory and the log of the run."""


def by_name(top: Path) -> Place:
    """Return the layout of a comparison: `TOP/VARIANT/seed-K/`, for people to look into."""

    def place(variant: str, config: RunConfig) -> tuple[Path, Path]:
        seed = f"seed-{config.seed}"
        return top / variant / seed, top / LOGS / f"{variant}-{seed}.txt"

    return place


def by_identity(top: Path) -> Place:
    """Return the layout of a sweep: `TOP/runs/IDENTITY/`, whatever else is swept there."""

    def place(variant: str, config: RunConfig) -> tuple[Path, Path]:
        name = identity(config.to_mapping())
        return top / "runs" / name, top / LOGS / f"{name}.txt"

    return place


def all_jobs(
    configs: Mapping[str, RunConfig], seeds: Sequence[int], place: Place, command: str = ""
) -> Iterator[Job]:
    """Yield every run, the variants of one seed next to each other.

    One seed is one draw of everything: images, initial weights, order of batches. Who goes
    first alternates, so that no variant always has the cold machine.
    """
    names = list(configs)
    for turn, seed in enumerate(seeds):
        for name in names if turn % 2 == 0 else reversed(names):
            config = configs[name]
            data = replace(config.data, split_seed=config.data.split_seed + seed)
            config = replace(config, seed=seed, data=data)
            yield Job(name, config, *place(name, config), command)

"""The plan of a study, and the runs it consists of."""

import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any, Self

import torch

from .._checks import count
from .._errors import DataError, RunDirectoryInUse
from .._files import write_text
from .._mappings import read_json
from ..training import RunConfig
from ..training.run_record import RunRecord
from ._configurations import changes_to_recipe, differing_fields, identity, notes_on

PLAN_FILE = "compare.json"
LOGS = "logs"

RunOne = Callable[..., Any]
"""Does one run, with the signature of `stochastic_depth.training.train`; module-level."""


@dataclass(frozen=True)
class Plan:
    """What `compare` or `sweep` was asked to do.

    Args:
        name: Name of the recipe.
        variants: Fields of the recipe that each variant overrides; the first is the baseline.
        seeds: Seeds, one run of each variant per seed.
        processes: Runs trained at the same time.
        threads: Threads of each run.
        command: The command line that asked for it.
        changes: Fields in which the command line changed the recipe.
        notes: What is known about this recipe beyond these runs, in Markdown.
        grid: Values of each axis, where the variants are the cells of a grid.
        failures: Error messages, by `variant/seed-k`.
    """

    name: str
    variants: Mapping[str, Mapping[str, Any]]
    seeds: tuple[int, ...]
    processes: int
    threads: int
    command: str = ""
    changes: Mapping[str, Any] = field(default_factory=dict)
    notes: str = ""
    grid: Mapping[str, Sequence[Any]] = field(default_factory=dict)
    failures: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read `compare.json`."""
        values = read_json(path)
        known = {item.name: values[item.name] for item in fields(cls) if item.name in values}
        try:
            return cls(**known | {"seeds": tuple(values.get("seeds", ()))})
        except TypeError as error:
            raise DataError(f"{path} is not the record of a comparison: {error}.") from error

    def write(self, path: Path) -> None:
        """Write `compare.json`, whole or not at all."""
        write_text(path, json.dumps(asdict(self), indent=2) + "\n")


def make_plan(
    config: RunConfig,
    variants: Mapping[str, Mapping[str, Any]],
    seeds: Sequence[int],
    *,
    processes: int | None,
    command: str,
    grid: Mapping[str, Sequence[Any]] | None = None,
) -> Plan:
    """Return the plan, with the cores divided among concurrent runs.

    Args:
        config: The recipe.
        variants: Overridden fields of each variant, by its name.
        seeds: One run of each variant per seed.
        processes: Runs at a time; by default one for each core, or one on a GPU.
        command: The command line that asked for it.
        grid: Values of each axis, where the variants are the cells of a grid.
    """
    processes, threads = _share_out(config, len(variants) * len(seeds), processes)
    return Plan(
        name=config.name,
        variants=variants,
        seeds=tuple(seeds),
        processes=processes,
        threads=threads,
        command=command,
        changes=changes_to_recipe(config),
        notes=notes_on(config),
        grid=grid or {},
    )


def _share_out(config: RunConfig, runs: int, processes: int | None) -> tuple[int, int]:
    """Return how many runs train at a time, and the threads of each."""
    if processes is None:
        one_gpu = config.accelerator != "cpu" and torch.cuda.is_available()
        processes = 1 if one_gpu else min(_cores(), runs)
    processes = count("processes", processes)
    return processes, config.threads or max(1, _cores() // processes)


def _cores() -> int:
    """Return how many cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


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

    def epochs_recorded(self) -> int:
        """Return how many epochs the run has recorded so far."""
        metrics = self.directory / "metrics.csv"
        return max(0, len(metrics.read_bytes().splitlines()) - 1) if metrics.exists() else 0

    def is_done(self) -> bool:
        """Return whether the run is finished already.

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
                "for. Use that configuration, or give another --out."
            )
        return record.status == "finished"


Layout = Callable[[str, RunConfig], tuple[Path, Path]]
"""From a variant and a configuration to the directory and the log of the run."""


def by_name(top: Path) -> Layout:
    """Return the layout of a comparison: `TOP/VARIANT/seed-K/`, for people to read."""

    def place(variant: str, config: RunConfig) -> tuple[Path, Path]:
        seed = f"seed-{config.seed}"
        return top / variant / seed, top / LOGS / f"{variant}-{seed}.txt"

    return place


def by_identity(top: Path) -> Layout:
    """Return the layout of a sweep: `TOP/runs/IDENTITY/`, shared by all sweeps in `TOP`."""

    def place(variant: str, config: RunConfig) -> tuple[Path, Path]:
        name = identity(config.to_mapping())
        return top / "runs" / name, top / LOGS / f"{name}.txt"

    return place


def all_jobs(
    configs: Mapping[str, RunConfig], seeds: Sequence[int], place: Layout, command: str = ""
) -> Iterator[Job]:
    """Yield all runs, keeping the variants of a seed together.

    One seed is one draw of everything: images, initial weights, order of batches. The
    order alternates, so that no variant always has the cold machine.
    """
    names = list(configs)
    for turn, seed in enumerate(seeds):
        for name in names if turn % 2 == 0 else reversed(names):
            config = configs[name]
            data = replace(config.data, split_seed=config.data.split_seed + seed)
            config = replace(config, seed=seed, data=data)
            yield Job(name, config, *place(name, config), command)

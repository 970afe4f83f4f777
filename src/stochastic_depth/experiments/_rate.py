"""Which survival for these data and this time: constant depth first, then successive halving."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

import torch
from rich.console import Console

from .._checks import count, fail, one_of, positive
from .._errors import DataError, InfeasibleBudget, Unsupported
from ..surgery import Block
from ..training import RunConfig, override
from ..training.run_record import RunRecord
from ._carry_out import carry_out
from ._comparison import Comparison, in_order
from ._configurations import flatten
from ._grid import SEED, Grid, axes, cell_name, cells, overrides
from ._jobs import Plan, RunOne, all_jobs, by_identity, make_plan
from ._rate_result import CONSTANT, VALIDATION_ERROR, Rate, Rung, fits, gap_of
from ._rate_store import Store
from ._statistics import PairedDifference
from ._study import Where, executor

if TYPE_CHECKING:  # it imports Lightning
    from ..training import Prepared

Equal = Literal["epochs", "time"]

CANDIDATES: Grid = {"schedule": ("uniform", "linear"), "budget": (0.6, 0.75, 0.9)}
"""What is tried: 0.9 is mild, linear at 0.75 ends at one half as in Huang et al. 2016."""

BRIEF = 3  # seeds of constant depth by which the gap is judged; fewer leave it open
FIRST = 2  # seeds of each candidate in the first rung; every further rung doubles them
VALIDATED = 0.2  # share of the training images held out where none are
STORE = "study.db"


def rate(
    config: RunConfig,
    out: str | Path,
    *,
    grid: Grid = CANDIDATES,
    seeds: int = 5,
    equal: Equal = "epochs",
    worth: float = 1.0,
    on: Where = "local",
    processes: int | None = None,
    address: str | None = None,
    command: str = "",
    console: Console | None = None,
    run_one: RunOne | None = None,
) -> Rate:
    """Find which survival a network should have on a data set, or that it should have none.

    1. Constant depth trains with three seeds. Where the gap between validation and training
       error is surely below `worth`, the network does not overfit, and that is the answer.
    2. Candidates compete with constant depth by successive halving: two seeds each, then twice
       as many for the better half by mean validation error, until one is left.
    3. If that was lower than constant depth on average, both train with fresh seeds, which had
       no part in the choice. It is recommended if the 95 % interval of the difference on those,
       by Student's t on pairs, lies above 0: a useless schedule is recommended in at most one
       of forty searches.

    A candidate always trains to the end. Halving spends more seeds on the better, not more epochs,
    since short trainings favour weak regularisers. Calling it again goes on where it stopped.

    Args:
        config: The recipe; its seed is the first. A fifth of the training images is held out if
            nothing validates.
        out: Directory of the runs and of the store, `study.db`, of Optuna.
        grid: Candidates, by field as in `sweep`.
        seeds: Fresh seeds, at least 2.
        equal: What all candidates have: as many `"epochs"`, or as much `"time"`, by the cost of
            the blocks that run, so that the saving is spent on more epochs.
        worth: The smallest gain in points of error worth having, positive.
        on: As in `sweep`; so are the others.
        processes: Runs at a time on this machine.
        address: Of a Ray cluster.
        command: The command line, to be recorded.
        console: Where progress is shown; the standard error by default.
        run_one: Does one run, in a process of its own.

    Returns:
        The answer, with the runs it rests on.

    Raises:
        InvalidArgument: A candidate or an argument is out of range.
        InfeasibleBudget: The network can have none of the candidates.
        DataError: The data are missing or of one class, or training failed at constant depth or
            with every candidate.
        RunDirectoryInUse: The store in `out` is of another search, or in use.
        Unsupported: Optuna is not installed, or the data are text.

    References:
        Jamieson & Talwalkar 2016, "Non-stochastic best arm identification and hyperparameter
        optimization", algorithm 1.
    """
    count("seeds", seeds, least=2)
    positive("worth", worth)
    one_of("equal", equal, get_args(Equal))
    out = Path(out).absolute()
    base, prepared = _ready(replace(config, threads=config.threads or 1))
    wanted = _candidates(base, grid)
    configs, left_out = _feasible(base, wanted, prepared.blocks, equal)
    asked = {
        "config": base.to_mapping(),
        "candidates": list(wanted),
        "equal": equal,
        "seeds": seeds,
    }
    tried = {name: cell for name, cell in wanted.items() if name in configs}
    schedule = tuple(rungs(len(tried)))
    chosen_by = range(config.seed, config.seed + max(BRIEF, schedule[-1]))
    fresh = range(chosen_by.stop, chosen_by.stop + seeds)
    variants = {CONSTANT: {"depth.enabled": False}} | {n: _fields(c) for n, c in tried.items()}
    every = [*chosen_by, *fresh]
    plan = make_plan(base, variants, every, processes=processes, command=command)
    runs = _Runs(configs, out, plan, (on, address), run_one, console)
    with Store(out / STORE, asked, tried) as store:
        gap = _gap(runs, chosen_by[:BRIEF])
        if fits(gap, worth):
            return Rate(runs.compared(), gap, worth, left_out=left_out)
        seen = _halve(runs, store, schedule, chosen_by)
        if not _lower(seen[-1], runs, chosen_by):
            return Rate(runs.compared(), gap, worth, seen, left_out=left_out)
        runs.train([CONSTANT, *seen[-1].kept], fresh)
        return Rate(runs.compared(), gap, worth, seen, tuple(fresh), left_out)


def rungs(candidates: int) -> Iterator[int]:
    """Yield the seeds of each rung: halving until one candidate is left.

    Example:
        >>> list(rungs(6)), list(rungs(1))
        ([2, 4], [2])
    """
    seeds = FIRST
    while True:
        yield seeds
        candidates, seeds = candidates // 2, 2 * seeds
        if candidates <= 1:
            return


@dataclass
class _Runs:
    """The runs of a search, done as they are asked for."""

    configs: Mapping[str, RunConfig]
    out: Path
    plan: Plan
    where: tuple[Where, str | None]
    run_one: RunOne | None
    console: Console | None
    records: dict[Path, RunRecord] = field(default_factory=dict)  # by directory, in order
    failures: dict[str, str] = field(default_factory=dict)

    def train(self, names: Sequence[str], seeds: Sequence[int]) -> None:
        """Train the missing runs of these candidates with these seeds, side by side."""
        configs = {name: self.configs[name] for name in names}
        asked = all_jobs(configs, seeds, by_identity(self.out), self.plan.command)
        jobs = [job for job in asked if job.directory not in self.records]
        on, address = self.where
        where = executor(on, self.plan.processes, address)
        self.failures |= carry_out(self.plan, jobs, self.out, where, self.run_one, self.console)
        for job in jobs:  # one that failed at once has written nothing
            if (job.directory / "run.json").exists():
                self.records[job.directory] = RunRecord.read(job.directory)

    def compared(self) -> Comparison:
        """Return the runs so far."""
        runs = in_order(tuple(self.records.values()), tuple(self.plan.variants))
        return Comparison(runs, replace(self.plan, failures=self.failures))

    def finished(self, name: str, seeds: Sequence[int]) -> list[RunRecord]:
        """Return the runs of a candidate with these seeds that finished."""
        runs = (run for run in self.records.values() if run.variant == name)
        return [run for run in runs if run.seed in seeds and run.status == "finished"]

    def error(self, name: str, seeds: Sequence[int]) -> float:
        """Return the mean validation error over these seeds; infinite if a run failed."""
        known = [VALIDATION_ERROR(run) for run in self.finished(name, seeds)]
        errors = [error for error in known if error is not None]
        return sum(errors) / len(seeds) if len(errors) == len(seeds) else math.inf


def _ready(config: RunConfig) -> tuple[RunConfig, "Prepared"]:
    """Return a configuration that validates on something, and it prepared at constant depth.

    Refuse data that cannot be judged.
    """
    from ..training import prepare  # it imports Lightning

    if config.data.is_text:
        raise Unsupported(
            "sdepth rate must have labelled images; the data are text. "
            "Compare budgets with sdepth sweep RECIPE --grid budget=0.6:0.9:0.1 instead."
        )
    prepared = prepare(_at_constant_depth(config))
    splits = prepared.splits
    if splits.num_classes < 2:
        raise DataError(
            f"{config.data.name} must have at least two classes; it has one, "
            f"{splits.class_names[0]!r}, and every network is right about it."
        )
    if len(splits.validation):
        return config, prepared
    held_out = max(1, round(VALIDATED * len(splits.train)))
    return replace(config, data=replace(config.data, validation=held_out)), prepared


def _at_constant_depth(config: RunConfig) -> RunConfig:
    return replace(config, depth=replace(config.depth, enabled=False))


def _candidates(base: RunConfig, grid: Grid) -> dict[str, dict[str, Any]]:
    """Return the values of every candidate, by its name."""
    named = axes(grid, list(flatten(base.to_mapping())))
    if SEED in named:
        raise fail("grid", "without seeds, which are counted by --seeds", "the axis seed")
    return {cell_name(cell): cell for cell in cells(named)}


def _fields(cell: Mapping[str, Any]) -> dict[str, Any]:
    return {"depth.enabled": True, **overrides(cell)}


def _feasible(
    base: RunConfig,
    candidates: Mapping[str, Mapping[str, Any]],
    blocks: Sequence[Block],
    equal: Equal,
) -> tuple[dict[str, RunConfig], dict[str, str]]:
    """Return the configurations that this network can have, and why it cannot have the others."""
    configs = {CONSTANT: _at_constant_depth(base)}
    protected = torch.tensor([not block.droppable for block in blocks], dtype=torch.bool)
    left_out: dict[str, str] = {}
    for name, cell in candidates.items():
        config = override(base, _fields(cell))
        try:
            if config.depth.chosen != "sense":  # whose sensitivities come with the weights
                config.depth.survival(len(blocks), protected)
            configs[name] = _lengthened(config) if equal == "time" else config
        except InfeasibleBudget as error:
            left_out[name] = str(error)
    if len(configs) == 1:
        raise InfeasibleBudget(next(iter(left_out.values())))
    return configs, left_out


def _lengthened(config: RunConfig) -> RunConfig:
    """Return a candidate that spends on more epochs what its steps save."""
    from ..training import prepare

    return replace(config, epochs=round(config.epochs / _step_share(prepare(config))))


def _step_share(prepared: "Prepared") -> float:
    """Return the expected cost of a step as a share of that at constant depth."""
    costs = torch.tensor([block.cost for block in prepared.blocks], dtype=torch.float64)
    points = [prepared.curriculum(float(t)) for t in torch.linspace(0, 1, 101)]
    survival = torch.stack(points).double().mean(0)
    saved = (1 - survival) @ costs / costs.sum()
    return float(1 - prepared.network_share * saved)


def _gap(runs: _Runs, seeds: Sequence[int]) -> PairedDifference:
    runs.train([CONSTANT], seeds)
    finished = runs.finished(CONSTANT, seeds)
    if len(finished) < len(seeds):
        key, failure = next(iter(runs.failures.items()))
        raise DataError(f"Constant depth must train before anything else can; {key}: {failure}")
    return gap_of(finished)


def _halve(
    runs: _Runs, store: Store, schedule: Sequence[int], seeds: Sequence[int]
) -> tuple[Rung, ...]:
    alive = tuple(name for name in runs.configs if name != CONSTANT)
    seen = []
    for number in schedule:
        runs.train([CONSTANT, *alive], seeds[:number])
        errors = {name: runs.error(name, seeds[:number]) for name in alive}
        store.report(number, errors)
        alive = store.kept(number, alive)
        if not alive:
            key, failure = next(iter(runs.failures.items()))
            raise DataError(f"Every candidate failed. {key}: {failure}")
        alive = tuple(sorted(alive, key=errors.__getitem__))
        seen.append(Rung(number, errors, alive))
    store.finish(alive[0], seen[-1].errors[alive[0]])
    return tuple(seen)


def _lower(rung: Rung, runs: _Runs, seeds: Sequence[int]) -> bool:
    """Return whether the candidate that is left was below constant depth on average."""
    constant = runs.error(CONSTANT, seeds[: rung.seeds])
    return rung.errors[rung.kept[0]] < constant

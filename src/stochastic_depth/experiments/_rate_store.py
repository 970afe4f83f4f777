"""The store of a search: Optuna's trials, one a candidate, in a file that outlives a kill."""

import json
import math
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from .._errors import DataError, RunDirectoryInUse, Unsupported
from ..training._run_directory import locked
from ._configurations import CIRCUMSTANCES, flatten

if TYPE_CHECKING:
    from optuna import Study, Trial

NAME = "rate"


class Store:
    """Candidates as trials of one Optuna study; a step is a number of seeds.

    Every question is answered from what was reported, so a search that was killed anywhere gets
    the same answers when it is run again. `optuna-dashboard sqlite:///OUT/study.db` shows it.

    Args:
        path: Of the SQLite file.
        asked: All that defines the search.
        candidates: The values of each, by its name.

    Raises:
        Unsupported: Optuna is not installed.
        RunDirectoryInUse: The file holds a search for something else, or one is under way.
        DataError: The file cannot be read.
    """

    def __init__(
        self, path: Path, asked: Mapping[str, Any], candidates: Mapping[str, Mapping[str, Any]]
    ) -> None:
        if find_spec("optuna") is None:
            raise Unsupported(
                "Looking for a rate needs Optuna, which is not installed. "
                "Install it with: pip install 'stochastic-depth[rate]'"
            )
        path.parent.mkdir(parents=True, exist_ok=True)
        busy = (
            f"{path.parent} is in use: another search is under way there. "
            "Wait for it, or give another --out."
        )
        with ExitStack() as held:
            held.enter_context(locked(path.parent, lambda: busy))
            self._study = _open(path)
            _require_same(self._study, asked, path)
            self._trials = _trials(self._study, candidates)
            self._held = held.pop_all()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self._held.close()

    def report(self, step: int, errors: Mapping[str, float]) -> None:
        """Record the mean error of each candidate over `step` seeds.

        Not that of one whose runs failed: the same search, asked for again, tries them again.
        """
        for name, error in errors.items():
            state = self._state(name)
            known = state.state.is_finished() or step in state.intermediate_values
            if math.isfinite(error) and not known:
                self._trials[name].report(error, step)

    def kept(self, step: int, names: Sequence[str]) -> tuple[str, ...]:
        """Return those of `names` that go on from `step`: the better half of those reported."""
        from optuna.trial import TrialState

        reported = [name for name in names if step in self._state(name).intermediate_values]
        kept = tuple(name for name in reported if self._goes_on(name, step))
        for name in reported:
            if name not in kept and self._state(name).state == TrialState.RUNNING:
                self._study.tell(self._trials[name], state=TrialState.PRUNED)
        return kept

    def finish(self, best: str, error: float) -> None:
        """Record which candidate is left at the end, and its last mean error."""
        from optuna.trial import TrialState

        for name, trial in self._trials.items():
            if not self._state(name).state.is_finished():
                left = {"values": error} if name == best else {"state": TrialState.FAIL}
                self._study.tell(trial, **left)

    def _goes_on(self, name: str, step: int) -> bool:
        from optuna.trial import TrialState

        state = self._state(name)
        if state.last_step != step:
            return True  # it went on before this search was killed
        return state.state != TrialState.PRUNED and not self._trials[name].should_prune()

    def _state(self, name: str) -> Any:
        return self._study.trials[self._trials[name].number]


def _open(path: Path) -> "Study":
    import optuna
    from sqlalchemy.exc import SQLAlchemyError

    class Halving(optuna.pruners.BasePruner):
        """Successive halving, with the whole rung known: Jamieson & Talwalkar 2016, algorithm 1."""

        def prune(self, study: "Study", trial: "optuna.trial.FrozenTrial") -> bool:
            """Return whether a trial is in the worse half of those that came as far."""
            step = trial.last_step
            rivals = [
                (other.intermediate_values[step], other.number)
                for other in study.trials
                if step in other.intermediate_values
            ]
            better = sorted(rivals)[: max(1, len(rivals) // 2)]
            return trial.number not in (number for _, number in better)

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    try:
        return optuna.create_study(
            storage=f"sqlite:///{path}",
            study_name=NAME,
            pruner=Halving(),
            load_if_exists=True,
        )
    except (SQLAlchemyError, optuna.exceptions.OptunaError, RuntimeError) as error:
        reason = str(error).partition("\n")[0]
        raise DataError(
            f"{path} must be the store of a search; it cannot be read: {reason}. "
            "Give another --out."
        ) from error


def _require_same(study: "Study", asked: Mapping[str, Any], path: Path) -> None:
    # As it will be read back, where a tuple is a list.
    wanted = json.loads(json.dumps(asked))
    there = study.user_attrs.get("asked")
    if there is None:
        study.set_user_attr("asked", wanted)
        return
    before, now = flatten(there), flatten(wanted)
    for name in dict.fromkeys([*before, *now]):
        if name.removeprefix("config.") in CIRCUMSTANCES or before.get(name) == now.get(name):
            continue
        raise RunDirectoryInUse(
            f"{path} is the store of a search with {name.removeprefix('config.')} = "
            f"{before.get(name)!r}, and {now.get(name)!r} is asked for. Use that configuration, "
            "or give another --out."
        )


def _trials(study: "Study", candidates: Mapping[str, Mapping[str, Any]]) -> dict[str, "Trial"]:
    """Return the trial of each candidate, begun now or before a kill."""
    from optuna import Trial
    from optuna.distributions import BaseDistribution, CategoricalDistribution

    known = {trial.user_attrs.get("name"): trial for trial in study.trials}
    values = {name: {f: _plain(v) for f, v in cell.items()} for name, cell in candidates.items()}
    fields = {field for cell in values.values() for field in cell}
    space: dict[str, BaseDistribution] = {
        field: CategoricalDistribution(list(dict.fromkeys(c[field] for c in values.values())))
        for field in sorted(fields)
    }
    trials = {}
    for name, cell in values.items():
        if name in known:
            trials[name] = Trial(study, known[name]._trial_id)
        else:
            study.enqueue_trial(cell, user_attrs={"name": name})
            trials[name] = study.ask(space)
    return trials


def _plain(value: Any) -> Any:
    """Return a value as Optuna takes it."""
    return value if isinstance(value, str | int | float | None) else str(value)

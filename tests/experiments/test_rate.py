"""Looking for a rate: whose error is told, what is trained, what is concluded, what is refused."""

import io
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console
from scipy import stats

from stochastic_depth._errors import (
    DataError,
    InfeasibleBudget,
    InvalidArgument,
    RunDirectoryInUse,
    TrainingDiverged,
    Unsupported,
)
from stochastic_depth.experiments import CANDIDATES, Rate, _rate, rate
from stochastic_depth.training import RunConfig, load
from tests.experiments.trainers import Inline, told

optuna = pytest.importorskip("optuna")

TINY = {
    "model.init_args.depth": 14,
    "model.init_args.width": 4,
    "data.limit": 40,
    "data.test_limit": 50,
    "data.validation": 50,
    "epochs": 10,
}
FITS = {"trained": 29.5, "worth": 1.5}  # points of training error; the gap of three seeds is small
NOISE = (0.0, 0.4, -0.3, 0.1, -0.2, 0.3, -0.1, 0.2, 0.05, -0.05, 0.15, -0.15)


@pytest.fixture(scope="module")
def config() -> RunConfig:
    return load("demo_digits", TINY)


@pytest.fixture(autouse=True)
def inline(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_rate, "executor", Inline)


def look(config: RunConfig, out: Path, errors: Callable, **options: Any) -> Rate:
    """Look for a rate among networks whose errors are told."""
    tell = {name: options.pop(name) for name in ("trained", "done") if name in options}
    options = {"grid": {"budget": (0.6, 0.9)}} | options
    quiet = Console(file=io.StringIO())
    return rate(config, out, run_one=told(errors, **tell), console=quiet, **options)


def strong_helps(config: RunConfig) -> float:
    """Return 30, less the more is dropped, a little more for uniform; with noise by seed."""
    depth = config.depth
    if not depth.enabled:
        return 30.0 + NOISE[config.seed]
    return 20 + 10 * depth.budget + (depth.schedule == "uniform") + 2 * NOISE[config.seed]


def strong_hurts(config: RunConfig) -> float:
    depth = config.depth
    return 30.0 + NOISE[config.seed] + (10 * (1 - depth.budget) if depth.enabled else 0)


def test_the_best_of_all_is_recommended(config: RunConfig, tmp_path: Path) -> None:
    done: list[tuple[str, int]] = []
    found = look(config, tmp_path, strong_helps, done=done, grid=CANDIDATES)
    assert found.verdict == "recommended"
    assert found.recommended == "schedule=linear budget=0.6"
    # Six candidates with two seeds, the better three with four, constant depth beside them; then
    # the best and constant depth with five seeds that had no part in it.
    assert [(rung.seeds, len(rung.errors), len(rung.kept)) for rung in found.rungs] == [
        (2, 6, 3),
        (4, 3, 1),
    ]
    assert found.fresh == (4, 5, 6, 7, 8)
    assert len(done) == len(set(done)) == 9 + 6 * 2 + 3 * 2 + 5
    fresh = [strong_helps(load_seed(config, seed, 0.6)) for seed in found.fresh]
    constant = [30.0 + NOISE[seed] for seed in found.fresh]
    expected = stats.ttest_rel(constant, fresh).confidence_interval(0.95)
    assert found.confirmation.interval == pytest.approx(tuple(expected))


def load_seed(config: RunConfig, seed: int, budget: float) -> RunConfig:
    level = {"depth.last": None, "depth.budget": budget, "depth.schedule": "linear"}
    return load("demo_digits", TINY | level | {"seed": seed})


def test_what_hurts_is_not_confirmed_at_all(config: RunConfig, tmp_path: Path) -> None:
    found = look(config, tmp_path, strong_hurts)
    assert (found.verdict, found.recommended, found.fresh) == ("not lower", None, ())
    assert found.chosen == "budget=0.9"
    assert found.comparison.seeds == (0, 1, 2)


@pytest.mark.parametrize(
    ("gain", "verdict"), [(0.1, "not shown"), (-2.0, "higher")], ids=["tie", "luck"]
)
def test_the_choice_is_judged_by_fresh_seeds(
    config: RunConfig, tmp_path: Path, gain: float, verdict: str
) -> None:
    def lucky(config: RunConfig) -> float:
        """Be lower in the seeds that choose; elsewhere by `gain`, with noise of its own."""
        if not config.depth.enabled:
            return 30.0 + NOISE[config.seed]
        return 28.0 if config.seed < 3 else 30 - gain + NOISE[-1 - config.seed]

    found = look(config, tmp_path, lucky)
    assert found.verdict == verdict
    assert found.recommended is None


def test_a_network_that_fits_is_told_so_after_three_runs(config: RunConfig, tmp_path: Path) -> None:
    done: list[tuple[str, int]] = []
    found = look(config, tmp_path, strong_helps, done=done, **FITS)
    assert found.verdict == "fits"
    assert done == [("constant", 0), ("constant", 1), ("constant", 2)]
    assert found.gap.interval == pytest.approx((-0.34, 1.41), abs=0.01)
    assert found.gap.differences == pytest.approx([0.5, 0.9, 0.2])


def test_it_fits_only_if_the_whole_interval_says_so(config: RunConfig, tmp_path: Path) -> None:
    # The gap is 0.53 on average, but up to 1.4 would agree with it.
    found = look(config, tmp_path, strong_helps, trained=29.5)
    assert found.verdict == "recommended"


def test_a_killed_search_ends_alike(config: RunConfig, tmp_path: Path) -> None:
    grid = {"schedule": ("uniform", "linear"), "budget": (0.6, 0.9)}
    whole = look(config, tmp_path / "whole", strong_helps, grid=grid)
    done: list[tuple[str, int]] = []

    def killed_after(number: int) -> Callable:
        def errors(config: RunConfig) -> float:
            if len(done) >= number:
                raise KeyboardInterrupt
            return strong_helps(config)

        return errors

    for number in (2, 6, 14, 18):  # in each of the stages
        with pytest.raises(KeyboardInterrupt):
            look(config, tmp_path / "killed", killed_after(number), done=done, grid=grid)
    again = look(config, tmp_path / "killed", strong_helps, done=done, grid=grid)
    assert again.record() | {"seconds": 0} == whole.record() | {"seconds": 0}
    assert len(done) == len(set(done)) == 9 + 4 * 2 + 2 * 2 + 5
    study = optuna.load_study(study_name="rate", storage=f"sqlite:///{tmp_path}/killed/study.db")
    assert sorted(trial.state.name for trial in study.trials) == ["COMPLETE", *["PRUNED"] * 3]
    assert study.best_trial.params == {"depth.schedule": "linear", "depth.budget": 0.6}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"epochs": 11}, "with epochs = 10, and 11 is asked for"),
        ({"seed": 1}, "with seed = 0, and 1 is asked for"),
        ({"data.limit": 41}, "with data.limit = 40, and 41 is asked for"),
    ],
)
def test_the_store_of_another_configuration_is_refused(
    config: RunConfig, tmp_path: Path, changes: dict, message: str
) -> None:
    look(config, tmp_path, strong_helps, **FITS)
    with pytest.raises(RunDirectoryInUse, match=f"study.db is the store of a search {message}"):
        look(load("demo_digits", TINY | changes), tmp_path, strong_helps)


def test_the_store_of_other_candidates_is_refused(config: RunConfig, tmp_path: Path) -> None:
    look(config, tmp_path, strong_helps, **FITS)
    with pytest.raises(RunDirectoryInUse, match=r"with candidates = .*budget=0\.7"):
        look(config, tmp_path, strong_helps, grid={"budget": (0.7,)})
    with pytest.raises(RunDirectoryInUse, match="with equal = 'epochs', and 'time' is asked"):
        look(config, tmp_path, strong_helps, equal="time")


def test_a_damaged_store_is_refused_in_words(config: RunConfig, tmp_path: Path) -> None:
    (tmp_path / "study.db").write_bytes(b"no database" * 100)
    with pytest.raises(DataError, match="study.db must be the store of a search; it cannot be"):
        look(config, tmp_path, strong_helps)


def test_a_database_of_another_program_is_refused_in_words(
    config: RunConfig, tmp_path: Path
) -> None:
    with sqlite3.connect(tmp_path / "study.db") as database:
        database.execute("create table version_info (a integer)")
    database.close()
    with pytest.raises(DataError, match="study.db must be the store of a search"):
        look(config, tmp_path, strong_helps)


def test_equal_time_spends_the_saving_on_epochs(config: RunConfig, tmp_path: Path) -> None:
    found = look(config, tmp_path, strong_helps, equal="time", grid={"budget": (0.5, 0.8)})
    lengths = {run.variant: run.config["epochs"] for run in found.comparison.runs}
    # All blocks of this network cost alike and nearly all of it: the budget is nearly the time.
    assert lengths == {"constant": 10, "budget=0.5": pytest.approx(20, abs=1), "budget=0.8": 12}


def test_a_candidate_that_fails_is_out_and_named(config: RunConfig, tmp_path: Path) -> None:
    def errors(config: RunConfig) -> float:
        if config.depth.budget == 0.6:
            raise TrainingDiverged("the loss became NaN in step 7")
        return strong_helps(config)

    found = look(config, tmp_path, errors)
    assert found.recommended == "budget=0.9"
    assert "NaN in step 7" in found.comparison.failures["budget=0.6/seed-0"]
    assert found.record()["rungs"][0]["errors"]["budget=0.6"] is None


def test_what_failed_is_tried_again(config: RunConfig, tmp_path: Path) -> None:
    def lost(config: RunConfig) -> float:
        raise_at = config.depth.enabled and config.seed == 1
        if raise_at:
            raise TrainingDiverged("no space left on device")
        return strong_helps(config)

    with pytest.raises(DataError, match=r"Every candidate failed\. .*seed-1: no space left"):
        look(config, tmp_path, lost)
    done: list[tuple[str, int]] = []
    assert look(config, tmp_path, strong_helps, done=done).verdict == "recommended"
    assert ("constant", 0) not in done


def test_two_searches_in_one_place_do_not_mix(config: RunConfig, tmp_path: Path) -> None:
    def nested(config: RunConfig) -> float:
        with pytest.raises(RunDirectoryInUse, match="another search is under way there"):
            look(config, tmp_path, strong_helps)
        return strong_helps(config)

    assert look(config, tmp_path, nested, **FITS).verdict == "fits"


def test_constant_depth_must_train(config: RunConfig, tmp_path: Path) -> None:
    def errors(config: RunConfig) -> float:
        if config.seed == 2:
            raise TrainingDiverged("the loss became NaN in step 7")
        return strong_helps(config)

    with pytest.raises(DataError, match=r"Constant depth must train .*constant/seed-2: the loss"):
        look(config, tmp_path, errors)


def test_what_the_network_cannot_have_is_left_out(config: RunConfig, tmp_path: Path) -> None:
    grid = {"schedule": ("uniform", "linear"), "budget": (0.3,)}
    found = look(config, tmp_path, strong_helps, grid=grid)
    assert found.chosen == "schedule=uniform budget=0.3"
    assert "0.3" in found.left_out["schedule=linear budget=0.3"]
    with pytest.raises(InfeasibleBudget, match="budget"):
        look(config, tmp_path / "none", strong_helps, grid={"budget": (0.3,)})


def test_a_fifth_is_held_out_where_nothing_validates(config: RunConfig, tmp_path: Path) -> None:
    alone = load("demo_digits", TINY | {"data.validation": 0})
    found = look(alone, tmp_path, strong_helps, **FITS)
    assert found.comparison.runs[0].config["data"]["validation"] == 8  # of 40


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"grid": {"budget": (1.3,)}}, r"budget must be in \[0, 1\]; got 1\.3"),
        ({"grid": {"depth.last": (-0.5,)}}, r"in \[0, 1\].*got -0\.5"),
        ({"grid": {"budget": (0.8,), "seed": (1, 2)}}, "grid must be without seeds"),
        ({"grid": {}}, "at least one axis"),
        ({"seeds": 1}, "seeds must be .*at least 2"),
        ({"worth": 0}, "worth must be positive"),
        ({"equal": "steps"}, "equal must be one of"),
    ],
)
def test_bad_arguments_are_refused_before_anything_is_written(
    config: RunConfig, tmp_path: Path, options: dict, message: str
) -> None:
    with pytest.raises(InvalidArgument, match=message):
        look(config, tmp_path / "out", strong_helps, **options)
    assert not (tmp_path / "out").exists()


def test_text_has_no_rate_yet(tmp_path: Path) -> None:
    (tmp_path / "text.txt").write_text("to be or not to be " * 100)
    text = load("elhoushi2026_shakespeare", {"data.name": str(tmp_path / "text.txt")})
    with pytest.raises(Unsupported, match="labelled images; the data are text"):
        look(text, tmp_path / "out", strong_helps)


def test_one_class_is_refused(tmp_path: Path) -> None:
    from PIL import Image

    for split in ("train", "test"):
        (tmp_path / "data" / split / "cat").mkdir(parents=True)
        for number in range(4):
            file = tmp_path / f"data/{split}/cat/{number}.png"
            Image.new("RGB", (8, 8), (9 * number, number, 4 - number)).save(file)
    fields = {"data.name": str(tmp_path / "data"), "data.limit": None, "data.test_limit": None}
    one = load("demo_digits", TINY | fields | {"data.validation": 0})
    with pytest.raises(DataError, match=r"at least two classes; .*'cat'"):
        look(one, tmp_path / "out", strong_helps)


def test_without_optuna_it_says_what_to_install(
    config: RunConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("stochastic_depth.experiments._rate_store.find_spec", lambda name: None)
    with pytest.raises(Unsupported, match=r"pip install 'stochastic-depth\[rate\]'"):
        look(config, tmp_path, strong_helps)

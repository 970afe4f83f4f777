"""Comparing: pairs, restarts, failures; with a stand-in for training, and once in earnest."""

import dataclasses
import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rich.console import Console

from stochastic_depth._errors import DataError, InvalidArgument, RunDirectoryInUse
from stochastic_depth.experiments import (
    CONSTANT_AGAINST_STOCHASTIC,
    Comparison,
    compare,
    parse_variant,
)
from stochastic_depth.training import RunConfig, load
from tests.experiments import trainers

TINY = {
    "model.init_args.depth": 8,
    "model.init_args.width": 4,
    "data.limit": 40,
    "data.test_limit": 50,
    "epochs": 2,
    "evaluate_every": 1,
}


@pytest.fixture(scope="module")
def config() -> RunConfig:
    return load("demo_digits", TINY)


def run(
    config: RunConfig, out: Path, seeds: tuple[int, ...] = (0, 1), **options: Any
) -> Comparison:
    """Compare with a stand-in for training, without a word."""
    options = {"run_one": trainers.write_record, "processes": 2} | options
    quiet = Console(file=io.StringIO())
    variants = options.pop("variants", CONSTANT_AGAINST_STOCHASTIC)
    return compare(config, variants, seeds, out, console=quiet, **options)


def marks(out: Path) -> list[str]:
    """Return which runs were done, as often as they were."""
    return sorted(file.name.rpartition("-")[0] for file in (out / "marks").iterdir())


def test_every_variant_runs_once_with_every_seed(config: RunConfig, tmp_path: Path) -> None:
    runs = run(config, tmp_path)
    assert marks(tmp_path) == ["constant-0", "constant-1", "stochastic-0", "stochastic-1"]
    assert runs.variants == ("constant", "stochastic")
    assert runs.seeds == (0, 1)
    assert not runs.failures


def test_each_run_has_a_process_of_its_own(config: RunConfig, tmp_path: Path) -> None:
    run(config, tmp_path)
    processes = {file.read_text() for file in (tmp_path / "marks").iterdir()}
    assert len(processes) == 4


def test_asking_again_does_only_what_is_missing(config: RunConfig, tmp_path: Path) -> None:
    run(config, tmp_path)
    (tmp_path / "stochastic/seed-1/run.json").unlink()
    for file in (tmp_path / "stochastic/seed-1").iterdir():
        file.unlink()
    (tmp_path / "stochastic/seed-1").rmdir()
    again = run(config, tmp_path, seeds=(0, 1, 2))
    twice = "stochastic-1"
    constant = ["constant-0", "constant-1", "constant-2"]
    assert marks(tmp_path) == [*constant, "stochastic-0", twice, twice, "stochastic-2"]
    assert again.seeds == (0, 1, 2)


@pytest.mark.parametrize("status", ["running", "failed"])
def test_a_run_that_did_not_finish_goes_on(config: RunConfig, tmp_path: Path, status: str) -> None:
    run(config, tmp_path, seeds=(0,))
    file = tmp_path / "stochastic/seed-0/run.json"
    file.write_text(file.read_text().replace('"finished",', f'"{status}",'))
    again = run(config, tmp_path, seeds=(0,))
    assert marks(tmp_path) == ["constant-0", "stochastic-0", "stochastic-0"]
    assert not again.unfinished


def test_a_seed_is_one_draw_of_everything(config: RunConfig, tmp_path: Path) -> None:
    runs = run(config, tmp_path, seeds=(3, 5))
    for record in runs.runs:
        assert record.config["seed"] == record.seed
        assert record.config["data"]["split_seed"] == record.seed
    differing = runs.configuration_differences()
    assert differing == {"depth.enabled": (False, True)}


def test_the_cores_are_shared_out(
    config: RunConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("stochastic_depth.experiments._jobs._cores", lambda: 6)
    runs = run(config, tmp_path, processes=3)
    assert runs.plan.processes == 3
    assert {record.config["threads"] for record in runs.runs} == {2}
    alone = run(config, tmp_path / "alone", seeds=(0,), processes=None)
    assert alone.plan.processes == 2  # no more than there are runs
    assert {record.config["threads"] for record in alone.runs} == {3}


def test_a_failed_run_is_named_and_takes_no_other_down(config: RunConfig, tmp_path: Path) -> None:
    runs = run(config, tmp_path, run_one=trainers.diverge_once_random)
    assert runs.failures.keys() == {"stochastic/seed-0", "stochastic/seed-1"}
    assert "the loss became NaN in step 7" in runs.failures["stochastic/seed-0"]
    assert len(runs.finished("constant")) == 2
    assert not run(config, tmp_path).failures  # done again, and done


def test_a_killed_run_is_named_too(config: RunConfig, tmp_path: Path) -> None:
    runs = run(config, tmp_path, seeds=(0,), run_one=trainers.be_killed_at_random_depth)
    assert runs.failures["stochastic/seed-0"].startswith("ended by SIGKILL; see ")


def test_nothing_to_report_on_says_why(config: RunConfig, tmp_path: Path) -> None:
    random = {"stochastic": {"depth.enabled": True}}
    with pytest.raises(
        DataError, match=r"Of 1 runs none began\. stochastic/seed-0: .*NaN in step 7"
    ):
        run(config, tmp_path, (0,), variants=random, run_one=trainers.diverge_once_random)


def test_another_configuration_in_the_directory_is_refused(
    config: RunConfig, tmp_path: Path
) -> None:
    run(config, tmp_path, seeds=(0,))
    changed = dataclasses.replace(config, batch_size=8)
    with pytest.raises(RunDirectoryInUse, match="holds a run with batch_size = 32, and 8 is asked"):
        run(changed, tmp_path, seeds=(0,))


@pytest.mark.parametrize(
    ("variants", "message"),
    [
        ({"a": {"depth.lats": 0.5}}, "Did you mean 'depth.last'"),
        ({"a": {"depth.last": 1.5}}, r"depth\.last|survival|in \[0, 1\]"),
        ({"a": {"depth.schedule": "liner"}}, "linear"),
        ({}, "variants must be at least one"),
        ({"a/b": {}}, "variant must be a name that can be a directory; got 'a/b'"),
        ({"..": {}}, "variant must be a name that can be a directory"),
        ({"logs": {}}, "variant must be a name that can be a directory"),
    ],
)
def test_bad_variants_are_refused_before_anything_is_written(
    config: RunConfig, tmp_path: Path, variants: dict, message: str
) -> None:
    with pytest.raises(InvalidArgument, match=message):
        run(config, tmp_path / "out", variants=variants)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("seeds", "message"),
    [((), "seeds must be at least one"), ((1, 1), "distinct"), ((-1,), "at least 0")],
)
def test_bad_seeds(config: RunConfig, tmp_path: Path, seeds: tuple, message: str) -> None:
    with pytest.raises(InvalidArgument, match=message):
        run(config, tmp_path, seeds=seeds)


@pytest.mark.parametrize(
    "text", ["", "depth.last=0.5", "linear depth.last", "linear =0.5", "linear depth.last="]
)
def test_bad_variant_on_the_command_line(text: str) -> None:
    with pytest.raises(InvalidArgument, match=r"--variant must be NAME FIELD=VALUE \.\.\.; got"):
        parse_variant(text)


def test_values_keep_their_equals_signs_and_spaces() -> None:
    assert parse_variant("a name=x=y data.name='my folder'") == (
        "a",
        {"name": "x=y", "data.name": "my folder"},
    )


def test_changes_to_the_recipe_and_notes_are_recorded(config: RunConfig, tmp_path: Path) -> None:
    plan = run(config, tmp_path, seeds=(0,), command="sdepth compare").plan
    assert plan.changes == TINY
    assert "constant" in plan.notes
    assert plan.command == "sdepth compare"


def test_piped_progress_is_one_line_per_run(config: RunConfig, tmp_path: Path) -> None:
    console = Console(file=io.StringIO())
    compare(
        config, CONSTANT_AGAINST_STOCHASTIC, (0,), tmp_path, processes=1, console=console,
        run_one=trainers.write_record,
    )  # fmt: skip
    lines = [line for line in console.file.getvalue().split("\n") if line]
    assert lines == ["constant/seed-0 finished", "stochastic/seed-0 finished"]


def test_in_earnest(config: RunConfig, tmp_path: Path) -> None:
    quiet = Console(file=io.StringIO())
    variants = CONSTANT_AGAINST_STOCHASTIC
    runs = compare(config, variants, (0, 1), tmp_path, console=quiet)
    assert not runs.failures
    for record in runs.runs:
        assert record.epochs_done == 2
        assert record.num_blocks == 3
    for record in runs.finished("stochastic").values():
        assert record.summary.live_share == pytest.approx(np.mean(record.gates))
    before = {path: path.read_bytes() for path in tmp_path.rglob("run.json")}
    compare(config, variants, (0, 1), tmp_path, console=quiet)
    assert {path: path.read_bytes() for path in tmp_path.rglob("run.json")} == before

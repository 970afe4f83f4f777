"""The terminal: the same tables, plain where it is not a terminal, within its width."""

import io
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console

from stochastic_depth.experiments import Comparison, Sweep, sweep
from stochastic_depth.reports import print_comparison, print_sweep
from stochastic_depth.training import load
from tests.experiments import trainers
from tests.experiments.records import comparison, write_comparison, write_run


def printed(runs: Comparison, **settings: object) -> str:
    console = Console(file=io.StringIO(), **settings)
    print_comparison(runs, console)
    return console.file.getvalue()


def test_prints_seeds_means_and_verdict(tmp_path: Path) -> None:
    runs = comparison(tmp_path)
    text = " ".join(printed(runs, width=100).split())
    for run in runs.runs:
        assert f"{run.summary.test_error_last:.2f}" in text
    for variant in runs.variants:
        assert str(runs.spread(variant, runs.test_error)) in text
    assert "median epoch ÷ constant" in text
    assert "live share of cost" in text
    assert "in 3 of 3 seeds" in text


def test_piped_output_has_no_escapes(tmp_path: Path) -> None:
    assert "\x1b" not in printed(comparison(tmp_path), width=80)


@pytest.mark.parametrize("width", [40, 80])
def test_width_is_respected(tmp_path: Path, width: int) -> None:
    lines = printed(comparison(tmp_path), width=width).splitlines()
    assert max(map(len, lines)) <= width


def test_brackets_in_names_are_not_markup(tmp_path: Path) -> None:
    write_run(tmp_path / "a", variant="constant", last=1.0)
    write_run(tmp_path / "b", variant="[bold]x[/bold]")
    assert "[bold]x[/bold]" in printed(Comparison.read(tmp_path), width=160)


def test_failed_runs_are_listed_with_their_error(tmp_path: Path) -> None:
    write_comparison(tmp_path, seeds=(0,))
    write_run(tmp_path / "stochastic/seed-1", seed=1, status="failed", error="no memory left")
    assert "failed: no memory left" in printed(Comparison.read(tmp_path), width=200)


def printed_sweep(swept: Sweep) -> str:
    console = Console(file=io.StringIO(), width=200)
    print_sweep(swept, console)
    return console.file.getvalue()


def test_cells_contrasts_and_failures(tmp_path: Path) -> None:
    swept = sweep(
        load("demo_digits"), {"enabled": (False, True), "seed": (0, 1)}, tmp_path,
        processes=2, console=Console(file=io.StringIO()), run_one=trainers.write_record,
    )  # fmt: skip
    text = printed_sweep(swept)
    for row in swept.cells().iter_rows(named=True):
        assert f"{row['test_error_last_mean']:.2f} ± {row['test_error_last_std']:.2f}" in text
    assert "enabled: False − True" in text
    assert "not corrected for their number" in text
    assert "failed" not in text
    plan = replace(swept.plan, failures={"enabled=True/seed-1": "the loss became NaN"})
    failed = Sweep(replace(swept.comparison, plan=plan))
    assert "enabled=True/seed-1 failed: the loss became NaN" in printed_sweep(failed)

"""A sweep on the terminal."""

import io
from dataclasses import replace
from pathlib import Path

from rich.console import Console

from stochastic_depth.experiments import Sweep, sweep
from stochastic_depth.reports import print_sweep
from stochastic_depth.training import load
from tests.experiments import trainers


def printed(swept: Sweep) -> str:
    console = Console(file=io.StringIO(), width=200)
    print_sweep(swept, console)
    return console.file.getvalue()


def test_cells_contrasts_and_failures(tmp_path: Path) -> None:
    swept = sweep(
        load("demo_digits"), {"enabled": (False, True), "seed": (0, 1)}, tmp_path,
        processes=2, console=Console(file=io.StringIO()), run_one=trainers.write_record,
    )  # fmt: skip
    text = printed(swept)
    for row in swept.cells().iter_rows(named=True):
        assert f"{row['test_error_last_mean']:.2f} ± {row['test_error_last_std']:.2f}" in text
    assert "enabled: False − True" in text
    assert "not corrected for their number" in text
    assert "failed" not in text
    plan = replace(swept.plan, failures={"enabled=True/seed-1": "the loss became NaN"})
    failed = Sweep(replace(swept.comparison, plan=plan))
    assert "enabled=True/seed-1 failed: the loss became NaN" in printed(failed)

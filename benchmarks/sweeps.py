"""Kill a sweep three times, start it again, and compare its tables; then the same on Ray.

    python benchmarks/sweeps.py --out benchmarks/results/sweeps.json

24 small runs (two schedules, two budgets, six seeds) are swept without disturbance, then with
three SIGKILLs at random moments on local processes, and with three on Ray. All must end with
equal tables but for the seconds.
"""

import argparse
import json
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import polars as pl

from stochastic_depth._provenance import hardware, versions

SDEPTH = (sys.executable, "-c", "from stochastic_depth.cli import main; raise SystemExit(main())")
SETTINGS = {
    "epochs": 12,
    "data.limit": 200,
    "data.test_limit": 500,
    "model.init_args.depth": 14,
    "model.init_args.width": 4,
    "threads": 1,
    "accelerator": "cpu",
}
GRID = ("schedule=uniform,linear", "budget=0.6:0.8:0.2", "seed=0:5")
RUNS, KILLS = 24, 3
TIMES = pl.exclude("seconds", "epoch_seconds", "^seconds_.*$", "^epoch_seconds_.*$")


def command(out: Path, on: str) -> list[str]:
    fields = [f"--{name}={value}" for name, value in SETTINGS.items()]
    return [*SDEPTH, "sweep", "demo_digits", *fields, "--grid", *GRID, f"--on={on}", f"--out={out}"]


def finished(out: Path) -> int:
    """Return how many runs say that they are finished."""
    records = (path.read_text() for path in out.glob("runs/*/run.json"))
    return sum(json.loads(text)["status"] == "finished" for text in records)


def undisturbed(out: Path, on: str) -> float:
    """Sweep to the end; return the seconds."""
    began = time.monotonic()
    subprocess.run(command(out, on), check=True, stdout=subprocess.DEVNULL)
    return time.monotonic() - began


def killed(out: Path, on: str, chance: random.Random) -> list[dict[str, Any]]:
    """Sweep, and kill the program after a random number of runs and some more time."""
    kills = []
    for least in sorted(chance.sample(range(RUNS - 1), KILLS)):
        program = subprocess.Popen(command(out, on), stdout=subprocess.DEVNULL)
        while finished(out) <= least:
            assert program.poll() is None, "the sweep ended by itself"
            time.sleep(0.02)
        more = chance.uniform(0, 1)
        time.sleep(more)
        program.kill()
        program.wait()
        begun = len(list(out.glob("runs/*/run.json")))
        kills.append({"finished": finished(out), "begun": begun, "after_that": round(more, 3)})
        print(on, kills[-1], flush=True)
    return kills


def tables(out: Path) -> dict[str, pl.DataFrame]:
    names = ("runs", "cells", "contrasts")
    return {name: pl.read_csv(out / f"{name}.csv").select(TIMES) for name in names}


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--seed", type=int, default=0)
    options.add_argument("--out", type=Path, default=Path("benchmarks/results/sweeps.json"))
    arguments = options.parse_args()
    places: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as directory:
        top = Path(directory)
        seconds = undisturbed(top / "reference", "local")
        reference = tables(top / "reference")
        for on in ("local", "ray"):
            kills = killed(top / on, on, random.Random(arguments.seed))  # noqa: S311
            rest = undisturbed(top / on, on)
            found = tables(top / on)
            places[on] = {
                "kills": kills,
                "seconds_of_the_last_start": round(rest, 1),
                "tables_equal": {name: found[name].equals(reference[name]) for name in found},
            }
            print(on, places[on]["tables_equal"], flush=True)
    record = {
        "runs": RUNS,
        "grid": GRID,
        "settings": SETTINGS,
        "seed": arguments.seed,
        "seconds_undisturbed": round(seconds, 1),
        "places": places,
        "cells": reference["cells"].to_dicts(),
        "contrasts": reference["contrasts"].to_dicts(),
        "hardware": hardware(),
        "versions": versions("lightning", "ray"),
    }
    arguments.out.write_text(json.dumps(record, indent=1) + "\n")


if __name__ == "__main__":
    main()

"""How often does `sdepth rate` choose well, where the answer is known, beside the habit of 0.8?

    python benchmarks/rate.py --data data/cifar10 --out benchmarks/results/rate.json --pool pool

Design, written before the runs that count (pilot seeds 100 and 101 are not among them):

* Three sets whose answer is known from results in this repository, at a size two cores finish:
  a ResNet-14 of width 8 (6 blocks, all droppable) on images of 8 x 8 pixels.
  `plain`: 1,000 CIFAR-10 images without augmentation, where a strong rate helps
  (training/recipes/demo_cifar10.md, at 16 x 16 pixels). `flips`: the same with horizontal flips,
  a tie there; at 20 epochs it was none in the pilot, so it has 10. `digits`: 500 handwritten
  digits shifted by up to a pixel, where stochastic depth was worse
  (training/recipes/demo_digits.md). Fashion-MNIST is not at hand; digits stand for it.
* Candidates: uniform and linear at budgets 0.6 and 0.8833; linear at 0.8833 ends at survival 0.8
  in a network of 6 blocks, which is the habit.
* A pool: constant depth and the four candidates, each trained with seeds 0 to 8 in every set. One
  seed draws training images, validation images, weights and order of batches.
* The truth of a set is the mean test error over the pool; test images choose nothing. The best is
  the lowest. A choice is good if its mean is within one standard error of the best, that of the
  differences paired by seed.
* Ten repetitions of the search per set, with two seeds in the first rung, four in the second and
  five fresh ones, by the code of the library, each with an order of the nine seeds of its own, the
  runs taken from the pool. They share runs, so they are not independent: what they show is how
  far the answer hangs on which seeds happen to choose and which to judge.
* Reported per set: the truth, how often each answer came, how often it was good, how often the
  habit and constant depth would have been, and what a search costs in trainings of constant depth.
* Should the pool be cut short by time, the seeds that are whole are used, at least seven of them,
  with as many fresh ones as are left, and n is said.
"""

import argparse
import json
import shutil
import statistics
import tempfile
from collections import Counter
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from stochastic_depth._provenance import hardware, versions
from stochastic_depth.experiments import CONSTANT, SECONDS, PairedDifference, RunRecord, _rate, rate
from stochastic_depth.training import RunConfig, load, override, train

SEEDS, LEAST, CHOOSING, REPETITIONS = 9, 7, 4, 10
BUDGETS = (0.6, 0.8833)
GRID = {"schedule": ("uniform", "linear"), "budget": BUDGETS}
HABIT = "schedule=linear budget=0.8833"
VARIANTS = {CONSTANT: {"depth.enabled": False}} | {
    f"schedule={schedule} budget={budget}": {
        "depth.schedule": schedule,
        "depth.budget": budget,
        "depth.last": None,
    }
    for schedule in GRID["schedule"]
    for budget in BUDGETS
}
COMMON = {
    "model.init_args.depth": 14,
    "model.init_args.width": 8,
    "evaluate_every": 100,
    "checkpoint_every": 100,
    "threads": 1,
    "accelerator": "cpu",
    "loggers": [],
}
CIFAR = {
    "data.limit": 1000,
    "data.validation": 1000,
    "data.test_limit": 2000,
    "data.image_size": 8,
    "epochs": 20,
    "batch_size": 100,
}
DIGITS = {
    "data.limit": 500,
    "data.validation": 500,
    "data.test_limit": None,
    "data.shift": 1,
    "learning_rate.initial": 0.1,
    "learning_rate.warmup_epochs": 1,
    "epochs": 16,
    "batch_size": 50,
}
SETS = {
    "plain": ("demo_cifar10", CIFAR),
    "flips": ("demo_cifar10", CIFAR | {"data.flip": True, "epochs": 10}),
    "digits": ("demo_digits", DIGITS),
}


class Inline:
    """Does a run at once, in this process."""

    def __init__(self, *_: Any) -> None:
        pass

    def __enter__(self) -> "Inline":
        return self

    def __exit__(self, *error: object) -> None:
        pass

    def submit(self, run_one: Callable, job: Any) -> Future:
        """Return the run, done."""
        future: Future = Future()
        run_one(job.config, job.directory, variant=job.variant)
        future.set_result(None)
        return future


def base(name: str, data: Path) -> RunConfig:
    recipe, fields = SETS[name]
    folder = {"data.data_dir": str(data)} if recipe == "demo_cifar10" else {}
    return load(recipe, COMMON | fields | folder)


def fill(pool: Path, data: Path) -> None:
    """Train what the pool lacks, seed by seed."""
    for seed in range(SEEDS):
        for name in SETS:
            for variant, fields in VARIANTS.items():
                place = pool / name / variant / f"seed-{seed}"
                named = {"seed": seed, "data.split_seed": seed}
                train(
                    override(base(name, data), fields | named),
                    place,
                    variant=variant,
                    progress=False,
                )
            print(f"seed {seed}, {name}", flush=True)


def whole(pool: Path) -> int:
    """Return how many seeds are finished in every set and variant."""

    def finished(seed: int) -> bool:
        files = [pool / n / v / f"seed-{seed}/run.json" for n in SETS for v in VARIANTS]
        return all(f.exists() and json.loads(f.read_text())["summary"] for f in files)

    return next((seed for seed in range(SEEDS) if not finished(seed)), SEEDS)


def from_pool(pool: Path, order: list[int]) -> Callable[..., None]:
    """Return what takes the run of seed k from the pool, where it has seed order[k]."""

    def run_one(config: RunConfig, directory: Path, *, variant: str) -> None:
        source = pool / variant / f"seed-{order[config.seed]}"
        shutil.copytree(source, directory, ignore=shutil.ignore_patterns("checkpoints", ".lock"))
        (directory / "config.yaml").write_text(yaml.safe_dump(config.to_mapping()))
        run = json.loads((directory / "run.json").read_text()) | {"seed": config.seed}
        (directory / "run.json").write_text(json.dumps(run))

    return run_one


def truth(pool: Path, seeds: int) -> dict[str, Any]:
    """Return the mean test error of each variant, the best, and which are as good."""
    errors = {
        variant: [
            RunRecord.read(pool / variant / f"seed-{seed}").summary.test_error_last
            for seed in range(seeds)
        ]
        for variant in VARIANTS
    }
    best = min(errors, key=lambda variant: statistics.mean(errors[variant]))
    return {
        variant: {
            "test_error": statistics.mean(own),
            "std": statistics.stdev(own),
            "below_constant": _record(PairedDifference.between(errors[CONSTANT], own)),
            "best": variant == best,
            "good": variant == best or _good(own, errors[best]),
        }
        for variant, own in errors.items()
    }


def _good(own: list[float], best: list[float]) -> bool:
    spread = PairedDifference.between(own, best).spread
    return spread.mean <= spread.std / spread.n**0.5


def _record(difference: PairedDifference) -> dict[str, Any]:
    interval = difference.interval and list(difference.interval)
    return {"mean": difference.spread.mean, "interval": interval, "n": difference.n}


def search(name: str, pool: Path, data: Path, seeds: int, repetition: int) -> dict[str, Any]:
    """Search once, with the seeds of the pool in an order of this repetition."""
    order = np.random.default_rng(repetition).permutation(seeds).tolist()
    with tempfile.TemporaryDirectory() as folder:
        found = rate(
            base(name, data),
            folder,
            grid=GRID,
            seeds=seeds - CHOOSING,
            run_one=from_pool(pool / name, order),
        )
        constant = found.comparison.spread(CONSTANT, SECONDS).mean
        confirmed = found.confirmation and _record(found.confirmation)
        return {
            "order": order,
            "verdict": found.verdict,
            "chosen": found.chosen,
            "answer": found.recommended or CONSTANT,
            "confirmation": confirmed,
            "trainings": found.cost[0],
            "cost": found.cost[1] / constant,
        }


def judged(name: str, pool: Path, data: Path, seeds: int) -> dict[str, Any]:
    known = truth(pool / name, seeds)
    searches = [search(name, pool, data, seeds, k) for k in range(REPETITIONS)]
    print(name, Counter(item["answer"] for item in searches), flush=True)
    return {
        "truth": known,
        "searches": searches,
        "answers": Counter(item["answer"] for item in searches),
        "good": sum(known[item["answer"]]["good"] for item in searches),
        "habit_good": known[HABIT]["good"],
        "constant_good": known[CONSTANT]["good"],
        "cost": statistics.mean(item["cost"] for item in searches),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="folder with CIFAR-10")
    parser.add_argument("--pool", type=Path, required=True, help="where the runs are kept")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--judge", action="store_true", help="with the seeds that are there")
    options = parser.parse_args()
    if not options.judge:
        fill(options.pool, options.data)
    seeds = whole(options.pool)
    assert seeds >= LEAST, f"the pool holds {seeds} whole seeds; {LEAST} are needed"
    _rate.executor = Inline  # a process for each copy of a record would take minutes
    sets = {name: judged(name, options.pool, options.data, seeds) for name in SETS}
    record = {"seeds": seeds, "repetitions": REPETITIONS, "habit": HABIT, "sets": sets}
    record |= {"hardware": hardware(), "versions": versions("optuna", "lightning")}
    options.out.write_text(json.dumps(record, indent=1) + "\n")


if __name__ == "__main__":
    main()

"""`sdepth compare`: variants against each other, over several seeds."""

import shlex
import sys
from pathlib import Path

from .. import training


def compare(
    config: training.RunConfig,
    out: Path,
    variant: list[str] | None = None,
    seeds: int = 3,
    parallel: int | None = None,
    json: Path | None = None,
) -> int:
    """Train variants of one recipe over several seeds, and report the difference.

    Without --variant, constant depth is compared with the stochastic depth of the recipe.
    The variants of a seed share images, initial weights and order of batches, and are
    trained side by side. The same command goes on where an earlier one stopped.

    Example: sdepth compare --recipe demo_digits --out runs/demo --seeds 5
    --variant "constant depth.enabled=false" --variant "linear depth.last=0.5"

    Args:
        config: the recipe; --seed is the first seed.
        out: directory of the runs, of compare.json and of report.html.
        variant: "NAME FIELD=VALUE ..." for each; the first is the baseline.
        seeds: number of seeds.
        parallel: runs at a time; by default one per core, or one at a time on a GPU.
        json: also write the figures here.

    Returns:
        0, or 1 if a run failed.
    """
    from .. import experiments
    from ._outcome import show

    named = dict(experiments.parse_variant(text) for text in variant or [])
    comparison = experiments.compare(
        config,
        named or experiments.CONSTANT_AGAINST_STOCHASTIC,
        range(config.seed, config.seed + seeds),
        out,
        processes=parallel,
        command=shlex.join(["sdepth", *sys.argv[1:]]),
    )
    show(comparison, out / "report.html", json)
    return int(bool(comparison.failures))

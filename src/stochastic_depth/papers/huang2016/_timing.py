"""The time that stochastic depth saves: steps of training, taking turns in one process."""

from dataclasses import asdict, dataclass
from statistics import stdev

import altair as alt
import polars as pl

from ...experiments.bench import IMPLEMENTATIONS, SKIP, BenchResult, bench
from ...reports import Figure
from ...schedules import linear
from .._claim import Measurement

MEDIAN = 1.2533  # standard error of a median over that of a mean, of Gaussian numbers

# What a processor measures beside the ideal: see `sdepth bench`.
SPARE_TIME = 1.05


@dataclass(frozen=True)
class Timing:
    """A network to time.

    Attributes:
        name: of the row.
        depth: of the CIFAR ResNet.
        last: survival probability of the last block, under linear decay.
        batch_size: images of a step.
        image_size: height and width of the images.
        rounds: steps of each kind.
    """

    name: str
    depth: int
    last: float = 0.5
    batch_size: int = 128
    image_size: int = 32
    rounds: int = 7


def timed(timing: Timing) -> BenchResult:
    """Time steps at constant and at stochastic depth, which take turns, on one thread."""
    return bench(
        timing.depth,
        timing.batch_size,
        timing.image_size,
        timing.rounds,
        schedules={timing.name: linear(timing.last)},
        implementations={SKIP: IMPLEMENTATIONS[SKIP]},
    )


def saved(result: BenchResult) -> Measurement:
    """Return how much of the time of a step is saved, in per cent."""
    row = result.rows[-1]
    error = MEDIAN * stdev(row.ratios) / len(row.ratios) ** 0.5
    return Measurement(100 * (1 - row.to_constant), 100 * error, len(row.ratios))


def to_ideal(result: BenchResult) -> Measurement:
    """Return the time of a step over what is left if a dropped block costs nothing."""
    row = result.rows[-1]
    error = MEDIAN * stdev(row.ratios) / len(row.ratios) ** 0.5
    return Measurement(row.to_ideal, error * row.to_ideal / row.to_constant, len(row.ratios))


def rounds(timings: tuple[Timing, ...], results: list[BenchResult]) -> pl.DataFrame:
    """Return one row per round of each network: the share of the time that is left."""
    tables = [
        pl.DataFrame({"ratio": result.rows[-1].ratios}).with_columns(
            network=pl.lit(timing.name),
            ideal=pl.lit(result.ideal_shares[timing.name]),
            **{name: pl.lit(value) for name, value in asdict(timing).items() if name != "name"},
        )
        for timing, result in zip(timings, results, strict=True)
    ]
    return pl.concat(tables)


def figure(name: str, data: pl.DataFrame) -> Figure:
    """Return the figure of `rounds`: each round as a point, the ideal as a tick."""
    base = alt.Chart(data).encode(y=alt.Y("network:N", title=None))
    points = base.mark_point().encode(
        x=alt.X(
            "ratio:Q",
            title="step over step at constant depth",
            scale=alt.Scale(zero=False, padding=20),
        )
    )
    ideal = base.mark_tick(color="#d55e00", thickness=3, size=24).encode(x="ideal:Q")
    caption = (
        "Training steps on one thread, stochastic over constant depth, round by round; tick: what "
        "is left if a dropped block costs nothing, from the measured cost of the blocks."
    )
    return Figure(
        name, "Time that is left", caption, caption, alt.LayerChart(layer=[points, ideal])
    )

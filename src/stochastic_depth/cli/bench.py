"""`sdepth bench`: a training step beside the other implementations."""

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from rich.progress import Progress
from rich.table import Table

from .._provenance import hardware, versions
from ._outcome import terminal, write_json

if TYPE_CHECKING:
    from ..experiments.bench import BenchResult


def bench(
    depth: int = 110,
    batch_size: int = 128,
    image_size: int = 32,
    rounds: int = 11,
    threads: int = 1,
    json: Path | None = None,
) -> int:
    """Time one training step of each implementation of stochastic depth, side by side.

    All of them train the same CIFAR ResNet in the same process and take turns. A ratio
    to the ideal of 1 means that a dropped block costs nothing; torchvision and timm
    compute what they drop.

    Example: sdepth bench --depth 56 --rounds 5

    Args:
        depth: of the network, 6n + 2.
        batch_size: images per step.
        image_size: height and width of the images, divisible by 4.
        rounds: interleaved repeats; medians over them are reported.
        threads: of torch.
        json: also write the figures here, with hardware and versions.

    Returns:
        0.
    """
    from ..experiments.bench import bench, import_milliseconds

    console = terminal()
    with Progress(console=terminal(stderr=True), transient=True) as progress:
        task = progress.add_task("rounds", total=rounds)
        result = bench(
            depth, batch_size, image_size, rounds, threads, lambda _: progress.advance(task)
        )
    milliseconds = import_milliseconds()
    console.print(_table(result))
    console.print(f"import stochastic_depth, after torch: {milliseconds:.0f} ms")
    if json is not None:
        record = {
            **asdict(result),
            "import_milliseconds": milliseconds,
            "hardware": hardware(),
            "versions": versions("torchvision", "timm"),
        }
        write_json(record, json)
    return 0


def _table(result: "BenchResult") -> Table:
    title = (
        f"ResNet-{result.depth}, batch {result.batch_size}, {result.image_size} pixels, "
        f"{result.threads} thread(s): constant depth {result.constant_seconds:.3f} s a step, "
        f"median of {result.rounds} rounds"
    )
    table = Table("implementation", "survival", title=title)
    for heading in ("s / step", "÷ constant", "÷ ideal"):
        table.add_column(heading, justify="right")
    for row in result.rows:
        numbers = (row.seconds, row.to_constant, row.to_ideal)
        table.add_row(row.implementation, row.schedule, *(f"{n:.3f}" for n in numbers))
    return table

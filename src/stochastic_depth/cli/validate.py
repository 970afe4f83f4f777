"""`sdepth validate`: what a configuration would do, without doing it."""

from pathlib import Path

from rich.console import Console
from rich.table import Table

from .. import surgery, training


def validate(config: training.RunConfig, out: Path | None = None) -> int:
    """Check a configuration, and say what training it would do.

    Loads the data, builds the network and puts stochastic depth on it, as training
    does, and stops there. Nothing is written.

    Example: sdepth validate --recipe huang2016_cifar10 --data data/cifar10 --out run

    Args:
        config: the run.
        out: also say what training in this directory would begin with.

    Returns:
        0.
    """
    prepared = training.prepare(config)
    topics = training.describe(prepared)
    if out is not None:
        topics[str(out)] = training.outlook(config, out)
    console = Console()
    if prepared.handle is not None:
        console.print(str(surgery.plan(prepared.model)), highlight=False, soft_wrap=True)
        console.print()
    table = Table(box=None, show_header=False)
    for topic, text in topics.items():
        table.add_row(topic, text)
    console.print(table)
    return 0

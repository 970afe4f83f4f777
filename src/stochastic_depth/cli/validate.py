"""`sdepth validate`: what a configuration would do, without doing it."""

from pathlib import Path

from rich.table import Table

from .. import surgery, training
from ._outcome import terminal


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
    topics, outlook = training.describe(prepared), ""
    if out is not None:
        outlook = f"{out}: {training.outlook(config, out)}"
    console = terminal()
    if prepared.handle is not None:
        console.print(str(surgery.plan(prepared.model)), soft_wrap=True)
        console.print()
    table = Table(box=None, show_header=False)
    for topic, text in topics.items():
        table.add_row(topic, text)
    console.print(table)
    if outlook:
        console.print(outlook, soft_wrap=True)
    return 0

"""`sdepth train`: one run."""

import os
import shlex
import sys
from pathlib import Path

from rich.table import Table

from .. import training
from ._outcome import print_place, terminal, write_json


def train(
    config: training.RunConfig,
    out: Path | None = None,
    json: Path | None = None,
    progress: bool = True,
) -> int:
    """Train a network, or go on with its training.

    Every field of a recipe can be given on the command line. Training in a directory
    that holds an unfinished run of the same configuration resumes it, with the same
    weights in the end; one that holds another configuration is refused.
    --data, --limit, --image-size, --flip and --no-flip are short for fields of the data;
    --depth.enabled false trains at constant depth. With --data.tokenizer the data are text.

    A network of timm, torchvision or transformers stands for a recipe, `photographs`.

    Example: sdepth train timm/resnet18 --data FOLDER

    Example: sdepth train --recipe huang2016_cifar10 --data data/cifar10 --epochs 3 --out run

    Args:
        config: the run.
        out: directory of the run; by default in runs, named after recipe and network.
        json: also write run.json here.
        progress: draw a progress line.

    Returns:
        0.
    """
    command = shlex.join(["sdepth", *sys.argv[1:]])
    out = _place(config) if out is None else out
    record = training.train(config, out, command=command, progress=progress)
    if os.environ.get("RANK", "0") == "0":  # one of the processes that torchrun has started
        _print_summary(out)
        write_json(record, json)
    return 0


def _place(config: training.RunConfig) -> Path:
    network = str(config.model.init_args.get("name", "")).rpartition("/")[2]
    return Path("runs") / "-".join(filter(None, (config.name, network)))


def _print_summary(out: Path) -> None:
    from ..training.run_record import MEASURES, RunRecord

    table = Table(box=None, show_header=False)
    run = RunRecord.read(out)
    for measure in MEASURES.values():
        if (value := measure(run)) is not None:
            table.add_row(measure.title, f"{value:.{measure.decimals}f}")
    terminal().print(table)
    print_place(out)

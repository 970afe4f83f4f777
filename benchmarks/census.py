"""Find the blocks of every model family, and compare skipping with the library's masking.

    python benchmarks/census.py [NAME ...] [--json FILE] [--again]

One process per model; what is in the file already is not measured again unless asked.
For each model: the masks that the library creates when asked for a drop rate, how many
of them have a gate here, what is refused and why, and, with equal gates forced on the
library's masks and on ours, the largest difference of outputs (relative to the largest
output where that exceeds 1) and of gradients (relative to the largest), in float64.
"""

import argparse
import json
import multiprocessing
import re
import warnings
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import timm
import torch
import torchvision
import transformers
from census_models import Model, models
from census_probe import measure

from stochastic_depth._provenance import hardware, versions

RESULTS = Path(__file__).parent / "results" / "census.json"
LIMIT = 300
"""Seconds that one model may take."""
WARM = "transformers/clip_text_model"
"""Measured once before all others, so that no process has to import what all of them need."""


def main() -> None:
    """Measure what is asked for and not measured yet."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help="part of library/model")
    parser.add_argument("--json", type=Path, default=RESULTS)
    parser.add_argument("--again", action="store_true", help="measure again what is there")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    known = json.loads(arguments.json.read_text()) if arguments.json.exists() else {}
    records = known.get("models", {})
    measure(next(model for model in models() if model.key == WARM))
    for model in models():
        wanted = not arguments.names or any(name in model.key for name in arguments.names)
        if wanted and (arguments.again or model.key not in records):
            records[model.key] = isolated(model)
            print(model.key, summary(records[model.key]), flush=True)
            write(arguments.json, records)


def isolated(model: Model) -> dict[str, Any]:
    """Measure one model in a process of its own."""
    context = multiprocessing.get_context("fork")  # libraries are imported once
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=_child, args=(model, sender))
    process.start()
    sender.close()
    try:
        record = receiver.recv() if receiver.poll(LIMIT) else None
    except EOFError:
        record = None
    process.terminate()
    process.join()
    return record or failed(model, f"no answer within {LIMIT} s")


def _child(model: Model, sender: Connection) -> None:
    warnings.filterwarnings("ignore")
    transformers.logging.set_verbosity_error()
    torch.Tensor.float = torch.Tensor.double  # norms that leave float64 are to stay there
    try:
        sender.send(measure(model))
    except Exception as error:  # one model that fails is a line of the census
        sender.send(failed(model, f"{type(error).__name__}: {error}"))


def failed(model: Model, error: str) -> dict[str, Any]:
    """Return the record of a model that could not be measured."""
    names = {"library": model.library, "family": model.family, "model": model.name}
    first = error.strip().partition("\n")[0]
    first = re.sub(r" from '[^']*'", "", first)  # where this machine keeps a module
    return {**names, "error": first[:300]}


def summary(record: dict[str, Any]) -> str:
    """Say in one line what was measured."""
    if "error" in record:
        return record["error"]
    masks = f"{record['masks_at_gates']}/{record['masks_called']}/{record['masks']}"
    return (
        f"masks {masks} blocks {record['blocks']} branches {record['branches']} difference "
        f"{record.get('difference_per_batch')} {record.get('difference_per_sample')} gradients "
        f"{record.get('difference_gradients')} refused {record['refused']}"
    )


def write(path: Path, records: dict[str, Any]) -> None:
    """Write the results, in the order of the census."""
    ordered = {model.key: records[model.key] for model in models() if model.key in records}
    found = versions("timm", "torchvision", "transformers")
    result = {"models": ordered, "hardware": hardware(), "versions": found}
    path.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


assert timm
assert torchvision


if __name__ == "__main__":
    main()

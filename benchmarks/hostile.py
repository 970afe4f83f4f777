"""Give the library what nobody should: every argument of the API, and recipes, mutated.

    python benchmarks/hostile.py --json benchmarks/results/hostile.json

Counts what ended in an exception that is none of the library's, and what was accepted
although it has no meaning there. Both are to be 0. Beside them, a table of damaged files and
wrong options.
"""

import argparse
import json
import random
import sys
from collections import Counter
from pathlib import Path

import torch
from hostile_api import calls, trials
from hostile_files import table
from hostile_recipes import mutations


def api(limit: int | None = None) -> dict[str, object]:
    """Make every call of the table with every hostile value in place of one argument."""
    chosen = list(trials())
    random.Random(0).shuffle(chosen)  # noqa: S311  # an order, no secret
    ends: Counter[str] = Counter()
    found: list[dict[str, str]] = []
    for trial in chosen[:limit]:
        torch.manual_seed(0)
        end, said = trial.run()
        ends[end] += 1
        if end in ("foreign", "nonsense"):
            found.append({"trial": str(trial), "end": end, "said": said})
    return {"functions": len(calls()), "trials": sum(ends.values()), **ends, "found": found}


def recipes(number: int, seed: int = 0) -> dict[str, object]:
    """Validate a recipe, mutated in one or two places each time, in this process."""
    ends: Counter[str] = Counter()
    found: list[dict[str, str]] = []
    for mutation in mutations(number, seed):
        end, said = mutation.run()
        ends[end] += 1
        if end in ("foreign", "nonsense"):
            found.append({"trial": str(mutation), "end": end, "said": said})
    return {"trials": sum(ends.values()), **ends, "found": found}


def files() -> dict[str, object]:
    """Run the table of hostile files and options."""
    found = table()
    bad = [row for row in found if not row["clean"]]
    return {"rows": len(found), "clean": len(found) - len(bad), "table": found}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--api", type=int, default=None, help="trials of the API; all by default")
    parser.add_argument("--recipes", type=int, default=1000, help="mutated recipes")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=Path, default=None)
    options = parser.parse_args()
    result = {
        "versions": {"torch": torch.__version__, "python": sys.version.split()[0]},
        "api": api(options.api),
        "recipes": recipes(options.recipes, options.seed),
        "files": files(),
    }
    text = json.dumps(result, indent=2)
    counts = {part: {k: v for k, v in result[part].items() if k != "table"} for part in result}
    print(json.dumps(counts, indent=2))
    if options.json is not None:
        options.json.write_text(f"{text}\n", encoding="utf-8")
    bad = [
        result[part].get(end, 0) for part in ("api", "recipes") for end in ("foreign", "nonsense")
    ]
    return int(any(bad) or result["files"]["clean"] < result["files"]["rows"])


if __name__ == "__main__":
    sys.exit(main())

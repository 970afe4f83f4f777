"""Write the tables of docs/models.md from the committed census.

python benchmarks/models_page.py           # rewrite the page
python benchmarks/models_page.py --check   # exit 1 if it does not say what the results say
"""

import json
import re
import sys
from pathlib import Path
from typing import Any

from census_models import models

ROOT = Path(__file__).parent.parent
PAGE = ROOT / "docs" / "models.md"
RESULTS = ROOT / "benchmarks" / "results"
LIBRARIES = ("timm", "torchvision", "transformers")

Record = dict[str, Any]


def census() -> list[Record]:
    """Read the records of the census."""
    text = (RESULTS / "census.json").read_text(encoding="utf-8")
    return list(json.loads(text)["models"].values())


def totals() -> str:
    """What all records say together, by library."""
    lines = [
        "| library | families | tried | built and run | with blocks | compared "
        "| largest difference | of gradients |",
        "|---|---:|---:|---:|---:|---:|---:|---:|",
    ]
    for library in LIBRARIES:
        records = [record for record in census() if record["library"] == library]
        compared = [r for r in records if r.get("difference_per_batch") is not None]
        cells = [
            library,
            str(sum(model.library == library for model in models())),
            str(len(records)),
            str(sum("error" not in record for record in records)),
            str(sum(record.get("branches", 0) > 0 for record in records)),
            str(len(compared)),
            _number(max(_largest(record) for record in compared)),
            _number(max(record["difference_gradients"] for record in compared)),
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def table(library: str) -> str:
    """One line per family."""
    lines = [
        "| family | smallest member | masks: made, called, with a gate | blocks | branches "
        "| projections | difference | what is not dropped, and why |",
        "|---|---|---|---:|---:|---:|---:|---|",
    ]
    lines += [_row(record) for record in census() if record["library"] == library]
    return "\n".join(lines)


def unmeasured() -> str:
    """What the committed census does not contain."""
    known = {f"{record['library']}/{record['model']}" for record in census()}
    missing = [f"`{model.key}`" for model in models() if model.key not in known]
    if len(missing) > 10:
        return f"Not measured yet: {', '.join(missing[:3])} and {len(missing) - 3} others."
    return f"Not measured yet: {', '.join(missing)}." if missing else "All have been measured."


def _row(record: Record) -> str:
    if "error" in record:
        cells = [record["family"], record["model"], "", "", "", "", "", _error(record)]
    else:
        masks = f"{record['masks']}, {record['masks_called']}, {record['masks_at_gates']}"
        compared = record.get("difference_per_batch") is not None
        cells = [
            record["family"],
            f"`{record['model']}`",
            masks if record["masks"] else "none",
            str(record["blocks"]),
            str(record["branches"]),
            str(record["projections"]),
            _number(_largest(record)) if compared else "",
            "; ".join(_notes(record)),
        ]
    return f"| {' | '.join(cells)} |"


def _error(record: Record) -> str:
    return f"not run: {record['error'].removeprefix('ValueError: ')}"


def _notes(record: Record) -> list[str]:
    notes = [f"{r['blocks']} `{r['class']}`: {r['reason']}" for r in record["refused"]]
    if not record["blocks"]:
        notes.append("no residual addition")
    if "per_sample" in record:
        notes.append("gates per batch only: its blocks keep something else than the batch first")
    return notes


def _largest(record: Record) -> float:
    return max(record["difference_per_batch"], record["difference_per_sample"] or 0.0)


def _number(value: float) -> str:
    return "0" if value == 0 else f"{value:.0e}"


def written(text: str) -> str:
    """Return the page with its tables written anew."""
    tables = {"totals": totals(), "unmeasured": unmeasured()} | {
        library: table(library) for library in LIBRARIES
    }
    for name, lines in tables.items():
        block = f"<!-- {name} -->\n{lines}\n<!-- /{name} -->"
        text = re.sub(f"<!-- {name} -->.*<!-- /{name} -->", lambda _: block, text, flags=re.DOTALL)  # noqa: B023
    return text


def main() -> int:
    """Rewrite or check."""
    text = PAGE.read_text(encoding="utf-8")
    if "--check" in sys.argv[1:]:
        return int(written(text) != text)
    PAGE.write_text(written(text), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())

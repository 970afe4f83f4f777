"""Write the tables of the README and of the documentation from the committed results.

python benchmarks/readme.py           # rewrite them
python benchmarks/readme.py --check   # exit 1 if they do not say what the results say
"""

import json
import re
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from claims import summary_table

from stochastic_depth.experiments import PairedDifference

ROOT = Path(__file__).parent.parent
RESULTS = ROOT / "benchmarks" / "results"

COMPARISONS = {
    "digits": "200 handwritten digits, ResNet-56 (`make demo`)",
    "cifar10": "2,000 CIFAR-10 images at 16x16, ResNet-20, no augmentation",
    "cifar10-flip": "the same with horizontal flips",
}


def read(name: str) -> dict[str, Any]:
    """Read one file of results."""
    return json.loads((RESULTS / f"{name}.json").read_text(encoding="utf-8"))


def step_table() -> str:
    """Time of one training step, by implementation and schedule."""
    result = read("step")
    hardware, versions = result["hardware"], result["versions"]
    lines = [
        "| implementation | survival | s / step | ÷ constant | ÷ ideal |",
        "|---|---|---:|---:|---:|",
        f"| constant depth | | {result['constant_seconds']:.3f} | 1 | |",
    ]
    lines += [
        f"| {row['implementation']} | {row['schedule']} | {row['seconds']:.3f} "
        f"| {row['to_constant']:.2f} | {row['to_ideal']:.2f} |"
        for row in result["rows"]
    ]
    caption = (
        f"ResNet-{result['depth']}, batch {result['batch_size']}, {result['image_size']}x"
        f"{result['image_size']}, float32 channels-last, {result['threads']} thread; median of "
        f"{result['rounds']} interleaved rounds; {hardware['cpu']}, torch {versions['torch']}, "
        f"torchvision {versions['torchvision']}, timm {versions['timm']}. "
        f"`import stochastic_depth` adds {result['import_milliseconds']:.0f} ms to `import torch`."
    )
    return "\n".join([*lines, "", caption])


def compiled_table() -> str:
    """Time of one compiled training step."""
    result = read("compiled_step")
    steps = [
        (m["model"], rate["rate"], rate["rows"]) for m in result["models"] for rate in m["rates"]
    ]
    lines = _steps(steps)
    compiling = "; ".join(
        f"{name} {seconds:.0f} s"
        for model in result["models"]
        for name, seconds in model["compile_seconds"].items()
    )
    hardware, versions = result["hardware"], result["versions"]
    caption = (
        f"Compiled by inductor, one graph for all three rates, float32, 1 thread; median of "
        f"{result['rounds']} interleaved rounds; {hardware['cpu']}, torch {versions['torch']}. "
        f"First step: {compiling}."
    )
    return "\n".join([*lines, "", caption])


def models_table() -> str:
    """Time of one training step of the usual models."""
    result = read("models_step")
    lines = _steps((model["model"], model["rate"], model["rows"]) for model in result["models"])
    hardware, versions = result["hardware"], result["versions"]
    caption = (
        f"Batch {result['batch_size']}, {result['image_size']}x{result['image_size']}, float32, "
        "drop rate rising linearly to the last block; "
        f"1 thread, median of {result['rounds']} interleaved rounds; {hardware['cpu']}, torch "
        f"{versions['torch']}, torchvision {versions['torchvision']}, timm {versions['timm']}."
    )
    return "\n".join([*lines, "", caption])


def _steps(measured: Iterable[tuple[str, float, list[dict[str, Any]]]]) -> list[str]:
    """Return the lines of a table of models, their drop rates, and steps, the constant one last."""
    lines = [
        "| model | drop rate | implementation | s / step | ÷ constant | ÷ ideal |",
        "|---|---:|---|---:|---:|---:|",
    ]
    for model, rate, (*rows, constant) in measured:
        lines.append(
            f"| {model} | {rate} | {constant['implementation']} | {constant['seconds']:.2f} | 1 | |"
        )
        lines += [
            f"| | | {row['implementation']} | {row['seconds']:.2f} "
            f"| {row['to_constant']:.2f} | {row['to_ideal']:.2f} |"
            for row in rows
        ]
    return lines


def program_table() -> str:
    """Time of a training step of `sdepth train` beside that of a bare loop."""
    result = read("training_overhead")
    lines = ["| network | batch | bare loop, ms | program ÷ bare loop |", "|---|---|---:|---:|"]
    lines += [
        f"| {row['network']} | {row['batch']} | {row['bare_milliseconds']:.1f} "
        f"| {row['ratio']:.2f} |"
        for row in result["rows"]
    ]
    rounds = sorted(row["rounds"] for row in result["rows"])
    caption = (
        f"Constant depth, 1 thread, median of {rounds[0]} to {rounds[-1]} epochs in turn; "
        f"{result['hardware']['cpu']}, torch {result['versions']['torch']}, lightning "
        f"{result['versions']['lightning']}."
    )
    return "\n".join([*lines, "", caption])


def comparison_table() -> str:
    """Test error with and without stochastic depth, by data set."""
    lines = [
        "| data | constant, % | stochastic, % | difference, points | interval | seeds | time |",
        "|---|---:|---:|---:|---:|---:|---:|",
    ]
    lines += [comparison_row(read(name), title) for name, title in COMPARISONS.items()]
    caption = (
        "Test error, mean ± standard deviation over seeds; difference = constant − stochastic, "
        "seed by seed, with its 95 % interval by Student's t; positive favours stochastic depth "
        "(linear decay to 0.5)."
    )
    return "\n".join([*lines, "", caption])


def comparison_row(result: dict[str, Any], title: str) -> str:
    """One data set."""
    (name,) = result["differences"]
    measure = result["decided_by"]
    difference, ratio = result["differences"][name], result["time_ratios"][name]
    constant, stochastic = (
        result["variants"][variant][measure] for variant in (result["baseline"], name)
    )
    cells = [
        title,
        *(f"{s['mean']:.2f} ± {s['std']:.2f}" for s in (constant, stochastic)),
        f"{difference['mean']:+.2f}",
        span(PairedDifference(tuple(difference["differences"])).interval),
        str(difference["n"]),
        f"{ratio['mean']:.2f}",
    ]
    return f"| {' | '.join(cells)} |"


SETS = {
    "plain": "1,000 CIFAR-10 images, 20 epochs",
    "flips": "the same with flips, 10 epochs",
    "digits": "500 shifted digits, 16 epochs",
}


def rate_table() -> str:
    """How often `sdepth rate` answers well, beside the habit and constant depth."""
    result = read("rate")
    lines = [
        "| data | constant, % | best | its gain | the habit's gain | answers of `sdepth rate` "
        "| good: rate | habit | constant | cost |",
        "|---|---:|---|---:|---:|---|---:|---|---|---:|",
    ]
    lines += [rate_row(result, name, title) for name, title in SETS.items()]
    caption = (
        f"ResNet-14 of width 8 on 8x8 pixels; test error of {result['seeds']} seeds, gains in "
        "points with their 95 % intervals; the habit is linear decay to 0.8. An answer is good if "
        "its test error is within one standard error of the best. "
        f"{result['repetitions']} searches a set, each with an order of the same "
        f"{result['seeds']} seeds of its own, so they are not independent. "
        "Cost: trainings of constant depth."
    )
    return "\n".join([*lines, "", caption])


def rate_row(result: dict[str, Any], name: str, title: str) -> str:
    """One set."""
    found, habit = result["sets"][name], result["habit"]
    truth, searches = found["truth"], result["repetitions"]
    best = next(variant for variant, own in truth.items() if own["best"])
    answers = ", ".join(f"{n} × {short(answer)}" for answer, n in found["answers"].items())
    cells = [
        title,
        f"{truth['constant']['test_error']:.2f}",
        short(best),
        *(gain(truth[variant]["below_constant"]) for variant in (best, habit)),
        answers,
        f"{found['good']} of {searches}",
        *("yes" if found[f"{name}_good"] else "no" for name in ("habit", "constant")),
        f"{found['cost']:.1f}",
    ]
    return f"| {' | '.join(cells)} |"


def short(variant: str) -> str:
    return variant.replace("schedule=", "").replace("budget=", "")


def gain(found: dict[str, Any]) -> str:
    return f"{found['mean']:+.2f} ({span(found['interval'])})" if found["interval"] else "0"


def span(interval: Sequence[float] | None) -> str:
    return "–" if interval is None else f"{interval[0]:+.2f} to {interval[1]:+.2f}"


# The blocks that a page may hold; links to the pages of the papers depend on where it lies.
PAGES = {
    "README.md": {
        "bench": step_table,
        "demo": comparison_table,
        "claims": summary_table,
    },
    "docs/index.md": {"demo": comparison_table},
    "docs/rate.md": {"rate": rate_table},
    "docs/reproduce.md": {"claims": lambda: summary_table("papers/")},
    "docs/faster.md": {
        "bench": step_table,
        "models": models_table,
        "compiled": compiled_table,
        "program": program_table,
    },
}


def written(text: str, blocks: Mapping[str, Callable[[], str]]) -> str:
    """Return a page with its tables written anew."""
    for name, make in blocks.items():
        table = make()
        block = f"<!-- {name} -->\n{table}\n<!-- /{name} -->"
        text = re.sub(f"<!-- {name} -->.*<!-- /{name} -->", lambda _: block, text, flags=re.DOTALL)  # noqa: B023
    return text


def main() -> int:
    """Rewrite or check."""
    texts = {ROOT / name: (ROOT / name).read_text(encoding="utf-8") for name in PAGES}
    pages = {
        file: written(text, blocks)
        for (file, text), blocks in zip(texts.items(), PAGES.values(), strict=True)
    }
    if "--check" in sys.argv[1:]:
        return int(pages != texts)
    for file, text in pages.items():
        file.write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())

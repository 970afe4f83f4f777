"""Random programs under random gates, skipped and gathered, against "run everything, multiply".

    python benchmarks/purity.py [--programs 10000] [--first 0] [--processes 1] [--json FILE]

Each program is a small model whose blocks are drawn from a grammar (`purity_grammar.py`):
contexts, writes, in-place calls, tuples, caches, keyword arguments, shared modules and so on.
`apply` puts gates on it; outputs, gradients, attributes and buffers of training steps, of
masked steps and of an evaluation must be those of a reference that knows where the branches
are (`purity_reference.py`). A program may be refused by `apply`, in words, and a dropped block
may run with its change discarded, if the plan says so; nothing may be different in silence.
"""

import argparse
import dataclasses
import json
import multiprocessing
import random
import re
import sys
import time
import traceback
import warnings
from collections import Counter
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

import stochastic_depth as sd
from stochastic_depth._provenance import hardware, versions

sys.path.insert(0, str(Path(__file__).parent))

from purity_grammar import Program, program
from purity_reference import Rule, far, gate_blocks, same_state, set_state, state_of

RESULTS = Path(__file__).parent / "results" / "purity.json"
ROWS = 4
STEPS = 2
FAILURES = ("crash", "different", "late")


class Different(AssertionError):
    """A program computes something else than it must."""


@dataclasses.dataclass(frozen=True)
class Setting:
    """Arguments of `apply` that a program is tried with."""

    per: str
    granularity: str
    scale: str
    transitions: str
    rescale: str
    seed: int

    def arguments(self) -> dict[str, Any]:
        """Return them by name."""
        return dataclasses.asdict(self)


def settings(seed: int, count: int = 1) -> list[Setting]:
    """Return the settings in which the program of a seed is tried."""
    dice = random.Random(seed)  # noqa: S311  # settings, not secrets
    return [
        Setting(
            dice.choice(["batch", "sample"]), dice.choice(["block", "branch"]),
            dice.choice(["block", "branch"]), dice.choice(["drop", "drop", "protect"]),
            dice.choice(["train", "train", "test"]), dice.randrange(1000),
        )
        for _ in range(count)
    ]  # fmt: skip


def build(written: Program, source: str) -> nn.Module:
    """Return the model that a source defines, with weights none of which is special."""
    names: dict[str, Any] = {"__name__": f"program_{written.seed}"}
    exec(compile(source, f"<program {written.seed}>", "exec"), names)  # noqa: S102  # our own text
    torch.manual_seed(written.seed)
    model: nn.Module = names["Model"]()
    return model if "autocast" in written.tags else model.double()


class Trial:
    """One program in one setting."""

    def __init__(self, written: Program, setting: Setting) -> None:
        self.written, self.setting = written, setting
        self.tolerance = 6e-2 if "autocast" in written.tags else 1e-8
        if written.tags & {"shortcut argument", "shortcut config", "shortcut training"}:
            # A norm after it hides a factor, but for its eps, from the check of `apply`.
            self.tolerance = max(self.tolerance, 1e-4)
        self.dtype = torch.float32 if "autocast" in written.tags else torch.float64
        self.model = build(written, written.source)
        self.reference = build(written, written.marked)
        gate_blocks(self.reference)
        self.masked: set[str] = set()
        self.noise = torch.Generator().manual_seed(written.seed)
        frozen = setting.granularity == "branch" and setting.per == "sample"
        for net in (self.model, self.reference):
            net.train()
            for module in net.modules():  # survivors of a branch are normalised by themselves
                if frozen and isinstance(module, nn.modules.batchnorm._BatchNorm):
                    module.eval()

    def input(self) -> Tensor:
        """Return a batch."""
        shape = (ROWS, *self.written.shape)
        return torch.randn(shape, generator=self.noise, dtype=torch.float64).to(self.dtype)

    def run(self) -> None:
        """Apply, and compare.

        Raises:
            Different: something is not what it must be.
            StochasticDepthError: `apply` refuses.
        """
        before, dice = state_of(self.model), torch.get_rng_state()
        handle = sd.apply(
            self.model, sd.schedules.uniform(0.5), example=self.input(), **self.setting.arguments()
        )
        if fault := same_state(state_of(self.model), before, 0.0):
            raise Different(f"apply changed {fault}")
        if not torch.equal(dice, torch.get_rng_state()):
            raise Different("apply moved the random generator")
        self.handle = handle
        survey = handle._controller.anatomy.survey
        self.named = {other.path for other in survey.others}
        self.units = {unit.path: unit for unit in survey.units}
        self._require_found()
        for step in range(STEPS):
            self._step(f"step {step}", 1.0 - 0.3 * step)
        options = handle._controller.options
        handle._controller.options = dataclasses.replace(options, execution="mask")
        self._step("masked step", 0.8)
        handle._controller.options = options
        self._evaluation()

    def _require_found(self) -> None:
        """Require that every block has a gate or is named, with all of its branches."""
        for path, module in self.reference.named_modules():
            if not type(module).__name__.startswith("Block"):
                continue
            if path not in self.units:
                if not any(path == n or path.startswith(f"{n}.") for n in self.named):
                    raise Different(f"{path} has no gate and is not named")
            elif (found := len(self.units[path].branches)) != (known := self._branches(path)):
                raise Different(f"{path} has {known} branches, of which {found} were found")

    def _branches(self, path: str) -> int:
        name = type(self.reference.get_submodule(path)).__name__
        text = re.search(rf"class {name}\(.*?(?=\nclass )", self.written.marked, re.DOTALL)
        return len(re.findall(r"self\.gate\(", text.group())) if text else 0

    # A forward under gates

    def _rules(self, gates: Tensor, *, everything: bool) -> dict[str, Rule]:
        """Set the rules of the reference, and return them by path."""
        rules: dict[str, Rule] = {}
        blocks = self.handle.blocks
        for path, unit in self.units.items():
            mine = [block.index for block in blocks if block.path == path]
            size = len(mine) // unit.uses
            values = [gates[i] if gates.ndim == 2 else float(gates[i]) for i in mine]
            calls = [values[first : first + size] for first in range(0, len(values), size)]
            exits = all(branch.exits for branch in unit.branches) or unit.form == "branch"
            count = len(unit.branches)
            each = count > 1 and self.setting.scale == "branch"
            each = each or (exits and count == 1)
            apart = not (everything or self._runs_whole(unit))
            # Where the block's own forward tells what it leaves, its children do not run.
            rules[path] = Rule(calls, count, each, everything, apart, loose=unit.hollow)
        for path, module in self.reference.named_modules():
            vars(module)["_purity_rule"] = rules.get(path)
        return rules

    @staticmethod
    def _runs_whole(unit: Any) -> str:
        known = list(unit.patterns.values())
        reasons = [unit.masked, unit.rows, *(k.masked for k in known), *(k.rows for k in known)]
        return next(filter(None, reasons), "")

    def _step(self, name: str, scale: float) -> None:
        x = self.input()
        for net in (self.model, self.reference):
            net.step_scale = scale
            for module in net.modules():
                vars(module).get("config", {})["gain"] = scale
            net.zero_grad()
        before = state_of(self.model)
        set_state(self.reference, before)
        actual, given = self._forward(self.model, x)
        gates = self.handle.gates
        rules = self._rules(gates, everything="masked" in name)
        expected, wanted = self._forward(self.reference, x)
        self._same(name, "output", actual, expected)
        self._same(name, "gradient of the input", _grad(given), _grad(wanted))
        named = zip(self.model.named_parameters(), self.reference.named_parameters(), strict=True)
        for (path, p), (_, q) in named:
            self._same(name, f"gradient of {path}", _grad(p), _grad(q))
        self._same_states(name, rules)

    def _forward(self, net: nn.Module, x: Tensor) -> tuple[Tensor, Tensor]:
        """Run a training step; auxiliary terms that blocks keep belong to the loss."""
        x = x.clone().requires_grad_()
        output = net(x)
        kept = [m.aux for m in net.modules() if isinstance(vars(m).get("aux"), Tensor)]
        loss = (output * output.detach().cos()).sum() + sum(0.1 * aux for aux in kept)
        loss.backward()
        for module in net.modules():
            if isinstance(vars(module).get("aux"), Tensor):
                vars(module)["aux"] = module.aux.detach()
        return output, x

    def _same(self, step: str, what: str, actual: Tensor, expected: Tensor) -> None:
        if (distance := far(actual, expected)) > self.tolerance:
            raise Different(f"{step}: {what} is off by {distance:.3g}")

    def _same_states(self, step: str, rules: dict[str, Rule]) -> None:
        actual, expected = state_of(self.model), state_of(self.reference)
        for path, rule in rules.items():
            mine = _under(actual, path, deep=not rule.loose)
            wanted = [_under(expected, path, deep=not rule.loose)]
            wanted += [_under({f"{path}.{k}".replace("..", "."): v for k, v in s.items()}, path,
                              deep=not rule.loose) for s in rule.alternatives]  # fmt: skip
            faults = [same_state(mine, state, self.tolerance) for state in wanted]
            if all(faults):
                raise Different(f"{step}: {path} leaves {faults[0]}")

    def _evaluation(self) -> None:
        x = self.input()
        modes = [(net, [m.training for m in net.modules()]) for net in (self.model, self.reference)]
        set_state(self.reference, state_of(self.model))
        self.model.eval()
        self.reference.eval()
        self._rules(self.handle.law.evaluation, everything=False)
        with torch.no_grad():
            self._same("evaluation", "output", self.model(x), self.reference(x))
        for net, before in modes:
            for module, mode in zip(net.modules(), before, strict=True):
                module.training = mode


def _under(state: dict[str, Any], path: str, *, deep: bool) -> dict[str, Any]:
    return {
        key: value
        for key, value in state.items()
        if key.startswith(f"{path}.") and (deep or "." not in key.removeprefix(f"{path}."))
    }


def _grad(x: Tensor) -> Tensor:
    return torch.zeros_like(x) if x.grad is None else x.grad


def attempt(seed: int) -> dict[str, Any]:
    """Try the program of a seed; return what happened."""
    written = program(seed)
    try:
        model = build(written, written.source).train()
        dtype = torch.float32 if "autocast" in written.tags else torch.float64
        x = torch.randn(ROWS, *written.shape, dtype=dtype)
        model(x).sum().backward()
        with torch.no_grad():
            model.eval()(x)
    except Exception as error:
        return {"seed": seed, "outcome": "invalid", "why": f"{type(error).__name__}: {error}"}
    record: dict[str, Any] = {"seed": seed, "outcome": "equal", "tags": sorted(written.tags)}
    record["trials"] = []
    for setting in settings(seed):
        if setting.per == "sample" and "dropout on branch" in written.tags:
            setting = dataclasses.replace(setting, per="batch")  # other rows, another draw
        record["trials"].append(_tried(written, setting))
    worst = [trial["outcome"] for trial in record["trials"]]
    for outcome in ("crash", "different", "late", "refused", "equal"):
        if outcome in worst:
            record["outcome"] = outcome
            break
    return record


def _tried(written: Program, setting: Setting) -> dict[str, Any]:
    found: dict[str, Any] = {"setting": setting.arguments(), "outcome": "equal"}
    trial = Trial(written, setting)
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        try:
            trial.run()
        except Different as error:
            found |= {"outcome": "different", "why": str(error)}
        except sd.StochasticDepthError as error:
            late = hasattr(trial, "handle")
            found |= {"outcome": "late" if late else "refused", "why": str(error)}
        except Exception as error:
            found |= {"outcome": "crash", "why": f"{type(error).__name__}: {error}",
                      "traceback": traceback.format_exc()}  # fmt: skip
    found["said"] = sorted({str(w.message) for w in said})
    if hasattr(trial, "handle"):
        blocks = trial.handle.blocks
        found["gates"] = len(blocks)
        found["masked"] = [block.masked for block in blocks if block.masked]
        found["protected"] = [block.reason for block in blocks if block.reason]
    return found


def main() -> None:
    """Try many programs, and write what happened."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--programs", type=int, default=10_000)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--json", type=Path, default=RESULTS)
    parser.add_argument("--processes", type=int, default=1)
    parser.add_argument("--add", type=Path, nargs="+", help="only add up results of other seeds")
    arguments = parser.parse_args()
    if arguments.add:
        parts = [json.loads(path.read_text(encoding="utf-8")) for path in arguments.add]
        arguments.json.write_text(json.dumps(total(parts), indent=1) + "\n", encoding="utf-8")
        return
    torch.set_num_threads(1)
    started = time.perf_counter()
    seeds = range(arguments.first, arguments.first + arguments.programs)
    records = []
    with multiprocessing.get_context("fork").Pool(arguments.processes) as pool:
        for record in pool.imap(attempt, seeds, chunksize=20):
            records.append(record)
            if record["outcome"] in FAILURES:
                bad = next(t for t in record["trials"] if t["outcome"] == record["outcome"])
                print(record["seed"], bad["outcome"], bad["why"][:150], flush=True)
            if len(records) % 500 == 0:
                write(arguments.json, records, started)
    result = write(arguments.json, records, started)
    print(json.dumps({k: result[k] for k in ("programs", "trials", "gates")}, indent=1))


def write(path: Path, records: list[dict[str, Any]], started: float) -> dict[str, Any]:
    """Write what has happened so far."""
    result = summary(records)
    result |= {
        "seconds": round(time.perf_counter() - started),
        "hardware": hardware(),
        "versions": versions(),
    }
    path.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    return result


def summary(records: list[dict[str, Any]]) -> dict[str, Any]:
    """Count what happened, and list why what was not equal was not."""
    trials = [trial for record in records for trial in record.get("trials", [])]
    masked = [why for trial in trials for why in trial.get("masked", [])]
    return {
        "programs": dict(Counter(record["outcome"] for record in records).most_common()),
        "trials": dict(Counter(trial["outcome"] for trial in trials).most_common()),
        "gates": {
            "all": sum(trial.get("gates", 0) for trial in trials),
            "protected": sum(len(trial.get("protected", [])) for trial in trials),
            "masked": len(masked),
        },
        "refused": _counted(t["why"] for t in trials if t["outcome"] == "refused"),
        "masked": _counted(masked),
        "failed": [
            {"seed": record["seed"], **{k: v for k, v in trial.items() if k != "traceback"}}
            for record in records
            for trial in record.get("trials", [])
            if trial["outcome"] in FAILURES
        ],
        "contents": dict(Counter(tag for r in records for tag in r.get("tags", [])).most_common()),
    }


def total(parts: list[dict[str, Any]]) -> dict[str, Any]:
    """Add results up: numbers, lists, and the counts in dictionaries; the rest is the first's."""
    first, *others = parts
    added = dict(first)
    for key, value in first.items():
        if isinstance(value, list | int):
            added[key] = sum((part[key] for part in others), value)
        elif key not in ("hardware", "versions"):
            sums = sum((Counter(part[key]) for part in parts), Counter())
            added[key] = dict(sums.most_common())
    return added


def _counted(reasons: Any) -> dict[str, int]:
    plain = (re.sub(r"blocks\.\d+|Block\d|\b\d+\b", "*", reason) for reason in reasons)
    return dict(Counter(plain).most_common())


if __name__ == "__main__":
    main()

"""Recipes with one or two fields replaced by what nobody should write, and how they end."""

import io
import random
import tempfile
import warnings
from collections.abc import Iterator, Mapping
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass, fields, is_dataclass
from pathlib import Path
from typing import Any, get_type_hints

import yaml
from beartype.door import is_bearable
from hostile_api import in_time

from stochastic_depth.cli import main
from stochastic_depth.training import RunConfig, recipes
from stochastic_depth.training._recipes import RECIPES

SMALL = {
    "epochs": 2,
    "loggers": [],
    "threads": 1,
    "data": {"limit": 40, "test_limit": 40},
    "model": {"init_args": {"depth": 8, "width": 2}},
}

HOSTILE: tuple[Any, ...] = (
    None, True, False, 0, -1, 1, 2, 3, 7, 2**31, 2**32, 2**63, 10**20, 10**400, -(10**400),
    0.5, -0.5, 1.5, 1e308, 5e-324, float("nan"), float("inf"), float("-inf"),
    "", " ", "0", "-1", "0.5", "1e400", "nan", "null", "true", "linear", "x" * 5000, "[/b]",
    "a\nb", "\x00", "../../etc/passwd", "os.system", "os", "torch.hub.load", "torch.os.system",
    "torch.nn.Linear", "torch.nn.Linea", ".", "a.b.c", "stochastic_depth.models.CifarResNet",
    "9" * 400, "\u202e", "${HOME}", "%s", "{}", "*a", "é" * 50,
    [], [None], [True], [0.5, "x"], [[]], [{}], [1] * 300, [10**400], [float("nan")],
    {}, {"a": 1}, {"class_path": "os.system"}, {"class_path": None}, {"class_path": 3},
    {"class_path": "torch.nn.Linear", "init_args": None},
    {"class_path": "torch.nn.Linear", "init_args": {"in_features": []}},
    {"class_path": "subprocess.Popen", "init_args": {"args": "false"}},
    {"init_args": {}}, {1: 2}, {"class_path": "torch.optim.SGD", "init_args": [1]},
    [{"class_path": "os.system", "init_args": {"command": "false"}}],
)  # fmt: skip

GARBLED = ("Expected a", "Got value", "Given value", "Parser key", "Traceback", "<class", "<lambda")
"""Prose of other programs, and of Python, that a message must not be made of."""


@dataclass(frozen=True)
class Mutation:
    """A recipe in which these fields have these values."""

    changes: tuple[tuple[tuple[str, ...], Any], ...]

    def __str__(self) -> str:
        return "; ".join(f"{'.'.join(path)}={value!r:.60}" for path, value in self.changes)

    def run(self) -> tuple[str, str]:
        """Return how `sdepth validate` ends: refused, accepted, foreign, or nonsense."""
        recipe = base()
        for path, value in self.changes:
            _put(recipe, path, value)
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "recipe.yaml"
            file.write_text(yaml.safe_dump(recipe, sort_keys=False), encoding="utf-8")
            status, said = validate(file)
        if status == "foreign":
            return status, said
        if status == 2:
            clean = said.startswith("sdepth: ") and not any(word in said for word in GARBLED)
            return "refused" if clean and said.count("\n") == 1 else "foreign", said[:300]
        return ("accepted" if all(_fits(*change) for change in self.changes) else "nonsense"), ""


def validate(file: Path) -> tuple[int | str, str]:
    """Run `sdepth validate` on a file in this process; return its status and its errors."""
    said = io.StringIO()
    try:
        with redirect_stdout(io.StringIO()), redirect_stderr(said), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with in_time(60):
                return main(["validate", str(file)]), said.getvalue()
    except BaseException as error:  # what is counted
        return "foreign", f"{type(error).__name__}: {error}"[:300]


def base() -> dict[str, Any]:
    """Return a recipe of the library, made small."""
    assert "demo_digits" in recipes()
    recipe = yaml.safe_load((RECIPES / "demo_digits.yaml").read_text())
    _merge(recipe, SMALL)
    return recipe


def mutations(number: int, seed: int) -> Iterator[Mutation]:
    """Yield random mutations: two of three change one field, the third two."""
    rng = random.Random(seed)  # noqa: S311  # trials, no secrets
    places = sorted({*_paths(base()), *_known(RunConfig)})
    for _ in range(number):
        chosen = rng.sample(places, k=rng.choice((1, 1, 2)))
        yield Mutation(tuple((place, rng.choice(HOSTILE)) for place in chosen))


def _fits(path: tuple[str, ...], value: Any) -> bool:
    """Return whether a value may stand in a field, by the annotation of the field alone."""
    kind = _annotation(path)
    if isinstance(value, float) and value != value:
        return False
    if kind is None or (is_dataclass(kind) and isinstance(value, Mapping)):
        return True  # a section without fields has its defaults
    if isinstance(value, str) and is_bearable("text", kind) is False:
        value = yaml.safe_load(value)  # as on the command line
    if isinstance(value, bool):
        return is_bearable(True, kind) and not is_bearable(7, kind)
    frozen = _tuples(value)
    if isinstance(value, int) and is_bearable(0.5, kind):
        return True
    return is_bearable(frozen, kind)


def _annotation(path: tuple[str, ...]) -> Any:
    """Return the annotation of a plain field; None inside and at components, which tell types."""
    kind: Any = RunConfig
    for name in path:
        if not is_dataclass(kind) or kind.__name__ == "Component":
            return None
        kind = get_type_hints(kind).get(name)
    component = getattr(kind, "__name__", "") == "Component" or "Component" in str(kind)
    return None if component else kind


def _tuples(value: Any) -> Any:
    return tuple(map(_tuples, value)) if isinstance(value, list) else value


def _known(kind: Any, within: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    hints = get_type_hints(kind)
    for field in fields(kind):
        path = (*within, field.name)
        yield path
        inner = hints[field.name]
        if is_dataclass(inner) and inner.__name__ != "Component":
            yield from _known(inner, path)


def _paths(values: Mapping[str, Any], within: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    for key, value in values.items():
        yield (*within, key)
        if isinstance(value, Mapping):
            yield from _paths(value, (*within, key))


def _put(values: dict[str, Any], path: tuple[str, ...], value: Any) -> None:
    *outer, last = path
    for name in outer:
        if not isinstance(values.get(name), dict):
            values[name] = {}
        values = values[name]
    values[last] = value


def _merge(values: dict[str, Any], changes: Mapping[str, Any]) -> None:
    for key, value in changes.items():
        if isinstance(value, Mapping):
            _merge(values.setdefault(key, {}), value)
        else:
            values[key] = value

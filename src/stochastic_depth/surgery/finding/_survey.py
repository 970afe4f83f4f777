"""Find the blocks of a model."""

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import Any

from torch import nn

from ...blocks import Residual
from ..translation import (
    Branch,
    Call,
    CannotTranslate,
    Declared,
    Foreign,
    NotResidual,
    Own,
    Translation,
    branch_of,
    delegates,
    is_declared,
    sites,
)
from ._observe import observe


@dataclass(frozen=True)
class Unit:
    """One module that is a block.

    Attributes:
        path: where it is in the model.
        kind: name of its class.
        translation: how to run it under gates; None when that is impossible.
        branches: its residual branches; empty without a translation.
        obstacle: why there is no translation.
        marked: whether it is the project's, was registered, or has drop sites, and so is
            certainly a block.
        delegates: whether its additions take place in its children.
    """

    path: str
    kind: str
    translation: Translation | None
    branches: tuple[Branch, ...]
    obstacle: str
    marked: bool
    delegates: bool = False


@dataclass(frozen=True)
class Other:
    """One module that was looked at and is no block.

    Attributes:
        path: where it is in the model.
        kind: name of its class.
        reason: why it is none.
    """

    path: str
    kind: str
    reason: str


@dataclass(frozen=True)
class Survey:
    """What was found in a model: its blocks in the order in which they run, and the rest."""

    units: tuple[Unit, ...]
    others: tuple[Other, ...]


def survey(model: nn.Module, example: Any | None = None) -> Survey:
    """Look for the blocks of `model`.

    Blocks are the project's `Residual` modules; those of a class that was registered; the
    modules that own a drop site, in a model that uses sites; in a model with neither
    sites nor `Residual` modules, the innermost modules whose forward adds a branch to
    what the branch was computed from.

    Args:
        model: the model, without gates.
        example: an input, or a tuple of inputs, to run it on; guessed when needed.
    """
    own = {p: _own_unit(p, m) for p, m in model.named_modules() if isinstance(m, Residual)}
    foreign = dict(_candidates(model, own))
    marked = {path: m for path, m in foreign.items() if sites(m) or is_declared(m)}
    if own or any(map(sites, marked.values())):
        found = _among(model, own, marked, example)
        if found.units:
            return found
    return _among(model, own, foreign, example)


def _among(
    model: nn.Module, own: dict[str, Unit], foreign: dict[str, nn.Module], example: Any | None
) -> Survey:
    """Look for blocks among the own ones and the candidates."""
    if not foreign:
        return Survey(tuple(own.values()), ())
    watched = foreign | {path: model.get_submodule(path) for path in own}
    calls = observe(model, watched, example)
    found = [own.get(path) or _look_at(path, watched[path], call) for path, call in calls.items()]
    found += [
        Other(path, type(module).__name__, "the model does not call it")
        for path, module in watched.items()
        if path not in calls
    ]
    return _sort_out(found)


def _candidates(model: nn.Module, own: Collection[str]) -> Iterator[tuple[str, nn.Module]]:
    """Yield what might be a foreign block: a module with children and its own forward."""
    declared = {path for path, module in model.named_modules() if is_declared(module)}
    inside_known = tuple(f"{path}." for path in (*own, *declared))
    for path, module in model.named_modules():
        is_composite = next(module.children(), None) is not None
        is_torch = type(module).__module__.startswith("torch.")
        if path in own or path.startswith(inside_known):
            continue
        if path in declared or (is_composite and not is_torch):
            yield path, module


def _own_unit(path: str, block: Residual) -> Unit:
    return Unit(path, type(block).__name__, Own(type(block)), (branch_of(block),), "", True)


def _look_at(path: str, block: nn.Module, call: Call) -> Unit | Other:
    kind, declared = type(block).__name__, is_declared(block)
    marked = declared or bool(sites(block))
    translation = Declared(type(block)) if declared else Foreign(type(block))
    try:
        branches = translation.prepare(block, call)
    except NotResidual as error:
        return Other(path, kind, str(error))
    except CannotTranslate as error:
        if marked:
            return Unit(path, kind, None, (), str(error), marked)
        return Other(path, kind, str(error))
    return Unit(path, kind, translation, branches, "", marked, delegates(block))


def _sort_out(found: list[Unit | Other]) -> Survey:
    """Keep blocks; without drop sites to tell, those that contain no other block."""
    units = [one for one in found if isinstance(one, Unit)]
    residual_kinds = {u.kind for u in units if any(b.kind == "identity" for b in u.branches)}
    residual = [unit for unit in units if unit.marked or unit.kind in residual_kinds]
    others = [one for one in found if isinstance(one, Other)]
    blocks = []
    for unit in units:
        if unit.marked:
            blocks.append(unit)
        elif unit not in residual:
            others.append(
                Other(unit.path, unit.kind, "it adds up learned maps, without a shortcut")
            )
        elif any(_is_part(unit, whole) and whole.delegates for whole in residual):
            others.append(Other(unit.path, unit.kind, "it is part of a block"))
        elif any(_is_part(part, unit) and not part.delegates for part in residual):
            others.append(Other(unit.path, unit.kind, "it contains blocks"))
        else:
            blocks.append(unit)
    return Survey(tuple(blocks), tuple(others))


def _is_part(inner: Unit, outer: Unit) -> bool:
    inside = "" if outer.path == "" else f"{outer.path}."
    return inner is not outer and inner.path.startswith(inside)

"""Write the program of a block from its graph."""

from typing import Any

import torch
from torch import fx, nn

from ._call import Call
from ._code import write_branch, write_main
from ._errors import CannotTranslate, NotResidual
from ._joins import find_joins, is_parameter, module_of, parameter_count
from ._program import Branch, Program, Step
from ._settle import settled
from ._sites import Site, sites, with_sites
from ._slice import Slice, cut
from ._trace import Followed, follow, record_values
from ._verify import cloned, isolated_rng


def path_of(block: nn.Module, call: Call) -> Followed:
    """Return the path of `block.forward` in a call, with sites in the place of masks.

    Raises:
        CannotTranslate: the forward cannot be traced.
    """
    try:
        marked = with_sites(block)
        return settled(follow(marked, call), marked, call)
    except Exception as error:  # whatever foreign code may raise is a reason, not a crash
        reason = str(error).strip().partition("\n")[0]
        raise CannotTranslate(f"its forward cannot be traced ({reason})") from error


def write(graph: fx.Graph, block: nn.Module, call: Call) -> Program:
    """Return the program of `block`, whose forward is `graph`.

    Args:
        graph: from `path_of`.
        block: from `with_sites`.
        call: arguments to run it on, as it meets them in its model.

    Raises:
        CannotTranslate: a residual branch cannot be cut out, or there is none.
    """
    with torch.no_grad(), isolated_rng(block):
        values = record_values(graph, block, cloned(call.live))
    joins = find_joins(graph, block, has_sites=bool(sites(block)))
    if not joins:
        raise NotResidual("it has no residual addition")
    pieces = [cut(graph, join, block) for join in joins]
    steps = tuple(_step(piece, block, values) for piece in pieces)
    return Program(write_main(graph, pieces, block), steps)


def _step(piece: Slice, block: nn.Module, values: dict[fx.Node, Any]) -> Step:
    return Step(
        branch=_describe(piece, block),
        sites=frozenset(node.name for node in piece.join.sites),
        code=write_branch(piece, block),
        compiled=None,
        batched=tuple(bool(read.meta["batched"]) for read in piece.reads[1:]),
        activation=str(piece.activation.target) if piece.activation else None,
        activated=_is_activated(piece, block, values),
        overwritten=piece.overwritten,
    )


def _describe(piece: Slice, block: nn.Module) -> Branch:
    children = [node for node in piece.nodes if node.op == "call_module"]
    at_sites = [node for node in children if isinstance(module_of(node, block), Site)]
    called = [node for node in children if node not in at_sites]
    largest = max(called, key=lambda node: parameter_count({node}, block), default=None)
    return Branch(
        label=str(largest.target if largest else piece.join.branch),
        kind=piece.join.kind,
        modules=tuple(dict.fromkeys(str(node.target) for node in called)),
        parameters=tuple(str(node.target) for node in piece.nodes if is_parameter(node, block)),
        sites=tuple(str(node.target) for node in at_sites),
    )


def _is_activated(piece: Slice, block: nn.Module, values: dict[fx.Node, Any]) -> bool:
    """Return whether the activation after the step leaves the shortcut's value alone.

    Judged by the values the block meets in the model: true of a ReLU behind a ReLU.
    """
    if piece.activation is None or piece.join.kind != "identity":
        return False
    activation = block.get_submodule(str(piece.activation.target))
    value = values[piece.join.shortcut]
    return bool(value.any()) and torch.equal(activation(value.clone()), value)

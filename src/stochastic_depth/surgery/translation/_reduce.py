"""Write a block without its dropped branches."""

import operator
from collections.abc import Iterator, Sequence
from inspect import Parameter, signature
from typing import Any

import torch
from torch import fx, nn

from ._call import Call
from ._code import TAKE, Copies
from ._errors import CannotTranslate
from ._program import Program, Step


def reduced(
    block: nn.Module, program: Program, call: Call, gates: Sequence[float]
) -> fx.GraphModule:
    """Return `block` under fixed gates, one per branch, as a module of its own.

    Its children and parameters are those of `block` that are still in use, under their
    names. It takes the arguments of the block's forward; those on which the code path
    depends must have the values they have in `call`.
    """
    graph, copies = fx.Graph(), Copies()
    live = _arguments(graph, block, call)
    for node in program.main.graph.nodes:
        if node.op == "placeholder":
            # The first is the steps, which nothing takes any more.
            copies[node] = next(live) if copies else node
        elif node.target == TAKE:
            copies[node] = _step(graph, node, program.steps, gates, copies)
        else:
            copies[node] = graph.node_copy(node, copies.__getitem__)
    module = fx.GraphModule(block, graph, class_name=type(block).__name__)
    return module.train(block.training)


def _arguments(graph: fx.Graph, block: nn.Module, call: Call) -> Iterator[fx.Node]:
    """Give `graph` the parameters of the block's forward, and yield those that flow."""
    tokens = call.live
    args, kwargs = call.arguments(tokens)
    form = signature(type(block).forward)
    bound = form.bind(block, *args, **kwargs)
    bound.apply_defaults()
    flowing: dict[int, fx.Node] = {}
    fixed: list[tuple[fx.Node, Any]] = []
    for name, value in list(bound.arguments.items())[1:]:
        parameter = form.parameters[name]
        if parameter.kind in (Parameter.VAR_POSITIONAL, Parameter.VAR_KEYWORD) and not value:
            continue
        default = () if parameter.default is Parameter.empty else (parameter.default,)
        node = graph.placeholder(name, None, *default)
        if value in tokens:
            flowing[tokens.index(value)] = node
        else:
            fixed.append((node, value))
    if len(flowing) < len(tokens):
        raise CannotTranslate("it takes tensors inside of containers")
    for node, value in fixed:
        same = graph.call_function(operator.eq, (node, value))
        message = f"This subnetwork was extracted for {node} = {value}."
        graph.call_function(torch._assert, (same, message))
    return iter(flowing[position] for position in range(len(tokens)))


def _step(
    graph: fx.Graph, node: fx.Node, steps: Sequence[Step], gates: Sequence[float], copies: Copies
) -> fx.Node:
    arguments: tuple[Any, ...] = node.args
    _, k, shortcut, *reads = arguments
    step, total = steps[k], copies[shortcut]
    if gates[k] != 0:
        inner = dict(zip(step.code.graph.nodes, (copies[read] for read in reads), strict=False))
        branch = graph.graph_copy(step.code.graph, inner)
        if gates[k] != 1:
            branch = graph.call_function(operator.mul, (branch, gates[k]))
        total = graph.call_function(operator.add, (total, branch))
    elif step.activated:
        return total
    elif step.overwritten:
        total = graph.call_method("clone", (total,))
    return total if step.activation is None else graph.call_module(step.activation, (total,))

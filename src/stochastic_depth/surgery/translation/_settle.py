"""Settle the plain values that children return beside tensors, such as a new image size.

Multi-scale attention returns its output and the size that it has; the block passes the
size on. A size is known beforehand for every shape of input: settled, it does not keep
the branch alive that it came from.
"""

import operator
from dataclasses import replace
from typing import Any

import torch
from torch import fx, nn

from ._call import Call
from ._trace import Followed, has_effect, is_plain, record_values
from ._verify import cloned, isolated_rng


def settled(followed: Followed, block: nn.Module, call: Call) -> Followed:
    """Return the path with plain results of children replaced by their values."""
    parts = [node for node in followed.graph.nodes if _is_part_of_result(node)]
    if not parts:
        return followed
    with torch.no_grad(), isolated_rng(block):
        values = record_values(followed.graph, block, cloned(call.live))
    plain = {node: values[node] for node in parts if is_plain(values[node])}
    if not plain:
        return followed

    def settle(node: fx.Node) -> Any:
        return plain.get(node, node)

    for user in [user for node in plain for user in node.users]:
        user.args = fx.map_arg(user.args, settle)
        user.kwargs = fx.map_arg(user.kwargs, settle)
    followed.graph.eliminate_dead_code(has_effect)
    return replace(followed, by_shape=True)


def _is_part_of_result(node: fx.Node) -> bool:
    source = node.args[0] if node.target is operator.getitem else None
    return isinstance(source, fx.Node) and source.op == "call_module"

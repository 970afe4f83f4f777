"""Cut a branch out of a block's graph."""

import operator
from dataclasses import dataclass

from torch import Tensor, fx, nn

from ._errors import CannotTranslate
from ._joins import Join, module_of


@dataclass(frozen=True)
class Slice:
    """A branch, cut out.

    Attributes:
        join: the addition it ends in.
        private: the nodes that nothing but the branch needs.
        nodes: what the branch computes, in program order: the private nodes, and a copy
            of the sizes it shares with the rest, so that under a gathered batch they
            are those of the gathered samples.
        reads: what the branch reads; its input, of which it is a function, comes first.
        activation: the activation of the sum, if one follows.
        overwritten: whether what follows changes the sum in place.
    """

    join: Join
    private: frozenset[fx.Node]
    nodes: tuple[fx.Node, ...]
    reads: tuple[fx.Node, ...]
    activation: fx.Node | None
    overwritten: bool


def cut(graph: fx.Graph, join: Join, block: nn.Module) -> Slice:
    """Return the branch of `join`.

    Raises:
        CannotTranslate: the branch cannot be left out; the message says why.
    """
    private = _private(graph, join)
    if join.branch not in private:
        raise CannotTranslate(f"the output of its branch, {join.branch}, is used elsewhere too")
    needed = private | _shared_sizes(private)
    nodes = tuple(node for node in graph.nodes if node in needed)
    reads = _reads(nodes, join)
    for node in nodes:
        if _in_place(node, block) and node.args[0] in reads:
            raise CannotTranslate(f"its branch changes its own input in place, at {node}")
    activation = _activation(join.node, block)
    overwritten = any(_in_place(user, block) for user in join.node.users)
    return Slice(join, frozenset(private), nodes, reads, activation, overwritten)


def _private(graph: fx.Graph, join: Join) -> set[fx.Node]:
    found: set[fx.Node] = set()
    for node in reversed(graph.nodes):
        enters = node is join.branch and join.node in node.users
        users = set(node.users) - {join.node} if enters else set(node.users)
        inside = users <= found and (enters or users)
        if inside and node.op not in ("placeholder", "output"):
            found.add(node)
    # What comes out of a layer beside something that is needed elsewhere is read from there.
    return {node for node in found if not _is_part_of_several(node, found)}


def _is_part_of_several(node: fx.Node, private: set[fx.Node]) -> bool:
    sources = node.all_input_nodes
    return node.target is operator.getitem and any(
        source not in private and _holds_several(source) and source.op != "placeholder"
        for source in sources
    )


def _holds_several(node: fx.Node) -> bool:
    return node.meta["shape"] is None and not node.meta["plain"]


def _shared_sizes(private: set[fx.Node]) -> set[fx.Node]:
    found: set[fx.Node] = set()
    pending = [value for node in private for value in node.all_input_nodes]
    while pending:
        node = pending.pop()
        if node not in private | found and _is_size(node):
            found.add(node)
            pending.extend(node.all_input_nodes)
    return found


def _is_size(node: fx.Node) -> bool:
    """Return whether `node` is computed from the sizes of tensors alone."""
    if node.op not in ("call_function", "call_method") or not node.meta["plain"]:
        return False
    return all(n.meta["shape"] is not None or _is_size(n) for n in node.all_input_nodes)


def _reads(nodes: tuple[fx.Node, ...], join: Join) -> tuple[fx.Node, ...]:
    reads = dict.fromkeys(
        value for node in nodes for value in node.all_input_nodes if value not in nodes
    )
    for read in reads:
        # Objects such as a cache of keys and values are passed on as they are.
        if _holds_several(read) and read.op != "placeholder":
            raise CannotTranslate(f"its branch reads {read}, which holds several values")
    inputs = [read for read in reads if read.meta["floating"] and read.op != "get_attr"]
    inputs = [read for read in inputs if read.meta["batched"]] or inputs
    if not inputs:
        raise CannotTranslate("its branch reads no tensor")
    first = join.shortcut if join.shortcut in inputs else inputs[0]
    return first, *(read for read in reads if read is not first)


def _activation(node: fx.Node, block: nn.Module) -> fx.Node | None:
    if len(node.users) != 1:
        return None
    (user,) = node.users
    module = module_of(user, block)
    known = type(module).__module__ == nn.ReLU.__module__
    return user if known and user.args == (node,) and not user.kwargs else None


def _in_place(node: fx.Node, block: nn.Module) -> bool:
    if node.op == "call_module":
        return bool(getattr(module_of(node, block), "inplace", False))
    name = str(node.target)
    return node.op == "call_method" and name.endswith("_") and hasattr(Tensor, name)

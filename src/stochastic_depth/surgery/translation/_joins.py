"""Where a shortcut and a branch meet: the residual additions of a block's graph."""

import operator
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Literal

from torch import fx, nn

from ._inline import ADDITIONS
from ._sites import Site

ShortcutKind = Literal["identity", "resize", "projection"]
"""Of a shortcut: nothing happens on it; something without parameters; a learned map."""


@dataclass(frozen=True)
class Join:
    """One residual addition, `node = shortcut + branch`.

    Attributes:
        node: the sum.
        shortcut: one operand.
        branch: the other.
        kind: of the shortcut.
        sites: drop sites that mask the branch as a whole.
    """

    node: fx.Node
    shortcut: fx.Node
    branch: fx.Node
    kind: ShortcutKind
    sites: frozenset[fx.Node] = frozenset()


def find_joins(graph: fx.Graph, block: nn.Module, has_sites: bool) -> list[Join]:
    """Return the residual additions in program order.

    Of the two operands the branch is the one that is computed from the other; where
    neither is (a projection shortcut), the one with the site, or with more layers.
    A block with sites is masked at its sites, so additions without one are left alone.
    An addition inside the branch of another belongs to that branch, and so does its site.

    Args:
        graph: from `trace`, with shapes recorded.
        block: the block.
        has_sites: whether the block has sites.
    """
    found = [join for node in graph.nodes if (join := _join(node, block)) is not None]
    if has_sites:
        found = [join for join in found if sites_of(_own(join), block)]
    inner = {node for join in found for node in _own(join)}
    nested = [join for join in found if join.node in inner]
    within = {node for join in nested for node in _own(join)}
    return [
        replace(join, sites=frozenset(sites_of(_own(join) - within, block)))
        for join in found
        if join not in nested
    ]


def _own(join: Join) -> set[fx.Node]:
    """Return what the branch is computed from and the shortcut is not."""
    return ancestors(join.branch) - ancestors(join.shortcut)


def sites_of(nodes: Iterable[fx.Node], block: nn.Module) -> set[fx.Node]:
    """Return the drop sites among `nodes`."""
    return {node for node in nodes if isinstance(module_of(node, block), Site)}


def may_join(graph: fx.Graph) -> bool:
    """Return whether the graph adds anything to anything that has a common origin.

    A cheap test that needs no values, for the many modules that are no blocks.
    """
    for node in graph.nodes:
        if node.target in ADDITIONS and len(node.all_input_nodes) == 2:
            first, second = map(ancestors, node.all_input_nodes)
            if any(common.op != "get_attr" for common in first & second):
                return True
    return False


def ancestors(node: fx.Node) -> set[fx.Node]:
    """Return `node` and all nodes it is computed from."""
    found: set[fx.Node] = set()
    pending = [node]
    while pending:
        if (current := pending.pop()) not in found:
            found.add(current)
            pending.extend(current.all_input_nodes)
    return found


def module_of(node: fx.Node, block: nn.Module) -> nn.Module | None:
    """Return the child that `node` calls, or None."""
    return block.get_submodule(str(node.target)) if node.op == "call_module" else None


def parameter_count(nodes: set[fx.Node], block: nn.Module) -> int:
    """Return how many parameters the nodes use."""
    return sum(p.numel() for node in nodes for p in _parameters(node, block))


def is_parameter(node: fx.Node, block: nn.Module) -> bool:
    """Return whether `node` reads a parameter of the block directly."""
    if node.op != "get_attr":
        return False
    return isinstance(operator.attrgetter(str(node.target))(block), nn.Parameter)


def _parameters(node: fx.Node, block: nn.Module) -> Iterator[nn.Parameter]:
    if node.op == "call_module":
        yield from block.get_submodule(str(node.target)).parameters()
    elif is_parameter(node, block):
        yield block.get_parameter(str(node.target))


def _join(node: fx.Node, block: nn.Module) -> Join | None:
    operands = _operands(node)
    if operands is None:
        return None
    before = {operand: ancestors(operand) for operand in operands}
    own = {a: _working(before[a] - before[b], block) for a, b in (operands, operands[::-1])}
    shortcut, branch = sorted(operands, key=lambda operand: _extent(own[operand], block))
    if not parameter_count(own[branch], block) or not _common_tensor(
        before[shortcut] & before[branch]
    ):
        return None
    if not own[shortcut]:
        return Join(node, shortcut, branch, "identity")
    stream = next(iter(node.graph.nodes))
    if stream not in before[shortcut] or stream not in before[branch]:
        return None  # what a second input contributes is no shortcut
    learned = parameter_count(own[shortcut], block) > 0
    return Join(node, shortcut, branch, "projection" if learned else "resize")


def _extent(nodes: set[fx.Node], block: nn.Module) -> tuple[bool, int, int]:
    """Return how much happens on one side of an addition; more does on the branch.

    Parameters come last: a projection to many channels may have more of them than a
    narrow bottleneck.
    """
    modules = [module for node in nodes if (module := module_of(node, block)) is not None]
    has_site = any(isinstance(module, Site) for module in modules)
    layers = sum(not list(layer.children()) for module in modules for layer in module.modules())
    return has_site, layers + len(nodes), parameter_count(nodes, block)


def _working(nodes: set[fx.Node], block: nn.Module) -> set[fx.Node]:
    return {node for node in nodes if not _does_nothing(module_of(node, block))}


def _does_nothing(module: nn.Module | None) -> bool:
    empty = isinstance(module, nn.Sequential) and len(module) == 0
    return empty or type(module) is nn.Identity


def _operands(node: fx.Node) -> tuple[fx.Node, fx.Node] | None:
    """Return the two tensors that `node` adds entry by entry, or None."""
    if node.target not in ADDITIONS or node.kwargs or len(node.all_input_nodes) != 2:
        return None
    if not node.meta["floating"]:
        return None
    first, second = node.all_input_nodes
    if first.meta["shape"] != second.meta["shape"]:
        return None
    return first, second


def _common_tensor(nodes: set[fx.Node]) -> bool:
    return any(node.meta["floating"] and node.op != "get_attr" for node in nodes)

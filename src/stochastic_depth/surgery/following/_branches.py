"""One branch of a block: the children on it, what they do in it, and what may be left out."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from torch import nn
from torch.utils import _pytree as pytree

from .._frame import Role, Stub
from ._exits import exits
from ._gathering import Part, entering
from ._joins import ADDITIONS, Join
from ._observe import Observation, Seen
from ._recording import Call, Ref
from ._stand_in import stand_in
from ._units import Branch


class BranchReader:
    """Reads branches from what was seen of a model.

    Args:
        modules: of the model, by every path.
        observation: of the model.
    """

    def __init__(self, modules: Mapping[str, nn.Module], observation: Observation) -> None:
        self.modules, self.observation = modules, observation
        self.recording = observation.recording
        self.paths: dict[int, str] = {}
        for path, module in modules.items():
            self.paths.setdefault(id(module), path)

    def branch(self, index: int, block: Call, join: Join, sites: tuple[str, ...]) -> Branch:
        """Return the branch of an addition.

        Args:
            index: of the branch in its block.
            block: the call of the block.
            join: the addition.
            sites: paths of the drop sites on the branch.
        """
        modules = self._modules(block, join)
        site_names = tuple(relative(path, block.path) for path in sites)
        sized = [(self._size(block, path), path) for path in modules]
        # The largest child names the branch: the attention or the MLP, not the norm before it.
        label = max(sized)[1] if sized else "branch"
        found = exits(self.recording, block, join)
        branch = Branch(label, join.kind, found, tuple(modules), site_names)
        branch.roles = self._roles(index, block, join, branch)
        stubs = [role.stub is not None for role in branch.roles.values()]
        # All or none: a child that has to run would compute with the stand-ins of the others.
        branch.spared = bool(found) and bool(stubs) and all(stubs)
        return branch

    def places(self, call: Call, joins: tuple[Join, ...]) -> dict[int, int]:
        """Count the sums of a block; see `Unit.places`."""
        values, places, count = self.recording.values, {}, -1
        branches = {join.operation: join.branch for join in joins}
        for number in range(call.begin, call.end):
            operation = self.recording.operations[number]
            pair = [values[a.value] for a in operation.args[:2] if isinstance(a, Ref)]
            # The very sums that `_trial.is_sum` counts, here from the recording.
            if operation.function not in ADDITIONS or len(pair) != 2:
                continue
            if not all(v.floating for v in pair) or pair[0].shape != pair[1].shape:
                continue
            count += 1
            if number in branches:
                places[count] = int(operation.args[0].value != branches[number])
        return places

    def _roles(self, index: int, block: Call, join: Join, branch: Branch) -> dict[Any, Role]:
        """Return what the children on a branch do in it."""
        parts: dict[int, Part] = {}
        for path in branch.modules:
            module = self.modules[f"{block.path}.{path}" if block.path else path]
            # A recording knows a shared child by its first path only.
            calls = self.recording.calls_of(self.paths[id(module)])
            inside = [call for call in calls if block.number in call.stack]
            for nth, call in enumerate(inside):
                # Another call of the same child may lie on another branch, or on none.
                if not join.between & set(call.outputs):
                    continue
                leaf = next((e.leaf for e in branch.exits if (e.path, e.nth) == (path, nth)), None)
                pair = self._pair(call.path, calls.index(call))
                parts[call.number] = Part(path, nth, call, leaf, pair)
        gathered = entering(self.recording, block, join, parts)
        return {
            (part.path, part.nth): Role(
                index,
                part.leaf,
                self._stub(part),
                gathered[number] if gathered else None,
                self._shields(part.call, join),
            )
            for number, part in parts.items()
        }

    def _stub(self, part: Part) -> Stub | None:
        """Return what stands for a child; a copy, where the block would change it in place."""
        stub = stand_in(part.pair) if part.pair else None
        # What stands in may be the child's input, which is not the block's to change.
        changed = bool(set(part.call.outputs) & self.recording.overwritten)
        return replace(stub, fresh=True) if stub is not None and changed else stub

    def _pair(self, path: str, nth: int) -> list[Seen]:
        """Return a call of a module at both batch sizes, if there are two."""
        seen = [calls.get(path, []) for calls in (self.observation.calls, self.observation.larger)]
        return [calls[nth] for calls in seen] if all(len(calls) > nth for calls in seen) else []

    def _shields(self, call: Call, join: Join) -> tuple[bool, ...]:
        leaves = pytree.tree_leaves((call.args, call.kwargs))
        written = self.recording.written(call)
        return tuple(
            # A shield is a new tensor: what a child writes in place would be lost in it.
            isinstance(leaf, Ref) and leaf.value not in join.between and leaf.value not in written
            for leaf in leaves
        )

    def _size(self, call: Call, path: str) -> int:
        whole = f"{call.path}.{path}" if call.path else path
        return sum(p.numel() for p in self.modules[whole].parameters())

    def _modules(self, block: Call, join: Join) -> list[str]:
        """Return the paths of the children that are wholly on a branch, in order of use."""
        calls = (self.recording.values[number].call for number in sorted(join.between))
        children = (self.recording.child(call, block, join.operation) for call in calls)
        return list(dict.fromkeys(self.recording.name(child, block) for child in children if child))


def alone(join: Join, joins: tuple[Join, ...]) -> Join:
    """Return a join with what is on its branch alone: a norm of two branches runs for either."""
    shared = frozenset().union(*(other.between for other in joins if other is not join))
    return replace(join, between=join.between - shared)


def relative(path: str, outer: str) -> str:
    return path.removeprefix(f"{outer}.") if outer else path

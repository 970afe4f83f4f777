"""From residual additions to blocks: what has a gate, and what has none and why."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from torch import nn
from torch.utils import _pytree as pytree

from ...blocks import Residual
from .._frame import Role, Stub
from ._exits import Exit, exits
from ._gathering import Part, entering
from ._joins import ADDITIONS, Join, ShortcutKind, find_joins
from ._observe import Observation, Seen, observe
from ._recording import Call, Recording, Ref
from ._shortcut import PASSES_SIGN, NotDerivable, Shortcut, derive
from ._sites import sites
from ._stand_in import stand_in

Form = Literal["own", "block", "branch"]
"""The project's `Residual`; a module with its additions inside; a module that its parent adds."""


@dataclass(eq=False)
class Branch:
    """One residual branch.

    Attributes:
        label: names it within its block.
        kind: what is on the shortcut beside it.
        exits: where it leaves; empty if that is in no child.
        modules: paths, in the block, of the children that are wholly on it.
        sites: names of the block's drop sites on it.
        roles: what its children do in it, by path and number of the call.
        spared: whether its children may be left out while other branches run.
        obstacle: why it can have no gate of its own beside others of its block.
    """

    label: str
    kind: ShortcutKind
    exits: tuple[Exit, ...] = ()
    modules: tuple[str, ...] = ()
    sites: tuple[str, ...] = ()
    roles: dict[tuple[str, int], Role] = field(default_factory=dict, repr=False)
    spared: bool = False
    obstacle: str = ""


@dataclass(eq=False)
class Unit:
    """A module that has gates.

    Attributes:
        path: where it is in the model.
        kind: name of its class.
        form: how it is run.
        branches: its residual branches.
        shortcut: what it leaves when dropped; None for an own block, and where it cannot
            be told.
        uses: how many gates it has one after the other: its calls, each from the last.
        obstacle: why no gate can be put on it.
        masked: why it runs when dropped, and its change is discarded; empty if it does not run.
        rows: why its samples cannot be run apart; empty if they can.
        overwritten: whether what it returns is changed in place by what follows.
        hollow: whether what it leaves is what its own forward returns while the children on its
            branches are not called.
        writes: whether it changes an argument in place.
        leaf: which tensor of what it returns is added by its parent.
        paths: where each leaf of its arguments is, in the example.
        places: which sums of two tensors in its forward, counted, are its additions, and
            which operand the branch is.
        harmless: classes of objects that it is given and leaves as they are.
        patterns: what is known of its calls, by pattern.
        call: its first call in the recording.
        joins: its additions, with that call.
    """

    path: str
    kind: str
    form: Form
    branches: tuple[Branch, ...] = ()
    shortcut: Shortcut | None = None
    uses: int = 1
    obstacle: str = ""
    masked: str = ""
    rows: str = ""
    overwritten: bool = False
    writes: bool = False
    hollow: bool = False
    leaf: int = 0
    paths: list[str] = field(default_factory=list, repr=False)
    places: dict[int, int] = field(default_factory=dict, repr=False)
    harmless: set[type] = field(default_factory=set, repr=False)
    patterns: dict[Any, Any] = field(default_factory=dict, repr=False)
    call: Call | None = field(default=None, repr=False)
    joins: tuple[Join, ...] = field(default=(), repr=False)

    @property
    def spared(self) -> bool:
        """Whether the children on its branches may be left out while its forward runs."""
        return bool(self.branches) and all(branch.spared for branch in self.branches)

    @property
    def exits(self) -> tuple[Exit, ...]:
        """The exits of all branches."""
        return tuple(exit for branch in self.branches for exit in branch.exits)

    def __getstate__(self) -> dict[str, Any]:
        # Patterns hold structures of foreign classes; another process finds them anew.
        return {**vars(self), "call": None, "joins": (), "patterns": {}}

    def __deepcopy__(self, memo: dict[int, Any]) -> "Unit":
        return self  # it is about the class of the block and its place, not about the block


@dataclass(frozen=True)
class Other:
    """A module that holds a residual addition, or looks like it, and has no gate.

    Attributes:
        path: where it is in the model.
        kind: name of its class.
        reason: why it has none.
    """

    path: str
    kind: str
    reason: str


@dataclass(frozen=True, eq=False)
class Survey:
    """What was found in a model: its blocks in the order in which they run, and the rest."""

    units: tuple[Unit, ...]
    others: tuple[Other, ...]
    observation: Observation | None = field(default=None, repr=False)

    def __getstate__(self) -> dict[str, Any]:
        return {**vars(self), "observation": None}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)

    def __deepcopy__(self, memo: dict[int, Any]) -> "Survey":
        return self


def survey(model: nn.Module, example: Any | None = None, *, run: bool = False) -> Survey:
    """Look for the blocks of `model`.

    Args:
        model: the model, without gates.
        example: an input; guessed when needed.
        run: run the model even if it consists of own blocks, to see where its samples are.
    """
    own = _own_units(model)
    has_sites = any(sites(module) for module in model.modules())
    if own and not (run or has_sites):
        return Survey(tuple(own.values()), ())
    observation = observe(model, example)
    return _Survey(model, observation, own).result()


def _own_units(model: nn.Module) -> dict[str, Unit]:
    found: dict[str, Unit] = {}
    seen: dict[int, Unit] = {}
    for path, module in model.named_modules(remove_duplicate=False):
        if not isinstance(module, Residual):
            continue
        if id(module) in seen:
            seen[id(module)].uses += 1
            continue
        branch = Branch("branch", _own_kind(module), modules=("branch",))
        found[path] = seen[id(module)] = Unit(path, type(module).__name__, "own", (branch,))
    return found


def _own_kind(block: Residual) -> ShortcutKind:
    if block.shortcut is None:
        return "identity"
    return "resize" if next(block.shortcut.parameters(), None) is None else "projection"


class _Survey:
    def __init__(self, model: nn.Module, observation: Observation, own: dict[str, Unit]) -> None:
        self.model, self.observation, self.own = model, observation, own
        self.recording: Recording = observation.recording
        self.others: list[Other] = []
        self.joins: list[Join] = []
        self.modules = dict(model.named_modules(remove_duplicate=False))
        self.paths = {id(module): path for path, module in model.named_modules()}
        self.kinds = {path: type(module).__name__ for path, module in self.modules.items()}
        self.sites = {
            f"{path}.{name}" if path else name: path
            for path, module in self.modules.items()
            for name in sites(module)
        }

    def result(self) -> Survey:
        """Return the survey."""
        joins = [join for join in find_joins(self.recording) if not self._inside_own(join)]
        self.joins = joins
        marked = [join for join in joins if self._marked(join)]
        if marked or self.own:
            self._leave_out([j for j in joins if j not in marked], marked)
            joins = self._outermost(marked)
        else:
            joins = self._without_inner(self._with_shortcut(joins))
        units = [*self._called(self.own.values()), *self._units(joins)]
        self._keep_relus(units)
        self._name_sites(units)
        self._note_stop()
        units.sort(key=self._order)
        return Survey(tuple(units), tuple(self.others), self.observation)

    def _order(self, unit: Unit) -> int:
        calls = self.recording.calls_of(unit.path)
        return calls[0].number if calls else len(self.recording.calls)

    def _called(self, own: Any) -> Iterator[Unit]:
        for unit in own:
            calls = self.recording.calls_of(unit.path)
            if not calls:
                self._other(unit.path, "the model does not call it")
                continue
            unit.uses = max(unit.uses, self._uses(calls))
            unit.call = calls[0]
            yield unit

    def _inside_own(self, join: Join) -> bool:
        path = self.recording.calls[join.call].path
        return any(path == own or path.startswith(f"{own}.") for own in self.own)

    def _marked(self, join: Join) -> bool:
        """Return whether the library itself would drop the branch, at a site."""
        return bool(self._sites_of(join)) or self._empty_site(join)

    def _empty_site(self, join: Join) -> bool:
        module = self.modules[join.owner.path]
        return any(getattr(module, name, None) is None for name in sites(module))

    def _sites_of(self, join: Join) -> tuple[str, ...]:
        nearer = (
            other.between
            for other in self.joins
            if other is not join and other.total in join.between
        )
        behind = join.between.difference(*nearer)
        calls = {self.recording.values[number].call for number in behind}
        around = {n for call in calls for n in self.recording.calls[call].stack}
        paths = (self.recording.calls[number].path for number in sorted(around))
        return tuple(dict.fromkeys(path for path in paths if path in self.sites))

    def _outermost(self, joins: list[Join]) -> list[Join]:
        """Leave out masked additions within masked branches: they go with them."""
        return [
            join
            for join in joins
            if not any(
                join.total in other.between and other.owner.number in join.owner.stack
                for other in joins
                if other is not join
            )
        ]

    def _without_inner(self, joins: list[Join]) -> list[Join]:
        """Leave out additions on a branch that the same forward adds: they go with it."""
        kept: list[Join] = []
        for join in reversed(joins):
            if not any(
                join.total in other.between and (other.owner, other.call) == (join.owner, join.call)
                for other in kept
            ):
                kept.append(join)
        return kept[::-1]

    def _with_shortcut(self, joins: list[Join]) -> list[Join]:
        """Leave out sums of learned maps, unless blocks of that class have a shortcut, too."""
        plain = {self.kinds[j.owner.path] for j in joins if j.kind != "projection"}
        kept = []
        for join in joins:
            if join.kind != "projection" or self.kinds[join.owner.path] in plain:
                kept.append(join)
            else:
                self._other(join.owner.path, "it adds up learned maps, without a shortcut")
        return kept

    def _leave_out(self, joins: list[Join], marked: list[Join]) -> None:
        blocks = {join.owner.path for join in marked}
        for path in dict.fromkeys(join.owner.path for join in joins):
            inside = any(path == b or path.startswith(f"{b}.") or b == "" for b in blocks)
            if not inside and not any(self._is_part(b, path) for b in blocks):
                self._other(path, "its addition has no drop site, as others of this model have")

    def _other(self, path: str, reason: str) -> None:
        other = Other(path, self.kinds[path], reason)
        if other not in self.others:
            self.others.append(other)

    def _units(self, joins: list[Join]) -> Iterator[Unit]:
        groups = self._nested(self._grouped(joins))
        for path, group in groups.items():
            yield from self._of_group(path, group)

    def _grouped(self, joins: list[Join]) -> dict[str, list[Join]]:
        groups: dict[str, list[Join]] = {}
        for join in joins:
            groups.setdefault(join.owner.path, []).append(join)
        return groups

    def _nested(self, groups: dict[str, list[Join]]) -> dict[str, list[Join]]:
        """Give each addition to one block: blocks do not lie within blocks."""
        for outer in sorted(groups, key=lambda path: path.count(".") if path else -1, reverse=True):
            inner = [path for path in groups if self._is_part(path, outer)]
            if not inner or outer not in groups:
                continue
            parts = [path for path in inner if not _has_list(_relative(path, outer))]
            if len(parts) == len(inner) and all(self._beside(groups, p, outer) for p in parts):
                for path in parts:  # such as BertAttention and BertLayer: steps of one block
                    groups[outer] = groups.pop(path) + groups[outer]
                groups[outer].sort(key=lambda join: join.operation)
            elif looped := self._looped(outer, groups[outer], groups):
                if len(looped) < len(groups[outer]):
                    self._other(outer, "an addition of it goes around blocks")
                groups[outer] = looped
            else:
                del groups[outer]
                self._other(outer, "it contains blocks")
        return groups

    def _beside(self, groups: dict[str, list[Join]], inner: str, outer: str) -> bool:
        """Return whether the additions of a part are on the outer stream, not in a branch."""
        sums = {join.total for join in groups[inner]}
        return not any(sums & join.between for join in groups[outer])

    @staticmethod
    def _is_part(inner: str, outer: str) -> bool:
        return inner != outer and (outer == "" or inner.startswith(f"{outer}."))

    def _looped(self, path: str, joins: list[Join], groups: dict[str, list[Join]]) -> list[Join]:
        """Return the additions, two at least, of what the members of a list return."""
        inside = f"{path}." if path else ""
        members = {join: f"{inside}{exit.path}" for join in joins if (exit := self._member(join))}
        within = {p for p in groups if p != path}
        free = {
            join: whole
            for join, whole in members.items()
            if not any(
                p == whole or self._is_part(p, whole) or self._is_part(whole, p) for p in within
            )
            and not any(self._is_part(whole, other) for other in members.values())
        }
        owners = [p for p in groups if self.kinds[p] == self.kinds[path]]
        one = len(owners) == 1 or len({self.kinds[whole] for whole in free.values()}) == 1
        return list(free) if len(free) > 1 and one else []

    def _member(self, join: Join) -> Exit | None:
        found = exits(self.recording, join.owner, join)
        return found[0] if len(found) == 1 and _has_list(found[0].path) else None

    def _of_group(self, path: str, joins: list[Join]) -> Iterator[Unit]:
        if looped := self._looped(path, joins, self._grouped(joins)):
            yield from self._members(path, looped)
            return
        calls = self.recording.calls_of(path)
        first = [join for join in joins if join.owner.number >= calls[0].number]
        first = [j for j in first if self.recording.within(j.call, calls[0])]
        yield self._block(path, calls, tuple(first))

    def _members(self, path: str, joins: list[Join]) -> Iterator[Unit]:
        found: dict[str, Unit] = {}
        for join in joins:
            (exit,) = exits(self.recording, join.owner, join)
            whole = f"{path}.{exit.path}" if path else exit.path
            calls = self.recording.calls_of(whole)
            if whole not in found:
                branch = Branch(exit.path.rpartition(".")[2], "identity", modules=("",))
                found[whole] = Unit(
                    whole, self.kinds[whole], "branch", (branch,), call=calls[0], joins=(join,),
                    uses=self._uses(calls),
                )  # fmt: skip
                if len(calls[0].outputs) != 1:
                    found[whole].masked = "it returns more than what is added"
        yield from found.values()

    def _block(self, path: str, calls: list[Call], joins: tuple[Join, ...]) -> Unit:
        call = calls[0]
        unit = Unit(path, self.kinds[path], "block", call=call, joins=joins)
        unit.branches = tuple(
            self._branch(number, call, _alone(join, joins)) for number, join in enumerate(joins)
        )
        unit.places = self._places(call, joins)
        unit.uses = self._uses(calls)
        unit.writes = bool(self.recording.written(call) & set(call.inputs))
        unit.overwritten = any(number in self.recording.overwritten for number in call.outputs)
        if "forward" in vars(self.modules[path]):
            unit.obstacle = "its forward was replaced on the instance"
            return unit
        try:
            unit.shortcut = derive(self.recording, call, list(joins), call.output)
            unit.masked = unit.shortcut.missing
        except NotDerivable as reason:
            unit.masked = str(reason)
        return unit

    def _keep_relus(self, units: list[Unit]) -> None:
        """Keep a ReLU that repeats another, if gates could make what lies between negative.

        S + d (B - S) may be negative where S and B are not.
        """
        at_exits = {
            unit.path: len(unit.branches) == 1 and bool(unit.exits)
            for unit in units
            if unit.form == "block"
        }
        for unit in units:
            shortcut, call = unit.shortcut, unit.call
            if call is None or shortcut is None or not shortcut.positive:
                continue
            source = self.recording.source(call.inputs[0], PASSES_SIGN)
            around = [
                self.recording.calls[number].path for number in self.recording.calls[source].stack
            ]
            if not all(at_exits.get(path, True) for path in around):
                unit.shortcut = derive(
                    self.recording, call, list(unit.joins), call.output, trusting=False
                )

    def _uses(self, calls: list[Call]) -> int:
        """Return how many calls of a module follow from one another: each has its own gate."""
        count, last = 1, calls[0]
        for call in calls[1:]:
            ancestors = 0
            for number in call.inputs:
                ancestors |= self.recording.values[number].ancestors
            if any(ancestors >> number & 1 for number in last.outputs):
                count, last = count + 1, call
        return count

    def _places(self, call: Call, joins: tuple[Join, ...]) -> dict[int, int]:
        """Count the sums of a block; see `Unit.places`."""
        values, places, count = self.recording.values, {}, -1
        branches = {join.operation: join.branch for join in joins}
        for number in range(call.begin, call.end):
            operation = self.recording.operations[number]
            pair = [values[a.value] for a in operation.args[:2] if isinstance(a, Ref)]
            if operation.function not in ADDITIONS or len(pair) != 2:
                continue
            if not all(v.floating for v in pair) or pair[0].shape != pair[1].shape:
                continue
            count += 1
            if number in branches:
                places[count] = int(operation.args[0].value != branches[number])
        return places

    def _branch(self, index: int, call: Call, join: Join) -> Branch:
        modules = self._modules(call, join)
        site_names = tuple(_relative(path, call.path) for path in self._sites_of(join))
        sized = [(self._size(call, path), path) for path in modules]
        label = max(sized)[1] if sized else "branch"
        found = exits(self.recording, call, join)
        branch = Branch(label, join.kind, found, tuple(modules), site_names)
        branch.roles = self._roles(index, call, join, branch)
        stubs = [role.stub is not None for role in branch.roles.values()]
        branch.spared = bool(found) and bool(stubs) and all(stubs)
        return branch

    def _roles(self, index: int, block: Call, join: Join, branch: Branch) -> dict[Any, Role]:
        """Return what the children on a branch do in it."""
        parts: dict[int, Part] = {}
        for path in branch.modules:
            module = self.modules[f"{block.path}.{path}" if block.path else path]
            calls = self.recording.calls_of(self.paths[id(module)])
            inside = [call for call in calls if block.number in call.stack]
            for nth, call in enumerate(inside):
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

    def _name_sites(self, units: list[Unit]) -> None:
        """Say of modules with drop sites that are not on a branch what is wrong with them."""
        places = [unit.path for unit in units]
        for path in dict.fromkeys(self.sites.values()):
            inside = any(path == p or self._is_part(path, p) for p in places)
            if not inside and not any(self._is_part(p, path) for p in places):
                self._other(path, self._fault(path))

    def _fault(self, path: str) -> str:
        if not self.recording.calls_of(path):
            return "the model does not call it"
        outputs = [
            number
            for site, owner in self.sites.items()
            if owner == path
            for call in self.recording.calls_of(site)
            for number in call.outputs
        ]
        if not outputs:
            return "it has no residual addition"
        block = self.recording.calls_of(path)[0]
        reached = 0
        for number in block.outputs:
            reached |= self.recording.values[number].ancestors
        if not any(reached >> number & 1 for number in outputs):
            return "its mask has no effect on what it computes"
        stream = self._without(block, set(outputs))
        return (
            "its mask is not on a residual branch"
            if stream
            else "its mask removes the whole signal: it has no shortcut"
        )

    def _without(self, block: Call, masked: set[int]) -> bool:
        """Return whether a block's input reaches its output around some values."""
        reached = set(block.inputs)
        for operation in self.recording.operations[block.begin : block.end]:
            if reached & set(operation.inputs):
                reached |= set(operation.outputs) - masked
        return bool(reached & set(block.outputs))

    def _note_stop(self) -> None:
        if self.recording.stopped:
            self._other(
                self.recording.stopped,
                "it is a lazy layer: what follows it was not seen; run the model once first",
            )


def _alone(join: Join, joins: tuple[Join, ...]) -> Join:
    """Return a join with what is on its branch alone: a norm of two branches runs for either."""
    shared = frozenset().union(*(other.between for other in joins if other is not join))
    return replace(join, between=join.between - shared)


def _relative(path: str, outer: str) -> str:
    return path.removeprefix(f"{outer}.") if outer else path


def _has_list(path: str) -> bool:
    return any(part.isdigit() for part in path.split("."))


def counted(others: tuple[Other, ...]) -> Counter[tuple[str, str]]:
    """Count modules without gates by class and reason."""
    return Counter((other.kind, other.reason) for other in others)

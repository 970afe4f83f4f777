"""From residual additions to blocks: what has a gate, and what has none and why."""

from collections.abc import Iterator
from typing import Any

from torch import nn

from ...blocks import Residual
from ._branches import BranchReader, alone
from ._joins import Join, ShortcutKind, find_joins
from ._nesting import Nesting, grouped, is_part
from ._observe import Observation, observe
from ._recording import Call, Recording
from ._shortcut import PASSES_SIGN, NotDerivable, derive
from ._sites import sites
from ._units import Branch, Other, Survey, Unit


def survey(model: nn.Module, example: Any | None = None, *, run: bool = False) -> Survey:
    """Look for the blocks of `model`.

    Args:
        model: the model, without gates.
        example: an input; guessed when needed.
        run: run the model even if it consists of own blocks, to see where its samples are.
    """
    own = _own_units(model)
    has_sites = any(sites(module) for module in model.modules())
    # The project's own blocks say what their branches are: nothing has to run.
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
        # By every path: blocks that share a child each know it by a path of their own.
        self.modules = dict(model.named_modules(remove_duplicate=False))
        self.branches = BranchReader(self.modules, observation)
        self.kinds = {path: type(module).__name__ for path, module in self.modules.items()}
        self.nesting = Nesting(self.recording, self.kinds, self._other)
        self.sites = {
            f"{path}.{name}" if path else name: path
            for path, module in self.modules.items()
            for name in sites(module)
        }

    def result(self) -> Survey:
        """Return the survey."""
        joins = [join for join in find_joins(self.recording) if not self._inside_own(join)]
        self.joins = joins
        # Where a library has put drop sites, its authors have said which additions may drop.
        marked = [join for join in joins if self._marked(join)]
        if marked or self.own:
            self._leave_out([j for j in joins if j not in marked], marked)
            joins = self._outermost(marked)
        else:
            joins = self._without_inner(self._with_shortcut(joins))
        units = [*self._called(self.own.values()), *self._units(joins)]
        # Not while blocks are built: whether a ReLU repeats another depends on the blocks before
        # it.
        self._keep_relus(units)
        self._name_sites(units)
        self._note_stop()
        units.sort(key=self._order)
        return Survey(tuple(units), tuple(self.others), self.observation)

    def _order(self, unit: Unit) -> int:
        calls = self.recording.calls_of(unit.path)
        # By first call: modules are often registered in another order than they run.
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
        # A site that holds None leaves no trace in a recording: its module vouches for its
        # additions.
        return any(getattr(module, name, None) is None for name in sites(module))

    def _sites_of(self, join: Join) -> tuple[str, ...]:
        # A site on a branch within this branch belongs to the addition of that one.
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
        # The transition of a ResNet adds learned maps, too, but others of its class do not.
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
            if not inside and not any(is_part(b, path) for b in blocks):
                self._other(path, "its addition has no drop site, as others of this model have")

    def _other(self, path: str, reason: str) -> None:
        other = Other(path, self.kinds[path], reason)
        if other not in self.others:
            self.others.append(other)

    def _units(self, joins: list[Join]) -> Iterator[Unit]:
        for path, group in self.nesting.blocks(joins).items():
            yield from self._of_group(path, group)

    def _of_group(self, path: str, joins: list[Join]) -> Iterator[Unit]:
        if looped := self.nesting.looped(path, joins, grouped(joins)):
            yield from self._members(path, looped)
            return
        calls = self.recording.calls_of(path)
        first = [join for join in joins if join.owner.number >= calls[0].number]
        first = [j for j in first if self.recording.within(j.call, calls[0])]
        yield self._block(path, calls, tuple(first))

    def _members(self, path: str, joins: list[Join]) -> Iterator[Unit]:
        found: dict[str, Unit] = {}
        for join in joins:
            exit = self.nesting.member(join)
            assert exit is not None  # noqa: S101  # the caller has looked
            whole = f"{path}.{exit.path}" if path else exit.path
            calls = self.recording.calls_of(whole)
            if whole not in found:
                branch = Branch(exit.path.rpartition(".")[2], "identity", modules=("",))
                found[whole] = Unit(
                    whole, self.kinds[whole], "branch", (branch,), call=calls[0], joins=(join,),
                    uses=self._uses(calls),
                )  # fmt: skip
                # Zeros can stand for what its parent adds, but not for anything else.
                if len(calls[0].outputs) != 1:
                    found[whole].masked = "it returns more than what is added"
        yield from found.values()

    def _block(self, path: str, calls: list[Call], joins: tuple[Join, ...]) -> Unit:
        call = calls[0]
        unit = Unit(path, self.kinds[path], "block", call=call, joins=joins)
        own = [alone(join, joins) for join in joins]
        unit.branches = tuple(
            self.branches.branch(number, call, join, self._sites_of(join))
            for number, join in enumerate(own)
        )
        unit.places = self.branches.places(call, joins)
        unit.uses = self._uses(calls)
        unit.writes = bool(self.recording.written(call) & set(call.inputs))
        unit.overwritten = any(number in self.recording.overwritten for number in call.outputs)
        # Gates extend the class, and Python would find the forward on the instance first.
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
        # A gate at the exit of a single branch comes before the last ReLU, which mends the sign.
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
            # Calls that do not follow from one another (towers, two views of a batch) share a gate.
            if any(ancestors >> number & 1 for number in last.outputs):
                count, last = count + 1, call
        return count

    def _name_sites(self, units: list[Unit]) -> None:
        """Say of modules with drop sites that are not on a branch what is wrong with them."""
        places = [unit.path for unit in units]
        for path in dict.fromkeys(self.sites.values()):
            inside = any(path == p or is_part(path, p) for p in places)
            if not inside and not any(is_part(p, path) for p in places):
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

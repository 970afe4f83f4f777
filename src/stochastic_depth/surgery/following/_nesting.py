"""Which module an addition belongs to: blocks do not lie within blocks."""

from collections.abc import Callable, Mapping, Sequence

from ._branches import relative
from ._exits import Exit, exits
from ._joins import Join
from ._recording import Recording


def grouped(joins: Sequence[Join]) -> dict[str, list[Join]]:
    """Return additions by the path of the module whose forward adds."""
    groups: dict[str, list[Join]] = {}
    for join in joins:
        groups.setdefault(join.owner.path, []).append(join)
    return groups


def is_part(inner: str, outer: str) -> bool:
    """Return whether one path lies within another."""
    return inner != outer and (outer == "" or inner.startswith(f"{outer}."))


class Nesting:
    """Gives each addition of a model to one block.

    Args:
        recording: of the model.
        kinds: the class of each module, by path.
        leave_out: told the path of each addition that gets no gate, and why.
    """

    def __init__(
        self,
        recording: Recording,
        kinds: Mapping[str, str],
        leave_out: Callable[[str, str], None],
    ) -> None:
        self.recording, self.kinds, self._leave_out = recording, kinds, leave_out
        self._members: dict[Join, Exit | None] = {}

    def blocks(self, joins: list[Join]) -> dict[str, list[Join]]:
        """Return the additions of each block, by its path."""
        groups = grouped(joins)
        for outer in sorted(groups, key=lambda path: path.count(".") if path else -1, reverse=True):
            inner = [path for path in groups if is_part(path, outer)]
            if not inner or outer not in groups:
                continue
            # A part with a name is a step of the block; one with a number is a block of a stack.
            parts = [path for path in inner if not _has_list(relative(path, outer))]
            if len(parts) == len(inner) and all(self._beside(groups, p, outer) for p in parts):
                for path in parts:  # such as BertAttention and BertLayer: steps of one block
                    groups[outer] = groups.pop(path) + groups[outer]
                groups[outer].sort(key=lambda join: join.operation)
            elif len(parts) == len(inner) and self._only_inner(groups, parts, outer):
                for path in parts:  # such as the mixer of a Mamba block: steps of its branch
                    del groups[path]
                    self._leave_out(path, "its addition is a step of a branch")
            elif looped := self.looped(outer, groups[outer], groups):
                if len(looped) < len(groups[outer]):
                    self._leave_out(outer, "an addition of it goes around blocks")
                groups[outer] = looped
            else:
                del groups[outer]
                self._leave_out(outer, "it contains blocks")
        return groups

    def _beside(self, groups: dict[str, list[Join]], inner: str, outer: str) -> bool:
        """Return whether the additions of a part are on the outer stream, not in a branch."""
        sums = {join.total for join in groups[inner]}
        return not any(sums & join.between for join in groups[outer])

    @staticmethod
    def _only_inner(groups: dict[str, list[Join]], parts: list[str], outer: str) -> bool:
        """Return whether the block alone has a stream, and its parts none of their own."""
        within = (join for path in parts for join in groups[path])
        return all(join.kind != "identity" for join in within) and all(
            join.kind != "projection"  # a change of precision is no identity
            for join in groups[outer]
        )

    def looped(self, path: str, joins: list[Join], groups: dict[str, list[Join]]) -> list[Join]:
        """Return the additions, two at least, of what the members of a list return."""
        inside = f"{path}." if path else ""
        members = {join: f"{inside}{exit.path}" for join in joins if (exit := self.member(join))}
        within = {p for p in groups if p != path}
        free = {
            join: whole
            for join, whole in members.items()
            if not any(p == whole or is_part(p, whole) or is_part(whole, p) for p in within)
            and not any(is_part(whole, other) for other in members.values())
        }
        # A frequent class that loops over unlike modules is a block, and they are its steps.
        owners = [p for p in groups if self.kinds[p] == self.kinds[path]]
        one = len(owners) == 1 or len({self.kinds[whole] for whole in free.values()}) == 1
        # One member alone may be any child with a number for a name, as in a Sequential.
        return list(free) if len(free) > 1 and one else []

    def member(self, join: Join) -> Exit | None:
        """Return where the branch of an addition leaves, if that is a member of a list."""
        if join not in self._members:
            found = exits(self.recording, join.owner, join)
            single = len(found) == 1 and _has_list(found[0].path)
            self._members[join] = found[0] if single else None
        return self._members[join]


def _has_list(path: str) -> bool:
    return any(part.isdigit() for part in path.split("."))

"""What is found in a model: blocks with their branches, and what has no gate and why."""

from collections import Counter
from dataclasses import dataclass, field
from typing import Any, Literal

from .._frame import Role
from ._exits import Exit
from ._joins import Join, ShortcutKind
from ._observe import Observation
from ._recording import Call
from ._shortcut import Shortcut

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


def counted(others: tuple[Other, ...]) -> Counter[tuple[str, str]]:
    """Count modules without gates by class and reason."""
    return Counter((other.kind, other.reason) for other in others)

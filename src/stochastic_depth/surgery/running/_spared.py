"""No gradient for what was dropped: in a graph every block has one, which is zero.

An optimizer skips a parameter without gradient; one whose gradient is zero is moved by
momentum and weight decay. So the zeros that a graph makes are taken away again, as they are
accumulated, unless the parameter had a gradient before or ran in another forward.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor, nn


@dataclass(eq=False)
class Spared:
    """The parameters of gated blocks whose gradient is None after a step that dropped them.

    Attributes:
        parameters: of the branches, gate by gate.
        ran: which took part in a forward since the last backward.
        fresh: which had no gradient before the one that is being accumulated.
        hooks: on the parameters; removed by `stop`.
        backward: whether a backward pass has come since the last forward.
    """

    parameters: list[list[nn.Parameter]]
    ran: set[int] = field(default_factory=set)
    fresh: set[int] = field(default_factory=set)
    hooks: list[Any] = field(default_factory=list)
    backward: bool = False

    def start(self) -> None:
        """Watch the parameters."""
        unique = {id(p): p for group in self.parameters for p in group if p.requires_grad}
        for parameter in unique.values():
            self.hooks += [
                parameter.register_hook(self._before(parameter)),
                parameter.register_post_accumulate_grad_hook(self._after),
            ]

    def stop(self) -> None:
        """Leave the parameters alone again."""
        while self.hooks:
            self.hooks.pop().remove()

    def note(self, kept: Iterable[bool]) -> None:
        """Note which blocks run in a forward."""
        # Several forwards may share a backward: a block that ran in any of them has a gradient.
        if self.backward:
            self.ran.clear()
            self.backward = False
        for group, runs in zip(self.parameters, kept, strict=True):
            self.ran.update(map(id, group) if runs else ())

    def _before(self, parameter: nn.Parameter) -> Any:
        def look(_: Tensor) -> None:
            # The last moment that shows whether there was a gradient before.
            if parameter.grad is None:
                self.fresh.add(id(parameter))

        return look

    def _after(self, parameter: Tensor) -> None:
        self.backward = True
        fresh = id(parameter) in self.fresh
        self.fresh.discard(id(parameter))
        if fresh and id(parameter) not in self.ran:
            parameter.grad = None

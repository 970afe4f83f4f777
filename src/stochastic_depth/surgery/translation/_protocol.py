"""What every translation of a block offers, wherever it comes from."""

from collections.abc import Sequence, Set
from typing import Any, Protocol

from torch import nn

from ...blocks import Gate


class Translation(Protocol):
    """A way to run a block under one gate per residual branch.

    Three exist: `Own` for the project's `Residual`, `Foreign` for foreign blocks that can be
    followed, `Declared` for those that their user described with `register`.

    Attributes:
        original: class of the block before gates were put on it.
    """

    original: type[nn.Module]

    def run(
        self,
        block: nn.Module,
        gates: Sequence[Gate],
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        *,
        zero_grads: bool,
    ) -> Any:
        """Return what `block` computes under `gates`.

        Args:
            block: an instance of `original`, or of a class extended from it.
            gates: one per branch.
            args: positional arguments of the call.
            kwargs: keyword arguments of the call.
            zero_grads: give the parameters of dropped branches a gradient of zero.
        """
        ...

    def compile(self, block: nn.Module, options: dict[str, Any] | None) -> None:
        """Run the branches of `block` compiled with these options; None undoes it."""
        ...

    def fixed(self, block: nn.Module, gates: Sequence[float], shared: Set[int]) -> nn.Module:
        """Return what is left of `block` under fixed gates: a module without gates.

        Args:
            block: an instance of `original`, to be changed or taken apart.
            gates: one per branch, not all 1.
            shared: ids of parameters that other parts of the model use as well.

        Raises:
            CannotTranslate: the block cannot be cut.
        """
        ...

"""What a user holds of a model with stochastic depth."""

from collections.abc import Iterable, Mapping
from typing import Any

from torch import Tensor, nn

from .._checks import fail, instance, network, probabilities, probability, same_length, seed_or_step
from .._errors import InvalidArgument, Unsupported
from .._typing import Gates, Probabilities
from ..gates import Law, SurvivalLaw
from ._frame import arguments_of, first_tensor
from .following import Block
from .running import CONTROLLER, Controller, bearer, compile_gated, uninstall, warm_up


class Handle:
    """Stochastic depth on a model, to be looked at, changed, saved and taken off.

    The state is the model's: a copy of the model has its own, and `handle(copy)` is the
    handle of that.

    Attributes:
        model: the model.
        blocks: one record per gate.
        survival: survival probabilities, float64, shape (L,). May be set, as a curriculum
            does in every step; protected blocks stay at 1.
        law: the law of the gates. May be set.
        gates: gates of the last training forward, shape (L,) or (L, N); None before it.
        step: number of training forwards so far, and of the next draw. May be set.
        seed: of the stream of gates. May be set.
    """

    def __init__(self, model: nn.Module) -> None:
        _controller_of(model)
        self.model = model

    @property
    def _controller(self) -> Controller:
        return _controller_of(self.model)

    @property
    def blocks(self) -> tuple[Block, ...]:
        """One record per gate."""
        return self._controller.blocks

    @property
    def law(self) -> Law:
        """The law of the gates."""
        return self._controller.law

    @law.setter
    def law(self, law: Law) -> None:
        self._controller.law = instance("law", law, Law, "a law of gates")

    @property
    def survival(self) -> Probabilities:
        """Survival probabilities, shape (L,)."""
        return self.law.survival

    @survival.setter
    def survival(self, p: Tensor | Iterable[float] | float) -> None:
        if not isinstance(self.law, SurvivalLaw):
            raise Unsupported(f"{self.law} has no probabilities to set; set handle.law instead.")
        if not isinstance(p, Iterable) or getattr(p, "ndim", 1) == 0:
            p = [probability("survival", p)] * len(self.blocks)  # type: ignore[arg-type]
        vector = same_length("survival", probabilities("survival", p), len(self.blocks)).clone()
        for block in self.blocks:
            if not block.droppable:
                vector[block.index] = 1.0
        self.law = self.law.with_state(self.law.state() | {"survival": vector})

    @property
    def gates(self) -> Gates | None:
        """Gates of the last training forward."""
        latest = self._controller.latest
        return None if latest is None else latest.gates

    @property
    def step(self) -> int:
        """Number of the next draw."""
        return self._controller.step

    @step.setter
    def step(self, step: int) -> None:
        self._controller.step = seed_or_step("step", step)

    @property
    def seed(self) -> int:
        """Seed of the stream of gates.

        May be set: a copy that trains beside its original draws the same gates until it has a
        seed of its own.
        """
        return self._controller.seed

    @seed.setter
    def seed(self, seed: int) -> None:
        self._controller.seed = seed_or_step("seed", seed)

    def compile(self, **options: Any) -> None:
        """Compile the model: one graph for every draw.

        The gates of a step are drawn outside and enter as data. Per batch, a dropped block runs
        two samples with a factor of 0, or, in batches below 8, is a conditional that skips it.
        Per sample, its survivors are taken out of the batch and put back.
        `torch.compile(model)` and `model.compile()` do the same, with a break at the draw.

        A model that does not fit into one graph (a gate per branch, a block called twice) has its
        branches compiled one by one. `plan` says how each block runs.

        Args:
            options: keyword arguments of `torch.compile`.
        """
        compile_gated(self.model, options)

    def warm_up(self, example: Any, run: nn.Module | None = None) -> int:
        """Compile whatever training will need, before it begins.

        Processes that meet new graphs at different times wait for each other. The forward and
        backward passes of this call leave parameters, gradients, buffers, random generators and
        the number of the draw as they were.

        Args:
            example: a batch as in training, of its size: an input of the model, a tuple of
                inputs, or a dictionary of keyword arguments.
            run: what is called in training, if that is not the model itself: what
                `torch.compile(model)` returned, or DistributedDataParallel.

        Returns:
            How many graphs were compiled: 0 if all had been, or if nothing is compiled.

        Example:
            >>> import torch, stochastic_depth as sd
            >>> model = sd.models.VanillaResNet(depth=3, width=8, inputs=2, outputs=1)
            >>> handle = sd.apply(model, sd.schedules.linear(0.5))
            >>> handle.compile(backend="eager")
            >>> handle.warm_up(torch.randn(8, 2)), handle.warm_up(torch.randn(8, 2)), handle.step
            (2, 0, 0)
        """
        args, kwargs = arguments_of(example)
        x = first_tensor(args, kwargs)
        if x is None or x.ndim == 0:
            raise fail("example", "a batch with a tensor of samples", type(example).__name__)
        run = self.model if run is None else run
        return warm_up(self.model, lambda net: net(*args, **kwargs), run, len(x))

    def state_dict(self) -> dict[str, Any]:
        """Return what a checkpoint needs to go on with the same gates."""
        options = self._controller.options
        return {
            "seed": self.seed,
            "step": self.step,
            "per": options.per,
            "multiple": options.multiple,
            "law": self.law.state(),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on where `state_dict` was taken.

        Raises:
            InvalidArgument: an entry is missing or out of range, or of another model, another
                law, another rescaling, another `per` or another `multiple`.
        """
        missing = {"seed", "step", "per", "law"} - state.keys()
        if missing:
            raise fail("state", "one of Handle.state_dict()", f"no {', '.join(sorted(missing))}")
        seed = seed_or_step("seed", state["seed"])
        step = seed_or_step("step", state["step"])
        options = self._controller.options
        if state["per"] != options.per:
            raise fail("state", f"of gates per {options.per}", f"gates per {state['per']}")
        if (multiple := state.get("multiple", 1)) != options.multiple:
            raise fail("state", f"of gates with multiple={options.multiple}", multiple)
        self.law = self.law.with_state(state["law"])
        self._controller.seed, self._controller.step = seed, step

    def remove(self) -> None:
        """Take stochastic depth off: classes, masks and outputs are what they were.

        Raises:
            Unsupported: the model was wrapped since (such as by FSDP); undo that first.
        """
        _controller_of(self.model)
        uninstall(self.model)

    def __repr__(self) -> str:
        droppable = sum(block.droppable for block in self.blocks)
        options = self._controller.options
        multiple = f", multiple={options.multiple}" if options.multiple > 1 else ""
        return (
            f"Handle({type(self.model).__name__}, {len(self.blocks)} blocks, {droppable} "
            f"droppable, {self.law}, per={options.per!r}{multiple}, step={self.step})"
        )


def handle(model: nn.Module) -> Handle:
    """Return the handle of a model that has stochastic depth.

    For models that came out of a copy or a pickle, or were wrapped since, as by an adapter;
    `apply` returns the handle as well.

    Raises:
        InvalidArgument: the model has no stochastic depth.
    """
    return Handle(bearer(network("model", model)) or model)


def _controller_of(model: nn.Module) -> Controller:
    controller = vars(network("model", model)).get(CONTROLLER)
    if controller is None:
        raise InvalidArgument(
            f"model must have stochastic depth; this {type(model).__name__} has none. "
            "Put it on with stochastic_depth.apply."
        )
    return controller

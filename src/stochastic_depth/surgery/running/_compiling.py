"""Compile a gated model: as one graph where it fits, else branch by branch."""

import inspect
import warnings
from collections.abc import Callable, Iterator
from functools import partial
from types import FunctionType
from typing import Any

import torch
from torch import distributed, nn
from torch.nn.parallel import DistributedDataParallel
from torch.utils import _pytree as pytree

from ..._errors import Unsupported
from ..._typing import Gates
from .._frame import first_tensor
from ..following import isolated_rng, spares
from ._controller import Controller
from ._entrance import before_draw, look_at_tools, products
from ._entry import Entry, entry_of, has_batch_statistics
from ._graph import ROWS_FROM
from ._pass import Pass
from ._ranks import sharing
from ._seat import CONTROLLER, ORIGINAL, SEAT, Seat
from ._spared import Spared

FLAGS = ("gradient_checkpointing", "grad_checkpointing")
"""By which transformers and timm are told to run blocks again in the backward pass."""


def compile_gated(model: nn.Module, options: dict[str, Any] | None) -> None:
    """Compile a model with gates into one graph, or branch by branch; None undoes it."""
    controller: Controller = vars(model)[CONTROLLER]
    whole = options is not None and not outside_graph(model)
    controller.program = None
    if whole:
        # The forward below the gates: the draw stays outside of the program.
        # Not `vars`: what shards a model extends its class once more.
        forward = getattr(type(model), ORIGINAL).forward
        program = torch.compile(_caller(forward), **(options or {}))
        controller.program = partial(_run_program, program)
    _compile_branches(model, None if whole else options)
    controller.compiled = options is not None


def _run_program(program: Callable[..., Any], model: nn.Module, *args: Any, **kwargs: Any) -> Any:
    from torch._dynamo.exc import BackendCompilerFailed  # which imports the compiler

    try:
        return program(model, *args, **kwargs)
    except BackendCompilerFailed as error:
        controller: Controller = vars(model)[CONTROLLER]
        entries = (seat.entry for _, seat in seats(model))
        if controller.graph.gathers or not any(entry.conditional for entry in entries):
            raise
        raise Unsupported(
            f"backend must compile conditionals (torch.cond), in which batches below {ROWS_FROM} "
            f"skip their blocks; it raised {error.inner_exception!r}. Use batches of {ROWS_FROM} "
            "samples or more, per='subset', or a backend with conditionals, such as inductor."
        ) from error


def _compile_branches(model: nn.Module, options: dict[str, Any] | None) -> None:
    compiled: dict[Any, Callable[..., Any]] = {}
    for block, seat in seats(model):
        paths = [path for branch in seat.unit.branches for path in branch.modules]
        for path in dict.fromkeys(paths):
            child = block.get_submodule(path)
            child._compiled_call_impl = None
            # A dropout or an activation alone gains nothing from a graph.
            if options is not None and next(child.parameters(), None) is not None:
                key = _structure(child)
                # The children of fifty equal blocks share one graph.
                if key not in compiled:
                    call = _caller(nn.Module._call_impl)
                    compiled[key] = torch.compile(call, **options)
                child._compiled_call_impl = partial(compiled[key], child)


def _structure(child: nn.Module) -> tuple[Any, ...]:
    """Return what modules have in common that run as one graph."""
    # What a compiler guards on: with another shape or type the graph would be compiled again.
    tensors = [*child.named_parameters(), *child.named_buffers()]
    return (str(child), *((name, t.shape, t.dtype, t.requires_grad) for name, t in tensors))


def _caller(method: Callable[..., Any]) -> Callable[..., Any]:
    """Return a function with a code object of its own: the compiler counts graphs by code."""

    def call(module: nn.Module, *args: Any, **kwargs: Any) -> Any:
        return method(module, *args, **kwargs)

    return FunctionType(call.__code__.replace(), globals(), "call", closure=call.__closure__)


def draw_for_graph(
    model: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> dict[str, Any] | None:
    """Draw gates into tensors; return the keyword arguments, or None if there is no graph.

    Warns:
        UserWarning: the model does not fit into one graph, and why.
    """
    look_at_tools(model)
    controller: Controller = vars(model)[CONTROLLER]
    graph, reason = controller.graph, outside_graph(model)
    reason = reason or products(model, controller, kwargs)
    x = first_tensor(args, kwargs)
    if not reason and (x is None or len(x) < 2) and _needs_two(model, controller):
        reason = "a batch of one sample"
    gates = None if controller.forced is None else controller.forced.gates
    if gates is not None and gates.requires_grad:
        reason = "its gates are to have a gradient"
    graph.inside = not reason
    if reason:
        _say_eager(model, controller, reason)
        return None
    # Checks, and an exchange between processes, which no graph can hold.
    if model.training and controller.forced is None:
        kwargs = before_draw(model, controller, args, kwargs)
    graph.forced = controller.forced is not None
    graph.checkpoints = any(getattr(m, flag, False) for m in model.modules() for flag in FLAGS)
    if model.training or graph.forced:
        controller.draw_for_graph(x)
        _take_zeros_away(model, controller)
    return kwargs


def _take_zeros_away(model: nn.Module, controller: Controller) -> None:
    """Have the parameters of dropped blocks get no gradient, unless they are to get zeros."""
    replicas = distributed.is_available() and DistributedDataParallel._get_active_ddp_module()
    if controller.options.dropped_grads == "zero" or replicas or not torch.is_grad_enabled():
        return
    # Once per model: the hooks stay on the parameters from step to step.
    if controller.spared is None:
        groups = [
            [*spares(unit, model.get_submodule(unit.path))]
            for unit, _, _ in controller.anatomy.governed
        ]
        controller.spared = Spared(groups)
        controller.spared.start()
    controller.spared.note(controller.kept)


def outside_graph(model: nn.Module) -> str:
    """Return why a model does not fit into one graph; note how its blocks stand in it."""
    controller: Controller = vars(model)[CONTROLLER]
    # A graph knows the gates of its process alone, and not what runs in the others.
    if controller.options.independent and sharing(model) is not None:
        return "its parameters are shared out among processes with gates of their own"
    # Asked in every step: entries hold for good, only a reason is looked at anew.
    if not controller.graph.entered and (reason := _enter(model, controller)):
        return reason
    return "" if controller.law.evaluation.eq(1).all() else "evaluated gates are not 1"


def _enter(model: nn.Module, controller: Controller) -> str:
    """Give every block its place in the graph; return why one has none, or ""."""
    for block, seat in seats(model):
        seat.entry = _entry(block, seat)
        if isinstance(seat.entry, str):
            return f"{seat.unit.path}: {seat.entry}"
        if has_batch_statistics(block):
            controller.graph.normed.add(seat.entry.number)
    controller.graph.entered = True
    return ""


def _entry(block: nn.Module, seat: Seat) -> Entry | str:
    # The gated forward takes any arguments: their names are those of the original.
    parameters = inspect.signature(seat.original.forward).parameters
    return entry_of(block, seat, tuple(parameters)[1:])


def _needs_two(model: nn.Module, controller: Controller) -> bool:
    """Return whether a block cannot run in a batch of one sample."""
    entries = (seat.entry for _, seat in seats(model))
    return controller.options.per != "batch" or not all(e.always or e.conditional for e in entries)


def ways(model: nn.Module) -> dict[str, str]:
    """Return how each block runs in a compiled model, by path; empty if it is not compiled."""
    controller: Controller = vars(model)[CONTROLLER]
    if not (controller.compiled or controller.graph.entered or "compile" in controller.warned):
        return {}
    whole = not outside_graph(model)
    return {seat.unit.path: _way(block, seat, whole) for block, seat in seats(model)}


def _way(block: nn.Module, seat: Seat, whole: bool) -> str:
    entry = _entry(block, seat)
    if not whole:
        kind = "branch by branch" if seat.controller.compiled else "not compiled"
        return f"{kind}: {entry if isinstance(entry, str) else 'others do not fit into one graph'}"
    assert isinstance(entry, Entry)  # noqa: S101  # each has a place
    return f"in one graph: {entry.way(seat.controller.options.per != 'batch')}"


def warm_up(model: nn.Module, call: Callable[[nn.Module], Any], run: nn.Module, size: int) -> int:
    """Visit every graph that training on batches of `size` needs; return how many were made."""
    from torch._dynamo.utils import counters  # which imports the compiler

    controller: Controller = vars(model)[CONTROLLER]
    before, forced = counters["stats"]["unique_graphs"], controller.forced
    modes = [(module, module.training) for module in run.modules()]
    tensors = [(p, p.grad) for p in model.parameters()]
    buffers = [(buffer, buffer.clone()) for buffer in model.buffers()]
    try:
        with isolated_rng(model):
            run.train()
            for gates in _patterns(controller, size):
                controller.forced = Pass("auto", gates, forced=True)
                _backward(call(run))
            controller.forced = forced
            run.eval()
            with torch.no_grad():
                call(run)
    finally:
        controller.forced = forced
        for module, training in modes:
            module.training = training
        for parameter, grad in tensors:
            parameter.grad = grad
        with torch.no_grad():
            for buffer, was in buffers:
                buffer.copy_(was)
    return int(counters["stats"]["unique_graphs"] - before)


def _patterns(controller: Controller, size: int) -> list[Gates]:
    """Return gates under which every part of a model meets every kind of batch."""
    protected = controller.anatomy.protected
    if controller.options.per == "batch":
        return [torch.ones(len(protected), device="cpu"), protected.float()]
    # One sample, and none, are graphs of their own where branches are compiled one by one.
    counts = [size, *(k for k in (size - 1, 2, 1) if 0 < k < size)]
    first = torch.arange(size, device="cpu")
    return [((first < k) | protected[:, None]).float() for k in counts]


def _backward(output: Any) -> None:
    leaves = [leaf for leaf in pytree.tree_leaves(output) if isinstance(leaf, torch.Tensor)]
    terms = [leaf.float().sum() for leaf in leaves if leaf.requires_grad]
    if terms:
        torch.stack(terms).sum().backward()


def _say_eager(model: nn.Module, controller: Controller, reason: str) -> None:
    by_branches = controller.compiled and controller.program is None
    if by_branches or "compile" in controller.warned:
        return
    controller.warned.add("compile")
    warnings.warn(
        f"{type(model).__name__} runs eagerly: its gates do not go into a graph ({reason}). "
        "handle.compile() compiles its branches one by one; stochastic_depth.plan(model) says "
        "how each block stands.",
        stacklevel=2,
    )


def seats(model: nn.Module) -> Iterator[tuple[nn.Module, Seat]]:
    """Yield the blocks that have gates, and what they know about them."""
    for module in model.modules():
        if SEAT in vars(module):
            yield module, vars(module)[SEAT]

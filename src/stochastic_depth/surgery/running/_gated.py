"""Put gates on modules by extending their class, and take them off again.

A gated module keeps everything it is: its class is replaced by a subclass of it with the same
name that asks for the gates first. There is one such subclass per class and role, made when
first needed.
"""

import inspect
import warnings
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch.utils import _pytree as pytree

from ..._errors import Unsupported
from ...blocks import Gate, Rows, with_zero_grads
from .._frame import dense, first_tensor
from ._compiling import draw_for_graph
from ._controller import Controller
from ._entrance import before_draw, look_at_tools, products
from ._execute import Execution
from ._follow import in_graph
from ._pass import Pass, in_backward
from ._ranks import sharing
from ._seat import CHILD, CONTROLLER, ORIGINAL, SEAT, Child, Seat


def block_forward(original: type[nn.Module]) -> Callable[..., Any]:
    """Return the forward of a gated block of class `original`."""

    def forward(self: nn.Module, *args: Any, **kwargs: Any) -> Any:
        seat: Seat = self.__dict__[SEAT]
        # Not in a graph of a part of the model: nobody has drawn for it.
        if torch.compiler.is_dynamo_compiling() and seat.controller.graph.inside:
            return in_graph(self, seat, original.forward, args, kwargs)
        if seat.controller.graph.inside and self.training:
            seat.controller.say_outside(seat.unit)
        x = first_tensor(args, kwargs)
        if (proxy := _proxy(args, kwargs)) is not None:
            tracer: Any = proxy.tracer  # a block is one call in a graph, and keeps its gates
            return tracer.create_proxy("call_module", tracer.path_of_module(self), args, kwargs)
        gates, zeros = seat.controller.gates(seat.index, seat.gates, self.training, x)
        gates = [_not_alone(self, gate, x) for gate in gates]
        if all(isinstance(gate, float) and gate == 1.0 for gate in gates):
            return original.forward(self, *args, **kwargs)
        if seat.unit.form == "own":
            return _own(self, seat, gates[0], zeros[0], args, kwargs)
        times = len(seat.unit.branches) if seat.whole else 1
        return Execution(self, seat, args, kwargs, zeros * times).run(gates * times)

    return forward


def _not_alone(block: nn.Module, gate: Gate, x: Tensor | None) -> Gate:
    """Return the gate as a mask where one survivor would be normalised by itself.

    Its variance is that of one image, and over one pixel there is none: PyTorch raises.
    """
    if not isinstance(gate, Rows) or len(gate.index) > 1 or x is None:
        return gate
    norms = (m for m in block.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm))
    if not any(norm.training for norm in norms):
        return gate
    return dense(gate, torch.empty(len(x), device=x.device))


def _own(
    block: nn.Module,
    seat: Seat,
    gate: Gate,
    zeros: bool,
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
) -> Any:
    """Run a `Residual`; a gate that the caller passes explicitly has precedence."""
    given = dict(kwargs)
    x = args[0] if args else given.pop("x", None)
    # A gate given by the caller, or a wrong argument: the block itself deals with either.
    if len(args) > 1 or given or x is None:
        return seat.original.forward(block, *args, **kwargs)
    if zeros and isinstance(gate, float) and gate == 0:
        x = with_zero_grads(x, block.get_submodule("branch").parameters())
    return seat.original.forward(block, x, gate)


def child_call(original: type[nn.Module]) -> Callable[..., Any]:
    """Return how a child of class `original` on a branch is called."""

    def call(self: nn.Module, *args: Any, **kwargs: Any) -> Any:
        seat: Child = self.__dict__[CHILD]
        plain = original.__call__.__get__(self)
        if torch.compiler.is_dynamo_compiling():
            return _child_in_graph(self, seat, plain, args, kwargs)
        frames = seat.controller.frames
        frame = frames[-1] if frames else None
        memory = seat.controller.memory
        if frame is None and in_backward():  # a checkpoint around this child alone
            frame, nth = memory.find(first_tensor(args, kwargs), id(self)) or (None, 0)
        elif frame is not None and frame.unit in seat.roles:
            # Noted for a checkpoint around this child, which later runs it without its block.
            nth = frame.nth(self)
            memory.note(first_tensor(args, kwargs), id(self), frame, nth)
        if frame is None or frame.unit not in seat.roles:
            return plain(*args, **kwargs)
        role = seat.roles[frame.unit].get(nth)
        if role is None:
            return plain(*args, **kwargs)
        return frame.call(role, plain, args, kwargs)

    return call


def _child_in_graph(
    child: nn.Module, seat: Child, plain: Callable[..., Any], args: Any, kwargs: Any
) -> Any:
    graph = seat.controller.graph
    # In a graph of a part of the model nobody has put gates into frames.
    if not (graph.inside and graph.frames and graph.frames[-1].unit in seat.roles):
        return plain(*args, **kwargs)
    frame = graph.frames[-1]
    role = seat.roles[frame.unit].get(frame.nth(child))
    return plain(*args, **kwargs) if role is None else frame.call(role, plain, args, kwargs)


def model_forward(original: type[nn.Module]) -> Callable[..., Any]:
    """Return the forward of a model of class `original` whose blocks have gates."""

    def forward(self: nn.Module, *args: Any, **kwargs: Any) -> Any:
        program = self.__dict__[CONTROLLER].program
        if program is not None or torch.compiler.is_dynamo_compiling():
            given = draw(self, args, kwargs)
            if given is not None:
                return (program or original.forward)(self, *args, **given)
        return run(self, args, kwargs)

    # Not where it is defined: this imports the compiler for seconds, and a plan needs none.
    draw = torch.compiler.disable(draw_for_graph, reason="gates are drawn outside of graphs")

    @torch.compiler.disable(reason="gates stay outside of graphs")  # type: ignore[untyped-decorator]
    def run(self: nn.Module, args: Any, kwargs: Any) -> Any:
        controller: Controller = vars(self)[CONTROLLER]
        controller.graph.inside = False
        controller.sharing = sharing(self)
        look_at_tools(self)
        if self.training and controller.forced is None:
            kwargs = before_draw(self, controller, args, kwargs)
        x = first_tensor(args, kwargs)
        with controller.open_pass(self.training, x, products(self, controller, kwargs)) as running:
            output = original.forward(self, *args, **kwargs)
        output = _safe(self, output, (args, kwargs), running)
        controller.follow(output, running)
        return output

    return forward


def _safe(model: nn.Module, output: Any, given: Any, running: Pass) -> Any:
    """Return an output that a caller may change, and that has a graph if anything is trained.

    With every block dropped the output may be the input itself; and where only blocks are
    trained, it would have no graph, and `backward` would fail in that step alone.
    """
    if running.gates is None and not running.forced:
        return output
    memory = {
        leaf.untyped_storage()._cdata
        for leaf in pytree.tree_leaves(given)
        if isinstance(leaf, Tensor) and type(leaf) is Tensor and _has_memory(leaf)
    }
    anchored = _anchor(model, output, running)

    def own(leaf: Any) -> Any:
        if not isinstance(leaf, Tensor) or not _has_memory(leaf):
            return leaf
        if leaf.untyped_storage()._cdata in memory:
            leaf = leaf.clone()
        return leaf if anchored is None or not leaf.is_floating_point() else anchored(leaf)

    if isinstance(output, Tensor):
        return own(output)
    found = [leaf for leaf in pytree.tree_leaves(output) if isinstance(leaf, Tensor)]
    shared = any(_has_memory(leaf) and leaf.untyped_storage()._cdata in memory for leaf in found)
    return pytree.tree_map(own, output) if shared or anchored is not None else output


def _has_memory(x: Tensor) -> bool:
    if torch._C._functorch.maybe_current_level() is not None or x.is_nested:
        return False
    return x.layout is torch.strided


def _anchor(model: nn.Module, output: Any, running: Pass) -> Callable[[Tensor], Tensor] | None:
    """Return what ties an output without a graph to a leaf, if nothing trainable has run."""
    if not (model.training and torch.is_grad_enabled()):
        return None
    found = [leaf for leaf in pytree.tree_leaves(output) if isinstance(leaf, Tensor)]
    floating = [leaf for leaf in found if leaf.is_floating_point()]
    if not floating or any(leaf.requires_grad for leaf in floating):
        return None
    # If nothing was dropped, having no graph is what the user asked for.
    if running.forced or running.gates is None or bool((running.gates != 0).all()):
        return None
    if not any(p.requires_grad for p in model.parameters()):
        return None
    controller: Controller = vars(model)[CONTROLLER]
    if "nothing" not in controller.warned:
        controller.warned.add("nothing")
        warnings.warn(
            "Every trainable block was dropped in this step: no parameter gets a gradient from "
            "it. With dropped_grads='zero' they get zeros, which a GradScaler needs.",
            stacklevel=2,
        )
    # A leaf of our own: backward runs, and leaves every gradient None.
    return lambda leaf: with_zero_grads(leaf, [leaf.new_zeros((), requires_grad=True)])


def _proxy(args: tuple[Any, ...], kwargs: dict[str, Any]) -> fx.Proxy | None:
    values = (*args, *kwargs.values())
    return next((value for value in values if isinstance(value, fx.Proxy)), None)


Part = Callable[[type[nn.Module]], Callable[..., Any]]


def extended(original: type[nn.Module], role: Part) -> type[nn.Module]:
    """Return the subclass of `original` in a role: a block, a model, or a child of a branch."""
    # One per class: blocks of one class stay of one class, for `type(a) is type(b)` and compilers.
    if (original, role) not in _EXTENDED:
        _EXTENDED[original, role] = _extend(original, role)
    return _EXTENDED[original, role]


_EXTENDED: dict[tuple[type[nn.Module], Part], type[nn.Module]] = {}


def _extend(original: type[nn.Module], role: Part) -> type[nn.Module]:
    def reduce(self: nn.Module, protocol: Any) -> Any:
        # The subclass exists in this process only: a pickle names the original class.
        rebuild, args, *state = tuple(original.__reduce_ex__(self, protocol))
        args = tuple(original if arg is type(self) else arg for arg in args)
        return (_rebuild, (role, rebuild, args), *state)

    method = role(original)
    namespace: dict[str, Any] = {
        "__module__": original.__module__,
        "__qualname__": original.__qualname__,
        "__doc__": original.__doc__,
        "__reduce_ex__": reduce,
        "__prepare_scriptable__": _refuse_scripting,
        ORIGINAL: original,
    }
    if role is child_call:
        # Not its forward: hooks of a child that is left out must not run, and the gate comes last.
        namespace["__call__"] = method
        del namespace["__prepare_scriptable__"]
    else:
        # Not functools.wraps: tools that look for what was wrapped would take the gates off.
        method.__signature__ = inspect.signature(original.forward)  # type: ignore[attr-defined]
        method.__name__, method.__doc__ = "forward", original.forward.__doc__
        named = role is model_forward  # the root of a trace
        namespace["forward"] = with_parameters_of(original.forward, method) if named else method
    return type(original.__name__, (original,), namespace)


def with_parameters_of(function: Callable[..., Any], run: Callable[..., Any]) -> Callable[..., Any]:
    """Return `run` with the parameters of another function written out; defaults are not passed.

    torch.fx reads them from the code object. functools.wraps would not do: tools that look for
    what was wrapped would take the gates off.
    """
    parameters = inspect.signature(function).parameters.values()
    listed = any(parameter.kind is parameter.VAR_POSITIONAL for parameter in parameters)
    defaults = {p.name: p.default for p in parameters if p.default is not p.empty}
    declared, passed, optional = [], [], []
    for parameter in parameters:
        name, star = parameter.name, STARS.get(parameter.kind, "")
        if parameter.kind is parameter.KEYWORD_ONLY and not (listed or "*" in declared):
            declared.append("*")
        declared.append(f"{star}{name}" + (f"=_defaults[{name!r}]" if name in defaults else ""))
        # Before *args a default has to be passed, too, or those behind it would move up.
        if name in defaults and not (listed and parameter.kind is not parameter.KEYWORD_ONLY):
            optional.append(f"{name!r}: {name}")
        else:
            passed.append(
                f"{name}={name}" if parameter.kind is parameter.KEYWORD_ONLY else star + name
            )
    scope: dict[str, Any] = {"_run": run, "_defaults": defaults, "_given": _given}
    passed.append(f"**_given({{{', '.join(optional)}}}, _defaults)")
    line = f"def forward({', '.join(declared)}): return _run({', '.join(passed)})"
    exec(line, scope)  # noqa: S102  # parameter names of a function that exists
    written: Callable[..., Any] = scope["forward"]
    written.__doc__, written.__annotations__ = function.__doc__, dict(function.__annotations__)
    return written


def _given(values: dict[str, Any], defaults: dict[str, Any]) -> dict[str, Any]:
    # What the caller left out stays out: `without_cache`, for one, asks what was given.
    return {name: value for name, value in values.items() if value is not defaults[name]}


STARS: dict[Any, str] = {inspect.Parameter.VAR_POSITIONAL: "*", inspect.Parameter.VAR_KEYWORD: "**"}


def _refuse_scripting(self: nn.Module) -> nn.Module:
    raise Unsupported(
        f"{type(self).__name__} has stochastic depth, and TorchScript would leave its gates out. "
        "Script stochastic_depth.extract(model, handle.law.evaluation), which is the evaluated "
        "network without gates, or call handle.remove() first."
    )


def _rebuild(role: Part, rebuild: Callable[..., nn.Module], args: tuple[Any, ...]) -> nn.Module:
    module = rebuild(*args)
    module.__class__ = extended(type(module), role)
    return module


def is_gated(module: nn.Module) -> bool:
    """Return whether `module` is a block with gates, or a model with gated blocks."""
    return SEAT in vars(module) or CONTROLLER in vars(module)

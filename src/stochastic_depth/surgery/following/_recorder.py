"""Watch a model run, and write down what it does.

Tensors are told apart by the memory that they show: see `_key`.
"""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils import _pytree as pytree
from torch.utils._python_dispatch import TorchDispatchMode

from ._recording import Call, Operation, Recording, Ref, Value, refs
from ._sites import sites

Key = tuple[Any, ...]


class Recorder(TorchDispatchMode):
    """Writes a `Recording` while a model runs."""

    def __init__(self, named: Mapping[str, Tensor]) -> None:
        super().__init__()
        self.recording = Recording()
        self._open: list[int] = []
        # Held to the end: freed memory would come back under another tensor with the same key.
        self._alive: list[Tensor] = []
        self._numbers: dict[Key, int] = {}
        self._aliases: dict[int, set[Key]] = {}
        self._named = {_key(tensor): name for name, tensor in named.items()}
        self._alive.extend(named.values())

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        # Before it runs: an in-place operation reads the old value and makes a new one.
        recorded = self._recorded((args, kwargs))
        output = func(*args, **kwargs)
        self._note(func, recorded, (args, kwargs), output)
        return output

    def _note(self, func: Any, recorded: Any, given: Any, output: Any) -> None:
        record = self.recording
        inputs = tuple(refs(recorded))
        written = _written(func, given) if func._schema.is_mutable else []
        keys = {_key(tensor) for tensor in written}
        made = [leaf for leaf in pytree.tree_leaves(output) if isinstance(leaf, Tensor)]
        # An in-place operation returns what it has written: one value, not two.
        made = [tensor for tensor in made if _key(tensor) not in keys]
        number = len(record.operations)
        outputs = (
            *(self._made_or_same(tensor, number, inputs) for tensor in made),
            *(self._made(tensor, number, inputs) for tensor in written),
        )
        for tensor in written:
            self._overwrite(tensor, number, inputs)
        # Parameters behind a live input belong to the operation that made that input.
        dead = [record.values[i] for i in inputs if not record.values[i].live]
        record.operations.append(
            Operation(
                func, recorded[0], recorded[1], inputs, outputs,
                self._open[-1] if self._open else 0,
                bool(written), frozenset().union(*(value.parameters for value in dead)),
            )
        )  # fmt: skip

    def _made_or_same(self, tensor: Tensor, operation: int, inputs: tuple[int, ...]) -> int:
        """Number what an operation returns; another name for what it comes from is no new value.

        `x.detach()` shows the memory of x: had it a number of its own, whatever is done with x
        later would seem to be done with the detached tensor.
        """
        known = self._numbers.get(_key(tensor))
        sources = (self.recording.values[number] for number in inputs)
        if known is not None and any(source.ancestors >> known & 1 for source in sources):
            return known
        return self._made(tensor, operation, inputs)

    def _made(self, tensor: Tensor, operation: int | None, inputs: Iterable[int]) -> int:
        """Number the value that an operation has put into `tensor`."""
        values = self.recording.values
        sources = [values[i] for i in inputs]
        live = any(source.live for source in sources)
        number = len(values)
        # A set as the bits of one number: thousands of unions, each a single `|`.
        ancestors = 1 << number if live else 0
        for source in sources:
            ancestors |= source.ancestors
        parameters = frozenset().union(*(source.parameters for source in sources))
        call = self._open[-1] if self._open else 0
        values.append(
            Value(
                operation, call, tuple(tensor.shape), _floating(tensor), live, ancestors,
                frozenset() if live else parameters,
            )
        )  # fmt: skip
        self._remember(tensor, number)
        return number

    def _remember(self, tensor: Tensor, number: int) -> None:
        key = _key(tensor)
        self._numbers[key] = number
        self._aliases.setdefault(key[0], set()).add(key)
        self._alive.append(tensor)

    def _overwrite(self, tensor: Tensor, operation: int, inputs: tuple[int, ...]) -> None:
        """Give new values to whatever shares memory with a tensor that was changed."""
        own = _key(tensor)
        values, written = self.recording.values, self._numbers[own]
        for key in self._aliases.get(own[0], set()) - {own}:
            before = self._numbers[key]
            self.recording.overwritten.add(before)
            old, new = values[before], len(values)
            live = old.live or values[written].live
            ancestors = old.ancestors | values[written].ancestors | (1 << new if live else 0)
            call = self._open[-1] if self._open else 0
            values.append(Value(operation, call, old.shape, old.floating, live, ancestors))
            self._numbers[key] = new
        # By ATen's convention what is written comes first.
        self.recording.overwritten.update(inputs[:1])

    def _number(self, tensor: Tensor) -> int:
        """Return the number of a tensor's value, a new one for what comes from outside."""
        key = _key(tensor)
        if key in self._numbers:
            return self._numbers[key]
        number, name = len(self.recording.values), self._named.get(key)
        # Only what the model itself is given is its input; tensors made inside are constants.
        live = name is None and not self._open
        values = self.recording.values
        values.append(
            Value(
                None, self._open[-1] if self._open else 0, tuple(tensor.shape), _floating(tensor),
                live, 1 << number if live else 0,
                frozenset() if name is None else frozenset((name,)),
            )
        )  # fmt: skip
        self._remember(tensor, number)
        return number

    def _recorded(self, tree: Any) -> Any:
        def record(leaf: Any) -> Any:
            return Ref(self._number(leaf)) if isinstance(leaf, Tensor) else leaf

        return pytree.tree_map(record, tree)

    def begin(self, path: str, args: Any, kwargs: Any) -> None:
        """Note that a module is called."""
        record = self.recording
        number = len(record.calls)
        # Before the call counts as open: see `live` in `_number`.
        given = self._recorded((args, kwargs))
        stack = (*self._open, number)
        call = Call(number, stack, path, given[0], given[1], begin=len(record.operations))
        record.calls.append(call)
        record.by_path.setdefault(path, []).append(call)
        self._open.append(number)

    def end(self, output: Any) -> None:
        """Note that the module called last has returned."""
        call = self.recording.calls[self._open[-1]]
        call.output = self._linked(call, output)
        call.end = len(self.recording.operations)
        self._open.pop()

    def keep(self, module: nn.Module) -> None:
        """Note which values a module holds as plain attributes after a call."""
        plain = [value for name, value in vars(module).items() if name not in _OWN]
        for leaf in pytree.tree_leaves(plain):
            # A loss may read it later, and would see a gate that was put on it.
            if isinstance(leaf, Tensor) and _key(leaf) in self._numbers:
                self.recording.kept.add(self._numbers[_key(leaf)])

    def _linked(self, call: Call, output: Any) -> Any:
        """Record an output; what a module made out of sight depends on what it was given."""
        live = [i for i in call.inputs if self.recording.values[i].live]
        for tensor in pytree.tree_leaves(output):
            # A Triton kernel, say, fills an empty tensor, and no operation shows from what.
            made = isinstance(tensor, Tensor) and live and tensor.requires_grad
            if made and not self.recording.values[self._number(tensor)].live:
                self._made(tensor, None, live)
        return self._recorded(output)


_OWN = frozenset(vars(nn.Module()))


class _Stop(Exception):
    """Ends a forward that cannot go on without changing the model."""


def record(model: nn.Module, run: Any, named: Mapping[str, Tensor]) -> Recording:
    """Record what `run` does with `model`.

    Args:
        model: the model; its modules are listened to by hooks, for the time being.
        run: runs the model.
        named: parameters and buffers that it runs with, by name.
    """
    recorder = Recorder(named)
    paths = {id(module): path for path, module in model.named_modules()}
    for name, module in model.named_modules(remove_duplicate=False):
        recorder.recording.names.setdefault(paths[id(module)], []).append(name)
    with ExitStack() as stack:
        for path, module in model.named_modules():
            stack.enter_context(_listening(recorder, path, module))
        try:
            with recorder:
                run()
        except _Stop as stop:
            recorder.recording.stopped = str(stop)
    return recorder.recording


@contextmanager
def _listening(recorder: Recorder, path: str, module: nn.Module) -> Iterator[None]:
    marked = sites(module)
    masks = [module._modules.get(name) for name in marked]

    def before(module: nn.Module, args: Any, kwargs: Any) -> None:
        if (
            isinstance(module, nn.modules.lazy.LazyModuleMixin)
            and module.has_uninitialized_params()
        ):
            # It would take its shapes from the example, for good.
            raise _Stop(path)
        recorder.begin(path, args, kwargs)

    def after(module: nn.Module, args: Any, kwargs: Any, output: Any) -> None:
        recorder.keep(module)
        recorder.end(output)

    def copied(module: nn.Module, args: Any, output: Any) -> Any:
        # A mask that does nothing returns its input: as a copy it is a place of its own.
        return output.clone() if isinstance(output, Tensor) else output

    with ExitStack() as stack:
        for mask in masks:
            if mask is not None:
                stack.callback(mask.register_forward_hook(copied, prepend=True).remove)
        stack.callback(module.register_forward_pre_hook(before, with_kwargs=True).remove)
        stack.callback(module.register_forward_hook(after, with_kwargs=True).remove)
        yield


def _written(func: Any, given: Any) -> list[Tensor]:
    """Return the tensors that an operation changes in place."""
    args, kwargs = given
    found = []
    for position, argument in enumerate(func._schema.arguments):
        # The schema knows; a trailing underscore does not tell of `out=` and fused kernels.
        if argument.alias_info is not None and argument.alias_info.is_write:
            value = args[position] if position < len(args) else kwargs.get(argument.name)
            found += [leaf for leaf in pytree.tree_leaves(value) if isinstance(leaf, Tensor)]
    return found


def _floating(tensor: Tensor) -> bool:
    return tensor.is_floating_point() or tensor.is_complex()


def _key(tensor: Tensor) -> Key:
    """Return what tells a tensor from others: the memory that it shows, not the object.

    Autograd hands out other objects for the same memory, so objects cannot be compared.
    """
    if tensor.layout is not torch.strided or tensor.is_nested:
        # Without a single storage of its own; it is kept alive, so that its id stays its own.
        return (id(tensor),)
    memory = tensor.untyped_storage()._cdata
    return memory, tensor.storage_offset(), tuple(tensor.shape), tensor.stride(), tensor.dtype

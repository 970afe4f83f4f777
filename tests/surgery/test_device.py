"""A training step on a device of its own, simulated: what is mixed fails, waiting is counted.

Tensors on the device are marked; they compute on the CPU. What waits for a device is to read
a value or a size that depends on values, and a transfer from it.
"""

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from torch.utils import _pytree as pytree

import stochastic_depth as sd
from stochastic_depth.surgery.running import CONTROLLER

DEVICE = torch.device("privateuseone:0")
READS = {"item", "tolist", "__bool__", "__int__", "__float__", "nonzero", "equal", "numpy"}


class Simulated(TorchFunctionMode):
    """Keeps account of which tensors are on the device.

    Attributes:
        sent: transfers to the device.
        waits: reads of values there, and transfers from it.
    """

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.there = {
            t.untyped_storage()._cdata: t for t in (*model.parameters(), *model.buffers())
        }
        self.sent = self.waits = 0

    def put(self, x: Tensor) -> Tensor:
        self.there[x.untyped_storage()._cdata] = x  # kept, so that its memory is not used again
        return x

    def has(self, x: Tensor) -> bool:
        # Gradients are made by the engine, which shows nobody what it does.
        backward = torch._C._current_graph_task_id() != -1
        return x.untyped_storage()._cdata in self.there or backward

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs, name = dict(kwargs or {}), getattr(func, "__name__", "")
        tensors = [leaf for leaf in pytree.tree_leaves((args, kwargs)) if isinstance(leaf, Tensor)]
        there = [x for x in tensors if self.has(x)]
        if func == Tensor.device.__get__:
            return DEVICE if there else torch.device("cpu")
        if name.startswith("__get__") or name == "untyped_storage":
            return func(*args, **kwargs)
        asked = [leaf for leaf in (*args, *kwargs.values()) if leaf == DEVICE or leaf == "cpu"]
        if asked:
            return self._moved(func, args, kwargs, bool(there), asked[0] == DEVICE)
        if there and any(x.ndim and not self.has(x) for x in tensors):
            raise RuntimeError(f"{name} mixes devices")
        self.waits += bool(there) and name in READS
        output = func(*args, **kwargs)
        if there:
            pytree.tree_map_only(Tensor, self.put, output)
        return output

    def _moved(self, func: Any, args: Any, kwargs: Any, there: bool, wanted: bool) -> Any:
        def here(leaf: Any) -> Any:
            return torch.device("cpu") if isinstance(leaf, torch.device) else leaf

        output = func(*map(here, args), **{key: here(leaf) for key, leaf in kwargs.items()})
        if wanted == there:
            return self.put(output) if there else output
        self.sent += wanted and isinstance(args[0], Tensor)
        self.waits += there
        return self.put(output.clone()) if wanted else output.clone()


def step(depth: int, per: str) -> tuple[int, int]:
    """Return transfers to the device, and waits for it, in one training step."""
    torch.manual_seed(0)
    model = sd.models.VanillaResNet(depth=depth, width=8, inputs=4, outputs=2)
    sd.apply(model, sd.schedules.uniform(0.5), per=per)
    x = torch.randn(16, 4)
    with Simulated(model.train()) as device:
        model(device.put(x)).sum().backward()
    return device.sent, device.waits


@pytest.mark.parametrize(("per", "sent"), [("batch", 0), ("sample", 1), ("subset", 1)])
def test_a_step_sends_the_same_whatever_the_depth_and_waits_for_nothing(per, sent):
    assert step(3, per) == step(12, per) == (sent, 0)


@pytest.mark.parametrize(("shape", "sent"), [((12,), 1), ((12, 16), 2)])
def test_gates_reach_a_graph_in_one_transfer(shape, sent):
    model = sd.models.VanillaResNet(depth=12, width=8, inputs=4, outputs=2)
    sd.apply(model, sd.schedules.uniform(0.5))
    gates = torch.bernoulli(torch.full(shape, 0.5), generator=sd.gates.stream(0, 0))
    graph = vars(model)[CONTROLLER].graph
    with Simulated(model) as device:
        graph.fill(gates, DEVICE, 16)
        assert all(device.has(x) for x in (*graph.rows, *graph.factors, *graph.sizes))
    assert (device.sent, device.waits) == (sent, 0)


def test_the_simulated_device_sees_what_it_is_to_see():
    model = nn.Linear(4, 4)
    with Simulated(model) as device:
        y = model(device.put(torch.randn(2, 4)))
        with pytest.raises(RuntimeError, match="add mixes devices"):
            torch.add(y, torch.ones(4))
        y.sum().item()
        y.to("cpu")
    assert device.waits == 2

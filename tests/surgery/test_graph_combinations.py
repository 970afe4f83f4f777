"""A graph of a gated model beside what else is done to models in training."""

import copy
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, distributed, nn
from torch._dynamo.utils import counters
from torch.distributed.fsdp import fully_shard
from torch.nn.parallel import DistributedDataParallel
from torch.utils.checkpoint import checkpoint

import stochastic_depth as sd

pytestmark = pytest.mark.filterwarnings(
    "ignore:The .grad attribute of a Tensor", "ignore:.*find_unused_parameters"
)


@pytest.fixture(autouse=True)
def _fresh_dynamo():
    torch._dynamo.reset()
    counters.clear()
    yield
    torch._dynamo.reset()


@pytest.fixture
def one_process():
    store = distributed.HashStore()
    distributed.init_process_group("gloo", store=store, rank=0, world_size=1)
    yield
    distributed.destroy_process_group()


class Checkpointed(nn.Module):
    """Runs its blocks again in the backward pass."""

    gradient_checkpointing = True

    def __init__(self) -> None:
        super().__init__()
        branches = [nn.Sequential(nn.Linear(6, 6), nn.Tanh()) for _ in range(3)]
        self.blocks = nn.ModuleList(map(sd.blocks.Residual, branches))

    def forward(self, x: Tensor) -> Tensor:
        for block in self.blocks:
            x = checkpoint(block, x, use_reentrant=False)
        return x


def chain() -> nn.Module:
    return sd.models.VanillaResNet(depth=3, width=6, inputs=6, outputs=3)


def compiled(model: nn.Module) -> nn.Module:
    return torch.compile(model, backend="aot_eager")


def twins(build: Callable[[], nn.Module], size: int = 9, **options: str):
    torch.manual_seed(0)
    model, x = build(), torch.randn(size, 6)
    sd.apply(model, sd.schedules.uniform(0.5), seed=1, example=x, **options)
    return model.train(), copy.deepcopy(model).train(), x


def assert_same_steps(model, run, twin, x: Tensor, precision: torch.dtype = torch.float32) -> None:
    # Four roundings to 8 bits, for gradients of up to 5.
    close = {} if precision == torch.float32 else {"rtol": 2**-6, "atol": 2**-3}
    for _ in range(4):
        for net, call in ((model, run), (twin, twin)):
            net.zero_grad()
            with torch.autocast("cpu", precision, enabled=precision != torch.float32):
                call(x).float().square().sum().backward()
        for a, b in zip(model.parameters(), twin.parameters(), strict=True):
            if a.grad is None or b.grad is None:  # zeros where replicas wait for a gradient
                assert a.grad is None or not a.grad.any()
                assert b.grad is None or not b.grad.any()
                continue
            grad = a.grad.full_tensor() if hasattr(a.grad, "full_tensor") else a.grad
            torch.testing.assert_close(grad, b.grad, **close)


@pytest.mark.parametrize("size", [4, 9])
def test_activation_checkpointing(size):
    model, twin, x = twins(Checkpointed, size)
    assert_same_steps(model, compiled(model), twin, x)
    assert counters["stats"]["unique_graphs"] == 1


@pytest.mark.parametrize("per", ["batch", "sample"])
def test_autocast(per):
    model, twin, x = twins(chain, per=per)
    assert_same_steps(model, compiled(model), twin, x, torch.bfloat16)
    assert counters["stats"]["unique_graphs"] == 1


@pytest.mark.parametrize(
    "wrapped",
    [
        lambda model: compiled(DistributedDataParallel(model, find_unused_parameters=True)),
        lambda model: DistributedDataParallel(compiled(model), find_unused_parameters=True),
    ],
)
def test_replicas(one_process, wrapped):
    model, twin, x = twins(chain)
    assert_same_steps(model, wrapped(model), twin, x)
    assert counters["stats"]["unique_graphs"] == 1


def test_sharded_blocks(one_process):
    model, twin, x = twins(chain, ranks="shared")
    for block in model.blocks:
        fully_shard(block)
    fully_shard(model)
    sd.surgery.handle(model).compile(backend="aot_eager")
    assert_same_steps(model, model, twin, x)
    graphs = counters["stats"]["unique_graphs"]
    assert graphs > 0
    model(x)
    assert counters["stats"]["unique_graphs"] == graphs


@pytest.mark.parametrize("per", ["batch", "sample"])
def test_warming_up_leaves_nothing_to_compile_and_no_trace(per):
    torch.manual_seed(0)
    model, x = sd.models.CifarResNet(8, num_classes=3, width=2), torch.randn(8, 3, 8, 8)
    handle = sd.apply(model, sd.schedules.uniform(0.5), per=per)
    before = copy.deepcopy(model.state_dict())
    noise = torch.get_rng_state()
    run = torch.compile(model, backend="eager")
    assert handle.warm_up(x, run) > 0
    assert torch.equal(torch.get_rng_state(), noise)
    assert handle.step == 0
    assert model.training
    assert all(p.grad is None for p in model.parameters())
    assert all(torch.equal(before[key], value) for key, value in model.state_dict().items())
    graphs = counters["stats"]["unique_graphs"]
    for _ in range(6):
        run(x).sum().backward()
    model.eval()
    with torch.no_grad():
        run(x)
    assert counters["stats"]["unique_graphs"] == graphs


def test_warming_up_wants_a_batch():
    handle = sd.apply(chain(), sd.schedules.uniform(0.5))
    with pytest.raises(sd.InvalidArgument, match="example must be a batch"):
        handle.warm_up({})


@torch._dynamo.config.patch(recompile_limit=1)
def test_beyond_the_recompile_limit_blocks_are_skipped_all_the_same():
    model, twin, _ = twins(chain)
    run = torch.compile(model, backend="eager", dynamic=False)
    for size in (9, 10, 11, 9):
        x = torch.randn(size, 6)
        torch.testing.assert_close(run(x), twin(x))
        assert sd.surgery.handle(model).step == sd.surgery.handle(twin).step
    assert counters["stats"]["unique_graphs"] == 1


def test_a_block_called_by_itself_has_the_gates_of_its_model():
    model, _, x = twins(chain)
    run = torch.compile(model, backend="eager")
    run(x)
    gates = sd.surgery.handle(model).gates
    hidden = torch.randn(9, 6)
    with pytest.warns(UserWarning, match="outside of the graph of its compiled model"):
        output = model.blocks[0](hidden)
    assert torch.equal(output, hidden) == (float(gates[0]) == 0)
    assert torch.equal(sd.surgery.handle(model).gates, gates)


def test_one_graph_for_good_and_all_is_refused_at_the_draw():
    model, _, x = twins(chain)
    run = torch.compile(model, backend="eager", fullgraph=True)
    with pytest.raises(torch._dynamo.exc.Unsupported, match="gates are drawn outside of graphs"):
        run(x)


def without_conditionals(module, inputs):
    if any(node.target is torch.ops.higher_order.cond for node in module.graph.nodes):
        raise NotImplementedError("cond is unknown here")
    return module.forward


def test_a_backend_without_conditionals():
    model, twin, x = twins(chain)
    handle = sd.surgery.handle(model)
    handle.compile(backend=without_conditionals)
    wanted = r"backend must compile conditionals.*cond is unknown here.*Use batches of 8 samples"
    with pytest.raises(sd.Unsupported, match=wanted):
        model(x[:4])
    handle.step = 0
    torch.testing.assert_close(model(x), twin(x))


def test_a_backend_that_fails_for_reasons_of_its_own_is_not_explained():
    def failing(module, inputs):
        raise NotImplementedError("no backend at all")

    model, _, x = twins(chain)
    sd.surgery.handle(model).compile(backend=failing)
    with pytest.raises(torch._dynamo.exc.BackendCompilerFailed, match="no backend at all"):
        model(x)

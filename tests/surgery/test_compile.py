"""What `handle.compile` compiles, as a whole or branch by branch, and how it is undone."""

import copy

import pytest
import torch
from torch import fx, nn

import stochastic_depth as sd

from .networks import NETWORKS, difference, gradients, images

# torch.compile looks at .grad of inner tensors and hides the warning its own way.
pytestmark = pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor")


class CountingBackend:
    """Runs graphs as they are, and counts them."""

    def __init__(self) -> None:
        self.graphs = 0

    def __call__(self, module: fx.GraphModule, inputs: list[object]) -> object:
        self.graphs += 1
        return module.forward


@pytest.fixture(autouse=True)
def _fresh_dynamo():
    torch._dynamo.reset()
    yield
    torch._dynamo.reset()


@pytest.mark.parametrize(
    ("name", "granularity"),
    [
        ("torchvision-resnet", "block"),
        ("timm-vit", "branch"),
        ("timm-eva", "block"),
        ("own-cifar", "block"),
    ],
)
def test_a_bounded_number_of_graphs_and_no_break(name, granularity):
    model = NETWORKS[name]().train()
    handle = sd.apply(model, sd.schedules.uniform(0.5), granularity=granularity, transitions="drop")
    backend = CountingBackend()
    handle.compile(backend=backend, fullgraph=True)  # a break would be an error
    x = images(name)
    counts, drawn = [], set()
    for _ in range(24):
        model(x)
        counts.append(backend.graphs)
        drawn.add(tuple(handle.gates.tolist()))
    assert len(drawn) > 4
    assert counts[-1] == counts[11]
    assert 0 < counts[-1] <= 2 * len(structures(model, handle))


def structures(model, handle):
    """Return the kinds of layers in the blocks: one graph each, and one more for their mode."""
    return {
        (str(module), *(p.shape for p in module.parameters()))
        for block in handle.blocks
        for module in model.get_submodule(block.path).modules()
    }


class Widened(nn.Module):
    """A block of one code and any width."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.linear = nn.Linear(width, width)
        self.norm = nn.BatchNorm1d(width)
        self.widen = nn.Linear(width, width + 1)

    def forward(self, x):
        return self.widen(x + self.norm(self.linear(x)))


@torch._dynamo.config.patch(recompile_limit=8)  # timm.optim sets it to a million when imported
def test_more_widths_than_the_compiler_keeps_graphs_of_one_code():
    widths = range(2, 13)
    model = nn.Sequential(*map(Widened, widths))
    # Evaluated at other gates than 1, it does not go into one graph.
    handle = sd.apply(model, sd.schedules.uniform(0.9), rescale="test")
    backend = CountingBackend()
    handle.compile(backend=backend, fullgraph=True)
    for _ in range(10):
        model(torch.randn(3, 2))
    assert backend.graphs == 2 * len(widths)


@pytest.mark.parametrize(
    ("name", "per"),
    [("torchvision-resnet", "batch"), ("timm-vit", "sample"), ("own-vanilla", "sample")],
)
def test_compiled_branches_compute_the_same(name, per):
    plain = NETWORKS[name]()
    compiled = copy.deepcopy(plain)
    for model in (plain, compiled):
        handle = sd.apply(model, sd.schedules.uniform(0.6), per=per, seed=0)
        model.train()
        if model is compiled:
            handle.compile(backend="aot_eager")
        for _ in range(3):
            model(images(name)).square().sum().backward()
    assert difference(gradients(plain), gradients(compiled)) < 1e-10


def test_removal_undoes_compilation():
    for name in ("timm-vit", "own-cifar"):
        model = NETWORKS[name]()
        backend = CountingBackend()
        handle = sd.apply(model, sd.schedules.uniform(0.5))
        handle.compile(backend=backend)
        handle.remove()
        with sd.gating(model, torch.full((len(sd.find_blocks(model)),), 0.5)):
            model(images(name))
        assert backend.graphs == 0


def test_copies_of_a_compiled_model_run():
    model = NETWORKS["timm-vit"]()
    handle = sd.apply(model, sd.schedules.uniform(0.5))
    handle.compile(backend="eager")
    x = images("timm-vit")
    twin = copy.deepcopy(model.train())
    assert torch.equal(twin(x), model(x))

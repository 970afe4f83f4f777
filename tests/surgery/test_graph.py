"""A gated model as one graph: what it computes, and that no draw makes another."""

import copy

import pytest
import timm.models.vision_transformer
import torch
from torch import Tensor, fx, nn
from torch._dynamo.backends.debugging import aot_eager

import stochastic_depth as sd

transformers = pytest.importorskip("transformers")

pytestmark = pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor")


class Counted:
    """Runs graphs operation by operation, and counts them.

    Forward and backward are traced once: the eager backend traces a conditional in each step.
    """

    def __init__(self) -> None:
        self.graphs = 0

    def __call__(self, module: fx.GraphModule, inputs: list[object]) -> object:
        self.graphs += 1
        return aot_eager(module, inputs)


@pytest.fixture(autouse=True)
def _fresh_dynamo():
    torch._dynamo.reset()
    yield
    torch._dynamo.reset()


class PostNorm(nn.Module):
    """A block whose shortcut is not the identity."""

    def __init__(self) -> None:
        super().__init__()
        self.f, self.norm = nn.Linear(6, 6), nn.LayerNorm(6)

    def forward(self, x: Tensor) -> Tensor:
        return self.norm(x + torch.tanh(self.f(x)))


def vit() -> nn.Module:
    return timm.models.vision_transformer.VisionTransformer(
        img_size=8, patch_size=4, embed_dim=8, depth=2, num_heads=2, num_classes=3
    )


def llama() -> nn.Module:
    config = transformers.LlamaConfig(
        hidden_size=8, num_hidden_layers=2, num_attention_heads=2, intermediate_size=16,
        vocab_size=20,
    )  # fmt: skip
    return transformers.LlamaForCausalLM(config)


def own() -> nn.Module:
    return sd.models.VanillaResNet(depth=4, width=6, inputs=6, outputs=3)


MODELS = {
    "own": (own, lambda: torch.randn(5, 6)),
    "vit": (vit, lambda: torch.randn(5, 3, 8, 8)),
    "llama": (llama, lambda: torch.randint(0, 20, (5, 7))),
    "post-norm": (
        lambda: nn.Sequential(*(PostNorm() for _ in range(4))),
        lambda: torch.randn(5, 6),
    ),
}
CASES = [
    ("own", "batch", 5), ("own", "batch", 9), ("own", "subset", 5), ("vit", "batch", 9),
    ("vit", "sample", 5), ("llama", "batch", 5), ("llama", "sample", 5), ("post-norm", "batch", 5),
    ("post-norm", "sample", 5),
]  # fmt: skip
"""Network, what has a draw of its own, and samples: from 8 on no block is a conditional."""


def twins(
    name: str, per: str = "batch", size: int = 5, **options: str
) -> tuple[nn.Module, nn.Module, Tensor]:
    """Return a gated model, a copy that draws the same gates, and an input."""
    torch.manual_seed(0)
    build, example = MODELS[name]
    model, x = build(), torch.cat([example(), example()])[:size]
    model = model.double()
    x = x.double() if x.is_floating_point() else x
    sd.apply(model, sd.schedules.uniform(0.5), per=per, seed=1, example=x, **options)
    return model.train(), copy.deepcopy(model).train(), x


def logits(output: object) -> Tensor:
    return getattr(output, "logits", output)


def step(model: nn.Module, run: object, x: Tensor) -> tuple[Tensor, dict[str, Tensor | None]]:
    """Return what a training step computes, and its gradients."""
    model.zero_grad()
    y = logits(run(x))
    y.square().mean().backward()
    return y.detach(), {name: p.grad for name, p in model.named_parameters()}


def assert_same_steps(model: nn.Module, run: object, twin: nn.Module, x: Tensor, n: int) -> None:
    for _ in range(n):
        y, gradients = step(model, run, x)
        expected, others = step(twin, twin, x)
        assert torch.equal(sd.surgery.handle(model).gates, sd.surgery.handle(twin).gates)
        torch.testing.assert_close(y, expected)
        for name, gradient in gradients.items():
            assert (gradient is None) == (others[name] is None), name
            if gradient is not None:
                torch.testing.assert_close(gradient, others[name])


@pytest.mark.parametrize(("name", "per", "size"), CASES)
def test_one_graph_computes_what_is_computed_without(name, per, size):
    model, twin, x = twins(name, per, size)
    backend = Counted()
    assert_same_steps(model, torch.compile(model, backend=backend), twin, x, 8)
    assert backend.graphs == 1


@pytest.mark.parametrize("way", ["handle.compile", "model.compile"])
def test_every_way_to_compile_is_the_same(way):
    model, twin, x = twins("own")
    backend = Counted()
    if way == "handle.compile":
        sd.surgery.handle(model).compile(backend=backend, fullgraph=True)
    else:
        model.compile(backend=backend)
    assert_same_steps(model, model, twin, x, 8)
    assert backend.graphs == 1


def test_zeros_where_zeros_are_asked_for():
    model, twin, x = twins("own", dropped_grads="zero")
    assert_same_steps(model, torch.compile(model, backend=Counted()), twin, x, 6)
    assert all(p.grad is not None for block in model.blocks for p in block.parameters())


@pytest.mark.parametrize("size", [5, 9])
def test_what_a_dropped_block_computes_reaches_nothing(size):
    """It would not be finite."""
    model, _, x = twins("own", size=size)
    for parameter in model.blocks[2].parameters():
        parameter.data.fill_(float("nan"))
    compiled = torch.compile(model, backend=Counted())
    for gates, finite in (([1.0, 1, 0, 1], True), ([1.0, 1, 1, 1], False)):
        x = x.detach().requires_grad_()
        with sd.gating(model, torch.tensor(gates)):
            y = compiled(x)
        y.sum().backward()
        assert bool(y.isfinite().all()) is finite
        assert bool(x.grad.isfinite().all()) is finite


def test_blocks_survive_as_often_as_asked():
    model, _, x = twins("own")
    for block in model.blocks:  # each adds 1 to its own entry
        for parameter in block.branch.parameters():
            nn.init.zeros_(parameter)
    weights = torch.tensor([0.9, 0.5, 0.2, 0.7])
    handle = sd.surgery.handle(model)
    handle.survival = weights
    compiled = torch.compile(model, backend=Counted())
    counts = torch.zeros(4)
    for _ in range(400):
        compiled(x)
        counts += model._stochastic_depth_controller.graph.keep
    # Binomial(400, p): outside of 4 standard deviations with probability 3e-4 in all; one seed.
    sigma = (400 * weights * (1 - weights)).sqrt()
    assert ((counts - 400 * weights).abs() < 4 * sigma).all()


def test_gradients_of_two_forwards_add_up():
    model, twin, x = twins("own")
    compiled = torch.compile(model, backend=Counted())
    for _ in range(6):
        for net, run in ((model, compiled), (twin, twin)):
            net.zero_grad()
            (run(x).square().mean() + run(x.flip(0)).square().mean()).backward()
            run(x).square().mean().backward()
        for p, q in zip(model.parameters(), twin.parameters(), strict=True):
            assert (p.grad is None) == (q.grad is None)
            if p.grad is not None:
                torch.testing.assert_close(p.grad, q.grad)


def test_evaluation_curricula_and_forced_gates():
    model, twin, x = twins("own")
    backend = Counted()
    compiled = torch.compile(model, backend=backend)
    assert_same_steps(model, compiled, twin, x, 2)
    for net in (model, twin):
        sd.surgery.handle(net).survival = [0.9, 0.2, 0.6, 0.5]
    assert_same_steps(model, compiled, twin, x, 4)
    assert backend.graphs == 1
    model.eval(), twin.eval()
    with torch.no_grad():
        torch.testing.assert_close(compiled(x), twin(x))
        gates = torch.tensor([0.0, 0.7, 1.0, 2.0])
        with sd.gating(model, gates), sd.gating(twin, gates):
            torch.testing.assert_close(compiled(x), twin(x))
        torch.testing.assert_close(compiled(x), twin(x))


def test_removal_and_copies_run_without_the_graph():
    model, twin, x = twins("own")
    handle = sd.surgery.handle(model)
    handle.compile(backend=Counted())
    step(model, model, x), step(twin, twin, x)
    other = copy.deepcopy(model)
    torch.testing.assert_close(other(x), twin(x))
    handle.remove()
    sd.surgery.handle(twin).remove()
    _, gradients = step(model, model, x)
    assert all(gradient is not None for gradient in gradients.values())
    torch.testing.assert_close(model(x), twin(x))


def test_what_does_not_fit_into_one_graph_is_said():
    model = sd.models.CifarResNet(8, num_classes=3, width=4)
    model.blocks[1].branch[1].momentum = None  # a mean over all batches
    handle = sd.apply(model, sd.schedules.uniform(0.5))
    assert "compiled" not in str(sd.plan(model))
    backend = Counted()
    compiled = torch.compile(model.train(), backend=backend)
    with pytest.warns(UserWarning, match=r"runs eagerly.*running statistics.*handle\.compile"):
        compiled(torch.randn(2, 3, 32, 32))
    assert backend.graphs == 0
    plan = str(sd.plan(model))
    assert "compiled not compiled: its running statistics take more than its batch" in plan
    handle.compile(backend=backend)
    assert "branch by branch: others do not fit into one graph (blocks.0, blocks.2)" in str(
        sd.plan(model)
    )


def test_the_plan_says_how_blocks_run():
    torch.manual_seed(0)
    model = nn.Sequential(*(PostNorm() for _ in range(2)), nn.Linear(6, 6))
    sd.apply(model, [1.0, 0.5], example=torch.randn(3, 6))
    sd.surgery.handle(model).compile(backend="eager")
    assert sd.plan(model).to_dict()["compiled"] == {
        str(number): "in one graph: runs two samples where it is dropped, and in batches below 8 "
        "is a conditional"
        for number in (0, 1)
    }


@pytest.mark.parametrize("per", ["batch", "sample"])
def test_a_depthwise_convolution_compiles(per):
    """A conditional does not: the strides of its gradients differ."""
    torch.manual_seed(0)
    build = timm.models.convnext.ConvNeXt
    model = build(num_classes=3, depths=(1, 1, 1, 1), dims=(4, 4, 4, 4)).double()
    for weight in model.parameters():
        weight.data = torch.randn_like(weight) * 0.3
    x = torch.randn(4, 3, 32, 32).double()
    sd.apply(model, [0.5] * 4, per=per, seed=1, example=x)
    twin = copy.deepcopy(model).train()
    compiled = torch.compile(model.train(), backend="aot_eager")
    assert_same_steps(model, compiled, twin, x, 3)

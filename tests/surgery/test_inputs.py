"""Models, examples and batches of unusual kinds: lazy, on another device, empty, ragged, alone."""

import threading

import pytest
import torch
from torch import Tensor, nn
from torch.func import functional_call, grad, vmap

import stochastic_depth as sd


class Block(nn.Module):
    def __init__(self, width: int = 8) -> None:
        super().__init__()
        self.f = nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.f(x)


class ConvBlock(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.f = nn.Sequential(nn.Conv2d(4, 4, 3, padding=1), nn.BatchNorm2d(4))

    def forward(self, x: Tensor) -> Tensor:
        return x + self.f(x)


def own(count: int = 4) -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(*(sd.blocks.Residual(nn.Linear(8, 8)) for _ in range(count)))


# Layers without a shape yet, tensors without memory


def lazy() -> nn.Module:
    return nn.Sequential(
        nn.LazyConv2d(4, 3), ConvBlock(), ConvBlock(), nn.Flatten(), nn.LazyLinear(5)
    )


@pytest.mark.parametrize("example", [None, torch.randn(2, 3, 10, 10)])
def test_lazy_layers_get_their_shapes_from_the_first_batch_of_the_user(example):
    model = lazy()
    before = torch.get_rng_state()
    handle = sd.apply(model, sd.schedules.uniform(0.5), example=example)
    assert torch.equal(before, torch.get_rng_state())
    assert [block.path for block in handle.blocks] == ["1", "2"]
    assert isinstance(model[0], nn.LazyConv2d)
    assert isinstance(model[-1], nn.LazyLinear)
    assert model(torch.randn(3, 2, 8, 8)).shape == (3, 5)
    assert model[-1].in_features == 4 * 6 * 6


def test_a_model_without_memory_is_gated_and_filled_later():
    with torch.device("meta"):
        model = nn.Sequential(nn.Linear(8, 8), Block(), Block())
    handle = sd.apply(model, [0.5, 0.5], example=torch.randn(2, 8, device="meta"))
    model.to_empty(device="cpu")
    nn.init.ones_(model[1].f.weight)
    assert len(handle.blocks) == 2
    assert model.train()(torch.randn(2, 8)).shape == (2, 8)


def test_gates_are_on_the_cpu_whatever_the_default_device():
    model = own()
    handle = sd.apply(model, [0.5] * 4)
    with torch.device("meta"):
        model.train()(torch.zeros(2, 8, device="cpu"))
        assert handle.gates.device.type == "cpu"


def test_what_a_block_holds_need_not_be_copied():
    model = nn.Sequential(nn.Linear(8, 8), Block(), Block())
    model[1].lock = threading.Lock()
    assert len(sd.apply(model, [0.5, 0.5]).blocks) == 2


# Batches


@pytest.mark.parametrize("per", ["batch", "sample", "subset"])
def test_an_empty_batch_goes_through(per):
    model = own()
    sd.apply(model, [0.5] * 4, per=per)
    x = torch.randn(0, 8, requires_grad=True)
    y = model.train()(x)
    y.sum().backward()
    assert y.shape == x.grad.shape == (0, 8)


def test_a_ragged_batch_has_no_samples_to_gather():
    model = own()
    sd.apply(model, [0.5] * 4, per="sample")
    ragged = torch.nested.nested_tensor([torch.randn(3, 8), torch.randn(5, 8)], layout=torch.jagged)
    with pytest.raises(sd.Unsupported, match=r"this one is nested.*per='batch'"):
        model.train()(ragged)


class Towers(nn.Module):
    """Two streams whose batches need not be of one size, as texts and images."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = own(3), own(3)

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        return self.a(x) @ self.b(y).T


def test_towers_with_batches_of_their_own_share_gates_per_batch_only():
    x, y = torch.randn(4, 8), torch.randn(2, 8)
    model = Towers()
    sd.apply(model, [0.5] * 6, example=(x, y))
    assert model.train()(x, y).shape == (4, 2)
    model = Towers()
    sd.apply(model, [0.5] * 6, example=(x, y), per="sample")
    with pytest.raises(sd.Unsupported, match="apply stochastic depth to each part"):
        model.train()(x, y)
    model = Towers()
    handles = [sd.apply(tower, [0.5] * 3, per="sample") for tower in (model.a, model.b)]
    assert model.train()(x, y).shape == (4, 2)
    assert [handle.gates.shape for handle in handles] == [(3, 4), (3, 2)]


def test_two_inputs_cannot_be_guessed():
    class Two(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.block = Block()

        def forward(self, x: Tensor, y: Tensor) -> Tensor:
            return self.block(x) * y

    with pytest.raises(sd.Unsupported, match="Pass example="):
        sd.apply(Two(), [0.5])


@pytest.mark.parametrize(
    "block", [ConvBlock, lambda: sd.blocks.Residual(ConvBlock().f)], ids=["foreign", "own"]
)
def test_one_survivor_is_normalised_with_its_batch(block):
    """By itself it has no variance over one pixel, and PyTorch raises."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(3, 4, 1), block()).double()
    plain = nn.Sequential(nn.Conv2d(3, 4, 1), ConvBlock()).double()
    plain[0].load_state_dict(model[0].state_dict())
    plain[1].f.load_state_dict(
        (model[1].f if hasattr(model[1], "f") else model[1].branch).state_dict()
    )
    sd.apply(model, [0.5], per="sample", example=torch.randn(4, 3, 1, 1).double())
    x = torch.randn(4, 3, 1, 1).double()
    gates = torch.tensor([[0.0, 0.0, 2.0, 0.0]])
    model.train()
    with sd.gating(model, gates):
        y = model(x)
    stem = plain[0](x)
    branch = plain[1].train().f(stem)
    torch.testing.assert_close(y, stem + gates[0].double().view(4, 1, 1, 1) * branch)


# Arguments that are numbers


class Timed(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(TimedBlock() for _ in range(3))

    def forward(self, x: Tensor, t: float = 0.5) -> Tensor:
        for block in self.blocks:
            x = block(x, t)
        return x


class TimedBlock(Block):
    def forward(self, x: Tensor, t: float) -> Tensor:
        return x + self.f(x) * t


def test_nothing_is_kept_for_each_value_of_a_number():
    model = Timed()
    handle = sd.apply(model, [0.5] * 3, example=torch.randn(2, 8))
    for step in range(20):
        with sd.gating(model, torch.tensor([0.0, 0.5, 1.0])):
            model.train()(torch.randn(2, 8), step / 20)
    units = handle._controller.anatomy.survey.units
    assert max(len(unit.patterns) for unit in units) == 1


class Pooled(nn.Module):
    """A block that keeps a term of the loss, told by a flag that only training sets."""

    def __init__(self) -> None:
        super().__init__()
        self.f = nn.Linear(8, 8)

    def forward(self, x: Tensor, flag: bool = False) -> Tensor:
        h = self.f(x)
        y = x + h
        self.aux = h.square().mean()
        return y


class Flagged(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.block = Pooled()

    def forward(self, x: Tensor) -> Tensor:
        return self.block(x, flag=self.training)


def test_a_loss_kept_on_a_block_is_that_of_the_whole_batch_whatever_the_flag():
    model = Flagged()
    sd.apply(model, [0.5], per="sample", example=torch.randn(4, 8))
    model.train()
    x = torch.randn(4, 8)
    with sd.gating(model, torch.tensor([[0.0, 2.0, 2.0, 0.0]])):
        model(x)
    torch.testing.assert_close(model.block.aux, model.block.f(x).square().mean())


class Guided(nn.Module):
    """A branch that adds a context, which stays what it is, before and after its layers."""

    def __init__(self) -> None:
        super().__init__()
        self.f, self.g = nn.Linear(8, 8), nn.Linear(8, 8)

    def forward(self, x: Tensor, context: Tensor) -> Tensor:
        return self.g(self.f(torch.tanh(x + context)) + context)


class Stream(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Linear(8, 8)
        self.blocks = nn.ModuleList(Guided() for _ in range(3))

    def forward(self, x: Tensor) -> Tensor:
        h = self.stem(x)
        context = h.roll(1, 1).tanh()
        for block in self.blocks:
            h = h + block(h, context)
        return h


def test_a_context_that_every_block_adds_is_no_stream():
    torch.manual_seed(0)
    model = Stream().eval()
    sd.apply(model, [0.5] * 3)
    x = torch.randn(4, 8)
    with sd.gating(model, torch.tensor([0.0, 1.0, 2.0])):
        y = model(x)
    h = model.stem(x)
    context = h.roll(1, 1).tanh()
    h = h + model.blocks[1](h, context)
    torch.testing.assert_close(y, h + 2 * model.blocks[2](h, context))


# Transformations of functions


def test_vmap_over_a_gradient_gives_each_sample_gates_of_its_own():
    model = own()
    sd.apply(model, [0.5] * 4)
    model.train()
    weights = {name: p.detach() for name, p in model.named_parameters()}

    def loss(p: dict[str, Tensor], row: Tensor) -> Tensor:
        return functional_call(model, p, (row[None],)).sum()

    rows = torch.randn(1, 8).expand(64, 8)
    different = vmap(grad(loss), (None, 0), randomness="different")(weights, rows)
    alive = different["0.branch.bias"].abs().sum(1) > 0
    assert 20 < int(alive.sum()) < 44  # binomial(64, 1/2): outside with probability 1e-3
    same = vmap(grad(loss), (None, 0), randomness="same")(weights, rows)
    torch.testing.assert_close(same["3.branch.bias"][0], same["3.branch.bias"][-1])

"""The laws of the residual step, in all executions."""

import pytest
import torch
from torch import nn
from torch.testing import assert_close

import stochastic_depth as sd
from stochastic_depth.blocks import Residual, Rows, lower, residual_step
from tests.helpers import ALL_GATES, Toy, convolutional

L, N = 4, 6
EXECUTIONS = {"skip": 1, "gather": 2, "mask": 2}


def network(**options):
    return Toy(convolutional(L, **options)).double()


def images(channels_last=False):
    x = torch.rand(N, 4, 5, 3, dtype=torch.float64)
    x = x.contiguous(memory_format=torch.channels_last) if channels_last else x
    return x.requires_grad_()


def run(model, x, gates, execution):
    """Output, gradient of x and of every parameter (zero where there is none)."""
    inputs = [x, *model.parameters()]
    out = model(x, gates, execution)
    weights = torch.linspace(-1, 2, out.numel(), dtype=out.dtype).reshape(out.shape)
    grads = torch.autograd.grad((out * weights).sum(), inputs, allow_unused=True)
    return [
        out.detach(),
        *(torch.zeros_like(v) if g is None else g for g, v in zip(grads, inputs, strict=True)),
    ]


def assert_same(first, second):
    for a, b in zip(first, second, strict=True):
        assert_close(a, b, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("activation", [True, False])
@pytest.mark.parametrize("gates", ALL_GATES[L], ids=str)
def test_executions_agree_on_shared_gates(gates, activation):
    model, x = network(activation=activation), images()
    shared = gates.double() * 1.25
    reference = run(model, x, shared, "mask")
    assert_same(run(model, x, shared, "skip"), reference)
    assert_same(run(model, x, shared[:, None].expand(L, N), "gather"), reference)
    assert_same(run(model, x, shared[:, None].expand(L, N), "mask"), reference)


@pytest.mark.parametrize("channels_last", [True, False])
@pytest.mark.parametrize("activation", [True, False])
@pytest.mark.parametrize("step", range(12))
def test_executions_agree_on_gates_per_sample(step, activation, channels_last):
    model, x = network(activation=activation), images(channels_last)
    law = sd.gates.Bernoulli([0.9, 0.2, 0.5, 0.75], "train")
    gates = law.sample(N, generator=sd.gates.stream(0, step)).double()
    assert_same(run(model, x, gates, "gather"), run(model, x, gates, "mask"))


def test_gates_of_one_block_may_differ_from_sample_to_sample():
    model, x = network(), images()
    gates = torch.rand(L, N, dtype=torch.float64)
    gates[gates < 0.4] = 0
    assert_same(run(model, x, gates, "gather"), run(model, x, gates, "mask"))


@pytest.mark.parametrize("execution", ["gather", "mask"])
def test_each_sample_sees_its_own_network(execution):
    model, x = network(), images()
    gates = torch.stack([torch.linspace(0, 1, N, dtype=torch.float64).roll(k) for k in range(L)])
    gates[gates < 0.5] = 0
    together = model(x, gates, execution)
    for n in range(N):
        assert_close(together[n : n + 1], model(x[n : n + 1], gates[:, n], "skip"))


@pytest.mark.parametrize("execution", ["auto", "mask"])
def test_the_step_is_its_equation(execution):
    x = torch.randn(5, 3, dtype=torch.float64)
    branch, shortcut = nn.Linear(3, 2).double(), nn.Linear(3, 2).double()
    block = Residual(branch, shortcut=shortcut, activation=nn.ReLU(), scale=0.3)
    for gates in (torch.tensor([0.8]), torch.tensor([[0.0, 1.0, 2.0, 0.0, 0.5]])):
        gates = gates.double()
        (gate,) = lower(gates, execution)
        d = gates[0] if gates.ndim == 1 else gates[0][:, None]
        expected = torch.relu(shortcut(x) + 0.3 * d * branch(x))
        assert_close(block(x, gate), expected)


def test_gradients_of_a_transition_agree():
    for activated in (False, True):
        block = Residual(
            nn.Conv2d(4, 8, 3, stride=2, padding=1),
            shortcut=nn.Sequential(nn.Conv2d(4, 8, 1, stride=2), nn.ReLU()),
            activation=nn.ReLU(),
            activated=activated,
        )
        model, x = Toy(nn.ModuleList([block])).double(), torch.rand(N, 4, 6, 6).double()
        x.requires_grad_()
        gates = torch.tensor([[0.0, 2.0, 0.0, 2.0, 2.0, 0.0]], dtype=torch.float64)
        assert_same(run(model, x, gates, "gather"), run(model, x, gates, "mask"))


@pytest.mark.parametrize("rescale", ["train", "test"])
def test_the_mean_over_all_gates_of_a_linear_network_is_evaluation_at_the_mean(rescale):
    # One block is linear in its gate, and a chain of linear maps is linear in each gate:
    # the mean over all 2^L gate vectors equals the network at the mean, exactly.
    p = torch.tensor([0.9, 0.2, 0.75], dtype=torch.float64)
    law = sd.gates.Bernoulli(p, rescale)
    blocks = [Residual(nn.Linear(3, 3, bias=False)) for _ in range(3)]
    model, x = Toy(nn.ModuleList(blocks)).double(), torch.randn(4, 3, dtype=torch.float64)
    mean = torch.zeros(4, 3, dtype=torch.float64)
    for active in ALL_GATES[3].double():
        chance = torch.where(active == 1, p, 1 - p).prod()
        mean += chance * model(x, active * law.value)
    assert_close(mean, model(x, law.evaluation))


def test_evaluating_at_one_what_was_trained_at_p_is_not_the_mean():
    law = sd.gates.Bernoulli([0.8], "none")
    model, x = Toy(nn.ModuleList([Residual(nn.Linear(3, 3))])).double(), torch.ones(1, 3).double()
    mean = sum(p * model(x, torch.tensor([d]).double()) for p, d in [(0.8, 1.0), (0.2, 0.0)])
    assert not torch.allclose(mean, model(x, law.evaluation))


class Counter(nn.Module):
    """Counts the samples that pass."""

    def __init__(self):
        super().__init__()
        self.samples = 0

    def forward(self, x):
        self.samples += len(x)
        return torch.tanh(x)


def test_nothing_of_a_dropped_block_runs():
    blocks = nn.ModuleList(Residual(Counter()) for _ in range(3))
    gates = torch.tensor([[1.0, 0.0, 1.0, 0.0], [0.0] * 4, [1.0] * 4])
    Toy(blocks)(torch.randn(4, 2), gates)
    assert [block.branch.samples for block in blocks] == [2, 0, 4]
    Toy(blocks)(torch.randn(4, 2), torch.tensor([0.0, 1.0, 0.0]))
    assert [block.branch.samples for block in blocks] == [2, 4, 4]


@pytest.mark.parametrize("execution", ["skip", "gather"])
def test_a_dropped_block_leaves_no_gradient_and_no_statistics(execution):
    model = Toy(convolutional(2, norm=True))
    gates = torch.tensor([1.0, 0.0])
    gates = gates[:, None].expand(2, N) if execution == "gather" else gates
    before = {k: v.clone() for k, v in model.blocks[1].state_dict().items()}
    model(images().float(), gates, execution).sum().backward()
    assert all(p.grad is None for p in model.blocks[1].parameters())
    assert all(torch.equal(v, before[k]) for k, v in model.blocks[1].state_dict().items())
    assert all(p.grad is not None for p in model.blocks[0].parameters())
    assert model.blocks[0].branch[1].num_batches_tracked == 1


def test_batch_statistics_are_those_of_the_survivors():
    model = Toy(convolutional(1, norm=True)).double()
    x, alive = images().detach(), torch.tensor([0, 3, 4])
    gates = torch.zeros(1, N, dtype=torch.float64)
    gates[0, alive] = 1
    out = model(x, gates, "gather")
    assert_close(out[alive], model(x[alive], torch.ones(1).double(), "skip"))


class Poison(nn.Module):
    """Not finite for samples whose first feature is negative."""

    def forward(self, x):
        return torch.log(x)  # NaN below 0, -inf at 0, gradient inf at 0


@pytest.mark.parametrize("execution", EXECUTIONS)
def test_what_is_not_finite_in_a_dropped_branch_never_leaks(execution):
    x = torch.tensor([[-1.0, 0.0], [2.0, 3.0]], requires_grad=True)
    gates = torch.zeros(1) if EXECUTIONS[execution] == 1 else torch.tensor([[0.0, 1.0]])
    out = Toy(nn.ModuleList([Residual(Poison())]))(x, gates, execution)
    out.sum().backward()
    assert torch.equal(out[0], x[0])
    assert torch.equal(x.grad[0], torch.ones(2))
    assert out.isfinite().all()
    assert x.grad.isfinite().all()


@pytest.mark.parametrize("execution", EXECUTIONS)
def test_what_is_not_finite_in_a_branch_that_runs_is_not_hidden(execution):
    x = torch.tensor([[-1.0, 2.0], [0.0, 2.0]])
    gates = torch.ones(1) if EXECUTIONS[execution] == 1 else torch.tensor([[1.0, 0.0]])
    out = Toy(nn.ModuleList([Residual(Poison())]))(x, gates, execution)
    assert out[0].isfinite().tolist() == [False, True]


def test_a_mask_has_the_right_derivative_in_the_gates():
    model, x = network(), images().detach()
    for gates in (torch.ones(L), torch.zeros(L), torch.rand(L, N)):
        gates = gates.double().requires_grad_()
        assert torch.autograd.gradcheck(lambda d: model(x, d, "auto"), gates)


@pytest.mark.parametrize("execution", EXECUTIONS)
def test_second_derivatives(execution):
    gates = torch.tensor([1.0, 0.0]).double()
    gates = gates[:, None] * torch.tensor([1.0, 0.0, 2.0]) if execution != "skip" else gates
    model = Toy(convolutional(2)).double()
    x = torch.rand(3, 4, 2, 2, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradgradcheck(lambda v: model(v, gates, execution), x)


@pytest.mark.parametrize("channels_last", [True, False])
def test_gather_keeps_the_memory_layout(channels_last):
    layout = torch.channels_last if channels_last else torch.contiguous_format
    x = torch.rand(N, 4, 6, 6).contiguous(memory_format=layout).requires_grad_()
    seen = []
    block = Residual(nn.Tanh(), activation=nn.ReLU(), activated=True)
    block.branch.register_forward_hook(lambda _m, args, out: seen.extend([*args, out]))
    out = block(x, Rows(torch.tensor([1, 4]), 2.0))
    # The gradient arrives in the other layout and leaves in that of the activations.
    other = torch.contiguous_format if channels_last else torch.channels_last
    out.backward(torch.ones(N, 4, 6, 6).contiguous(memory_format=other))
    for tensor in (*seen, out, x.grad):
        assert tensor.is_contiguous(memory_format=layout)


@pytest.mark.parametrize("execution", ["gather", "mask"])
def test_inputs_are_left_as_they_are(execution):
    x = images().detach()
    before = x.clone()
    network()(x, torch.tensor([[1.0, 0, 1, 0, 0, 1]] * L).double(), execution)
    assert torch.equal(x, before)


@pytest.mark.parametrize("execution", EXECUTIONS)
def test_autocast(execution):
    model, x = Toy(convolutional(2)), torch.rand(4, 4, 5, 5)
    gates = torch.tensor([1.0, 0.5])
    gates = gates if execution == "skip" else gates[:, None] * torch.tensor([1.0, 0, 1, 1])
    expected = model(x, gates, "mask")
    with torch.autocast("cpu", torch.bfloat16):
        out = model(x, gates, execution)
    assert_close(out.float(), expected, atol=0.05, rtol=0.05)


@pytest.mark.parametrize("reentrant", [True, False])
@pytest.mark.parametrize("per", ["batch", "sample"])
def test_activation_checkpointing_recomputes_the_same_network(per, reentrant):
    model, x = network(), images()
    law = sd.gates.Bernoulli([0.9, 0.3, 0.5, 0.75])
    gates = sd.gates.draw(law, per, N, generator=sd.gates.stream(0, 1)).double()

    def checkpointed(x, gates, execution):
        return torch.utils.checkpoint.checkpoint(
            model, x, gates, execution, use_reentrant=reentrant
        )

    checkpointed.parameters = model.parameters
    plain, again = (run_backward(function, model, x, gates) for function in (model, checkpointed))
    assert_same(again, plain)


def run_backward(function, model, x, gates):
    """As `run`, through `.backward()`: reentrant checkpoints know no other way."""
    model.zero_grad()
    x.grad = None
    out = function(x, gates, "auto")
    (out * out).sum().backward()
    return [out.detach(), x.grad, *(p.grad for p in model.parameters() if p.grad is not None)]


# Dynamo looks at `.grad` of the stream, which is no leaf.
@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor:UserWarning")
def test_compiled_branches_agree_and_gates_add_no_graphs():
    graphs = []

    def backend(graph, _inputs):
        graphs.append(graph)
        return graph.forward

    model, x = network(), images()
    plain = [model(x, gates.double()) for gates in ALL_GATES[L]]
    for block in model.blocks:
        block.branch.compile(backend=backend, fullgraph=True)
    for gates, expected in zip(ALL_GATES[L], plain, strict=True):
        assert_close(model(x, gates.double()), expected)
    assert len(graphs) == 1, "branches of one shape share a graph"


def test_residual_prints_its_scale_only_where_there_is_one():
    assert "scale=0.5" in repr(Residual(nn.Identity(), scale=0.5))
    assert "scale" not in repr(Residual(nn.Identity()))


def test_residual_step_is_what_residual_runs():
    branch, x = nn.Linear(3, 3), torch.randn(2, 3)
    assert_close(Residual(branch, scale=2.0)(x, 0.5), residual_step(x, branch, 0.5, scale=2.0))


@pytest.mark.parametrize("activated", [True, False])
@pytest.mark.parametrize("execution", EXECUTIONS)
def test_the_activation_is_applied_once(execution, activated):
    # Not idempotent, unlike a ReLU; it keeps x, which is positive, as `activated` promises.
    x, branch = torch.rand(3, 2), lambda v: -3 * v
    block = Residual(branch, activation=nn.LeakyReLU(0.5), activated=activated)
    for gates in (torch.tensor([1.0]), torch.tensor([0.0]), torch.tensor([[1.0, 0.0, 1.0]])):
        if gates.ndim <= EXECUTIONS[execution]:
            (gate,) = lower(gates, execution)
            d = gates.T if gates.ndim == 2 else gates
            assert_close(block(x, gate), torch.where(d == 1, -x, x))


@pytest.mark.parametrize("activated", [True, False])
def test_a_dropped_block_applies_its_activation_unless_promised_away(activated):
    x = torch.tensor([[-1.0, 2.0], [-3.0, 4.0]])
    block = Residual(torch.neg, activation=nn.ReLU(), activated=activated)
    passed_on = x if activated else x.relu()
    assert torch.equal(block(x, 0.0), passed_on)
    assert torch.equal(block(x, Rows(torch.tensor([1]), 1.0))[0], passed_on[0])


@pytest.mark.parametrize("gate", [0.0, 1.0, Rows(torch.tensor([0]), 1.0), torch.zeros(2)], ids=str)
def test_an_activation_in_place_spares_the_input(gate):
    x = torch.tensor([[-1.0, 2.0], [-3.0, 4.0]], requires_grad=True)
    before = x.detach().clone()
    block = Residual(torch.neg, shortcut=nn.Identity(), activation=nn.ReLU(inplace=True))
    block(x, gate).sum().backward()
    assert torch.equal(x, before)


@pytest.mark.parametrize("execution", EXECUTIONS)
def test_a_stream_in_half_precision_stays_so(execution):
    model, x = Toy(convolutional(2)).bfloat16(), torch.rand(4, 4, 5, 5).bfloat16()
    gates = torch.tensor([1.25, 0.0])
    gates = gates if execution == "skip" else gates[:, None] * torch.tensor([1.0, 0.5, 0.0, 1.0])
    out = model(x, gates, execution)
    assert out.dtype == torch.bfloat16
    assert_close(out.float(), model.float()(x.float(), gates, "mask"), atol=0.05, rtol=0.05)


def plain_mask(model, x, gates):
    """The equation with nothing cut off, for a chain without activations."""
    for block, gate in zip(model.blocks, gates, strict=True):
        x = x + block.scale * gate * block.branch(x)
    return x


def small():
    return Toy(convolutional(3, activation=False)).double(), torch.rand(2, 4, 2, 2).double()


def test_second_derivatives_in_the_gates():
    model, x = small()
    for gates in (torch.zeros(3), torch.tensor([1.0, 0.0, 0.5])):
        ours, theirs = (
            torch.autograd.functional.hessian(f, gates.double())
            for f in (
                lambda d: model(x, d, "mask").square().sum(),
                lambda d: plain_mask(model, x, d).square().sum(),
            )
        )
        assert_close(ours, theirs)


# Forward mode makes torch script its decompositions.
@pytest.mark.filterwarnings("ignore:`torch.jit.script` is deprecated:FutureWarning")
def test_masks_under_function_transforms():
    model, x = small()
    gates = torch.tensor([[0.0, 1.0, 0.5], [0.0, 0.0, 0.0], [1.0, 2.0, 1.0]]).double()

    def ours(d):
        return model(x, d, "mask").square().sum()

    def theirs(d):
        return plain_mask(model, x, d).square().sum()

    expected = torch.stack([torch.func.grad(theirs)(d) for d in gates])
    assert_close(torch.func.vmap(ours)(gates), torch.stack([theirs(d) for d in gates]))
    assert_close(torch.func.vmap(torch.func.grad(ours))(gates), expected)
    assert_close(torch.stack([torch.func.jacfwd(ours)(d) for d in gates]), expected)


@pytest.mark.parametrize("execution", EXECUTIONS)
def test_functional_call_differentiates_in_the_parameters(execution):
    model, x = small()
    gates = torch.tensor([1.0, 0.0, 2.0]).double()
    gates = gates[:, None].expand(3, 2) if EXECUTIONS[execution] == 2 else gates
    parameters = dict(model.named_parameters())

    def loss(parameters):
        return torch.func.functional_call(model, parameters, (x, gates, execution)).sum()

    grads = torch.func.grad(loss)(parameters)
    expected = torch.autograd.grad(loss(parameters), list(parameters.values()), allow_unused=True)
    for ours, theirs in zip(grads.values(), expected, strict=True):
        assert_close(ours, torch.zeros_like(ours) if theirs is None else theirs)


def test_a_block_is_called_by_keyword():
    block, x = Residual(nn.Linear(3, 3)), torch.randn(2, 3)
    assert torch.equal(block(x=x), block(x))
    assert torch.equal(block(gate=0.0, x=x), x)


GATES = {"dropped": 0.0, "runs": 1.0, "rows": Rows(torch.tensor([0]), 2.0), "mask": torch.zeros(2)}
SHORTCUTS = {
    "none": None,
    "identity": nn.Identity(),
    "flatten": nn.Flatten(),
    "dropout": nn.Dropout(0.0),
    "view": torch.Tensor.detach,
}


@pytest.mark.parametrize("activated", [True, False])
@pytest.mark.parametrize("shortcut", SHORTCUTS.values(), ids=SHORTCUTS)
@pytest.mark.parametrize("gate", GATES.values(), ids=GATES)
def test_the_output_never_shares_memory_with_the_input(gate, shortcut, activated):
    x = torch.randn(2, 4)
    for activation in (None, nn.Identity(), nn.ReLU(inplace=True)):
        before = x.clone()
        out = residual_step(
            x, torch.sin, gate, shortcut=shortcut, activation=activation, activated=activated
        )
        out.add_(1)
        assert torch.equal(x, before)


@pytest.mark.parametrize("gate", GATES.values(), ids=GATES)
def test_what_follows_a_block_may_change_the_stream_in_place(gate):
    # Sigmoid keeps its output for the backward pass, which a change of it would spoil.
    layers = [nn.Linear(4, 4), nn.Sigmoid(), Residual(nn.Linear(4, 4))]
    model, x = nn.ModuleList(layers).double(), torch.randn(2, 4).double()

    def gradients(after):
        h = after(model[2](model[1](model[0](x)), gate))
        return torch.autograd.grad((h - 0.5).square().sum(), model[0].weight)

    assert_close(gradients(nn.ReLU(inplace=True)), gradients(nn.ReLU()))


# Forward mode makes torch script its decompositions.
scripts = pytest.mark.filterwarnings("ignore:`torch.jit.script` is deprecated:FutureWarning")


def gates_of(execution):
    gates = torch.tensor([1.0, 0.0, 2.0]).double()
    return gates if execution == "skip" else gates[:, None] * torch.tensor([1.0, 0.5])


@pytest.mark.parametrize("execution", EXECUTIONS)
@scripts
def test_forward_mode_through_a_network(execution):
    # Compared with a central difference in float64, and with the mask under plain autograd.
    model, x = small()
    gates, direction, step = gates_of(execution), torch.randn(2, 4, 2, 2).double(), 1e-6
    out, tangent = torch.func.jvp(lambda v: model(v, gates, execution), (x,), (direction,))
    ahead, behind = (model(x + s * direction, gates, execution) for s in (step, -step))
    assert_close(out, model(x, gates, execution))
    assert_close(tangent, (ahead - behind) / (2 * step), rtol=1e-6, atol=1e-8)
    with torch.autograd.forward_ad.dual_level():
        dual = torch.autograd.forward_ad.make_dual(x, direction)
        again = torch.autograd.forward_ad.unpack_dual(model(dual, gates, execution)).tangent
    assert_close(again, tangent)


@pytest.mark.parametrize("execution", EXECUTIONS)
def test_a_gradient_for_each_sample_under_a_shared_draw(execution):
    model, x = small()
    gates = gates_of("skip") if execution == "skip" else gates_of(execution)[:, :1].expand(3, 2)
    parameters = {name: p.detach() for name, p in model.named_parameters()}

    def loss(parameters, sample):
        inputs = (sample.expand(2, -1, -1, -1), gates, execution)
        return torch.func.functional_call(model, parameters, inputs).square().sum()

    each = torch.func.vmap(torch.func.grad(loss), (None, 0))(parameters, x)
    for i, sample in enumerate(x):
        total = loss(dict(model.named_parameters()), sample)
        expected = torch.autograd.grad(total, list(model.parameters()), allow_unused=True)
        for ours, theirs in zip(each.values(), expected, strict=True):
            assert_close(ours[i], torch.zeros_like(ours[i]) if theirs is None else theirs)


def test_a_draw_for_each_that_vmap_maps_over():
    # `randomness="different"`: the gates are mapped over as well, and masked.
    model, x = small()
    gates = torch.tensor([[0.0, 1.0, 2.0], [1.0, 0.0, 0.0], [0.0] * 3]).double()
    for draws in (gates, gates[..., None].expand(3, 3, 2)):
        together = torch.vmap(lambda d: model(x, d, "mask"))(draws)
        assert_close(together, torch.stack([model(x, d, "mask") for d in draws]))


# Dynamo looks at `.grad` of the stream, which is no leaf.
@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor:UserWarning")
@pytest.mark.parametrize("execution", EXECUTIONS)
def test_a_network_is_compiled_as_a_whole(execution):
    model, x = network(), images()
    lowered = lower(gates_of(execution).repeat(2, *[3] * (execution != "skip"))[:L], execution)

    def run(model, x):
        for block, gate in zip(model.blocks, lowered, strict=True):
            x = block(x, gate)
        return x

    compiled = torch.compile(run, backend="aot_eager", fullgraph=True)
    grads = [
        torch.autograd.grad(f(model, x).square().sum(), [x, *model.parameters()], allow_unused=True)
        for f in (compiled, run)
    ]
    for ours, theirs in zip(*grads, strict=True):
        assert (ours is None and theirs is None) or torch.allclose(ours, theirs)


@pytest.mark.parametrize("execution", EXECUTIONS)
@pytest.mark.parametrize("norm", [True, False])
def test_an_empty_batch_gives_an_empty_output(execution, norm):
    # As timm's: https://github.com/huggingface/pytorch-image-models, `drop_path`.
    model, x = network(norm=norm and execution == "gather"), images()[:0]
    law = sd.gates.FixedDepth([0.9, 0.3, 0.5, 0.75])
    per = "batch" if execution == "skip" else "sample"
    gates = sd.gates.draw(law, per, 0, generator=sd.gates.stream(0, 0)).double()
    out = model(x, gates, execution)
    assert out.shape == (0, 4, 5, 3)
    (grad,) = torch.autograd.grad(out.sum(), x)
    assert grad.shape == x.shape


def test_negative_gates_run_their_block():
    model, x = network(activation=False), images()
    gates = sd.gates.Deterministic([-1.0, 0.0, -0.5, 2.0]).evaluation
    assert_same(run(model, x, gates, "skip"), run(model, x, gates, "mask"))
    rows = gates[:, None] * torch.tensor([1.0, -1.0, 0.0, 1.0, 2.0, 1.0])
    assert_same(run(model, x, rows, "gather"), run(model, x, rows, "mask"))


def test_an_alias_is_returned_where_it_is_allowed_and_nothing_was_computed():
    x = torch.rand(2, 3)
    allowed = Residual(nn.Linear(3, 3), activation=nn.ReLU(), activated=True, alias=True)
    assert allowed(x, 0.0) is x
    assert allowed(x, 1.0) is not x
    unpromised = Residual(nn.Linear(3, 3), activation=nn.ReLU(inplace=True), alias=True)
    assert unpromised(x, 0.0).data_ptr() != x.data_ptr()

"""What `apply` promises, and what it refuses."""

import copy
import inspect
from pathlib import Path

import pytest
import torch
import torchvision
from scipy import stats
from torch import nn

import stochastic_depth as sd

from .networks import NETWORKS, difference, gradients, images


@pytest.fixture(params=NETWORKS)
def name(request):
    return request.param


@pytest.fixture
def model(name):
    return NETWORKS[name]()


def test_the_model_keeps_its_class_its_keys_and_its_outputs(name, model):
    x = images(name)
    kind, keys, text, expected = type(model), list(model.state_dict()), repr(model), model(x)
    arguments = inspect.signature(model.forward)
    kinds = [type(module) for module in model.modules()]
    sd.apply(model, sd.schedules.linear(0.5))
    assert isinstance(model, kind)
    assert type(model).__name__ == kind.__name__
    assert all(isinstance(m, k) for m, k in zip(model.modules(), kinds, strict=True))
    assert list(model.state_dict()) == keys
    assert repr(model) == text
    assert inspect.signature(model.forward) == arguments
    assert torch.equal(model(x), expected)


def test_removal_restores_the_model_exactly(name, model):
    x = images(name)
    before = copy.deepcopy(model)
    kinds = [type(module) for module in model.modules()]
    hooks = [len(m._forward_hooks) + len(m._forward_pre_hooks) for m in model.modules()]
    handle = sd.apply(model, sd.schedules.uniform(0.7))
    model.train()(x)
    handle.remove()
    model.load_state_dict(before.state_dict())  # the forward has moved running statistics
    model.eval()
    assert [type(module) for module in model.modules()] == kinds
    assert [vars(m).keys() for m in model.modules()] == [vars(m).keys() for m in before.modules()]
    assert [len(m._forward_hooks) + len(m._forward_pre_hooks) for m in model.modules()] == hooks
    assert [m.training for m in model.modules()] == [m.training for m in before.modules()]
    assert torch.equal(model(x), before(x))
    sd.apply(model, sd.schedules.uniform(0.7))  # and may be applied again


def test_looking_at_a_model_leaves_it_as_it_is(name, model):
    before = copy.deepcopy(model.train())
    generator = torch.get_rng_state()
    plan = sd.plan(model, sd.schedules.uniform(0.7))
    with sd.gating(model, torch.ones(len(plan.blocks))):
        pass
    sd.gated(model)
    assert torch.equal(torch.get_rng_state(), generator)
    assert all(m.training for m in model.modules())
    assert [type(m) for m in model.modules()] == [type(m) for m in before.modules()]
    for key, tensor in before.state_dict().items():
        assert torch.equal(model.state_dict()[key], tensor)


@pytest.mark.parametrize("per", ["batch", "sample", "subset"])
@pytest.mark.parametrize("name", ["timm-resnet", "torchvision-vit", "own-vanilla"], indirect=True)
def test_gates_leave_the_global_generator_alone(name, model, per):
    sd.apply(model, sd.schedules.uniform(0.7), per=per)
    generator = torch.get_rng_state()
    model.train()(images(name))
    assert torch.equal(torch.get_rng_state(), generator)


def test_survival_one_is_the_plain_model_in_training(name, model):
    plain = copy.deepcopy(model).train()
    with pytest.warns(UserWarning, match="every block survives with probability 1"):
        sd.apply(model, sd.schedules.uniform(1.0))
    model.train()
    x = images(name)
    model(x).sum().backward()
    plain(x).sum().backward()
    assert torch.equal(model(x), plain(x))
    ours, theirs = gradients(model), gradients(plain)
    assert all(torch.equal(ours[key], theirs[key]) for key in theirs)


@pytest.mark.parametrize("rescale", ["train", "test", "none"])
@pytest.mark.parametrize("name", ["torchvision-resnet", "own-cifar"], indirect=True)
def test_evaluation_runs_at_the_evaluation_gates(name, model, rescale):
    x = images(name)
    plain = copy.deepcopy(model)
    law = sd.apply(model, sd.schedules.linear(0.4), rescale=rescale).law
    with sd.gating(plain, law.evaluation):
        expected = plain(x)
    assert torch.equal(model(x), expected)
    if rescale == "test":
        assert not torch.equal(expected, plain(x))


@pytest.mark.parametrize("per", ["batch", "sample", "subset"])
def test_the_gates_of_a_step_come_from_its_stream(per):
    model, x = NETWORKS["timm-vit"](), images("timm-vit")
    handle = sd.apply(model, sd.schedules.uniform(0.6), per=per, seed=11, ranks="shared")
    model.train()
    handle.step = 3
    assert handle.gates is None
    for step in (3, 4):
        model(x)
        generator = sd.gates.stream(11, step)
        assert torch.equal(
            handle.gates, sd.gates.draw(handle.law, per, len(x), generator=generator)
        )
    assert handle.step == 5
    model.eval()(x)
    assert handle.step == 5


@pytest.mark.parametrize("per", ["batch", "sample"])
def test_a_training_forward_runs_under_the_gates_it_has_drawn(name, model, per):
    x = images(name)
    plain = copy.deepcopy(model).train()
    handle = sd.apply(model.train(), sd.schedules.uniform(0.5), per=per)
    output = model(x)
    with sd.gating(plain, handle.gates):
        assert torch.equal(plain(x), output)


@pytest.mark.parametrize(
    ("per", "ranks", "rank"),
    [
        ("batch", None, None),
        ("batch", "independent", 3),
        ("sample", None, 3),
        ("subset", None, 3),
        ("sample", "shared", None),
    ],
)
def test_processes_share_gates_or_do_not(per, ranks, rank, monkeypatch):
    monkeypatch.setattr(torch.distributed, "is_initialized", lambda: True)
    monkeypatch.setattr(torch.distributed, "get_rank", lambda: 3)
    model, x = NETWORKS["own-vanilla"]().train(), images("own-vanilla")
    handle = sd.apply(model, sd.schedules.uniform(0.5), per=per, ranks=ranks, seed=9)
    for step in range(3):
        model(x)
        generator = sd.gates.stream(9, step, rank)
        assert torch.equal(
            handle.gates, sd.gates.draw(handle.law, per, len(x), generator=generator)
        )


@pytest.mark.parametrize("law", [sd.gates.Bernoulli, sd.gates.FixedDepth])
def test_processes_of_equal_depth_run_sets_of_their_own(law, monkeypatch):
    monkeypatch.setattr(torch.distributed, "is_initialized", lambda: True)
    x, drawn = images("own-vanilla"), []
    for rank in range(3):
        monkeypatch.setattr(torch.distributed, "get_rank", lambda rank=rank: rank)
        model = NETWORKS["own-vanilla"]().train()
        handle = sd.apply(model, law([0.9, 0.4, 0.6, 0.5]), ranks="equal-depth", seed=9)
        for step in range(8):
            model(x)
            depth, own = sd.gates.stream(9, step), sd.gates.stream(9, step, rank)
            gates = sd.gates.draw(handle.law, "batch", None, depth=depth, generator=own)
            assert torch.equal(handle.gates, gates)
            drawn.append(gates)
    active = torch.stack(drawn).reshape(3, 8, 4) != 0
    assert (active.sum(2) == active[0].sum(1)).all()
    assert (active != active[0]).any(2).sum() > 4


def test_subsets_come_in_multiples_and_compute_what_their_gates_say():
    model, x = NETWORKS["own-vanilla"]().train(), images("own-vanilla", 7)
    plain = copy.deepcopy(model)
    handle = sd.apply(model, sd.schedules.uniform(0.3), per="subset", multiple=4, seed=2)
    output = model(x)
    law = handle.law
    generator = sd.gates.stream(2, 0, 0)
    gates = sd.gates.draw(law, "subset", 7, multiple=4, generator=generator)
    assert torch.equal(handle.gates, gates)
    assert set((gates != 0).sum(1).tolist()) <= {0, 4}  # 0.3 * 7 = 2.1
    with sd.gating(plain, gates):
        assert torch.equal(plain(x), output)


@pytest.mark.parametrize(("per", "fast"), [("batch", "skip"), ("sample", "gather")])
@pytest.mark.parametrize("name", ["torchvision-swin", "timm-eva", "own-vanilla"], indirect=True)
def test_the_execution_does_not_change_the_training_step(name, model, per, fast):
    x = images(name)
    results = []
    for execution in (fast, "mask"):
        twin = copy.deepcopy(model).train()
        sd.apply(
            twin,
            sd.schedules.uniform(0.6),
            per=per,
            execution=execution,
            granularity="branch",
            seed=0,
        )
        for _ in range(2):
            twin(x).square().sum().backward()
        results.append(gradients(twin))
    assert difference(*results) < 1e-10


def test_blocks_survive_as_often_as_asked():
    model = sd.models.VanillaResNet(depth=5, width=2, inputs=2, outputs=1)
    handle = sd.apply(model, torch.tensor([0.1, 0.35, 0.8, 0.95, 1.0]), seed=2)
    x = torch.randn(1, 2)
    alive = torch.stack([(model(x), handle.gates != 0)[1] for _ in range(2000)]).double()
    for index, p in enumerate(handle.survival.tolist()[:4]):
        # Exact binomial test of each block, n = 2000, fixed seed; rejects a right
        # implementation with probability 4e-6 in all.
        assert stats.binomtest(int(alive[:, index].sum()), 2000, p).pvalue > 1e-6
    assert alive[:, 4].all()


def test_protected_blocks_count_and_never_drop():
    model = torchvision.models.resnet50()
    handle = sd.apply(model, sd.schedules.linear(0.8, rule="linspace"))
    protected = [block.index for block in handle.blocks if not block.droppable]
    assert protected == [0, 3, 7, 13]
    assert len(handle.survival) == 16
    assert handle.survival[protected].tolist() == [1, 1, 1, 1]
    assert handle.survival[[5, 8, 11, 15]].tolist() == pytest.approx(
        [0.9333, 0.8933, 0.8533, 0.8], abs=1e-4
    )
    assert float(handle.survival.sum()) == pytest.approx(16 - 97 * 0.2 / 15, abs=1e-12)


def test_transitions_may_be_dropped():
    model = NETWORKS["torchvision-resnet"]()
    handle = sd.apply(model, sd.schedules.uniform(0.5), transitions="drop")
    assert all(block.droppable for block in handle.blocks)
    assert handle.survival.tolist() == [0.5] * 6


def test_parameter_free_transitions_are_droppable():
    blocks = sd.find_blocks(NETWORKS["own-cifar"]())
    assert [block.droppable for block in blocks] == [True] * 9


@pytest.mark.parametrize("family", [None, sd.schedules.linear])
def test_a_budget_is_met_by_the_droppable_rest(family):
    model = NETWORKS["torchvision-resnet"]()
    handle = sd.apply(model, family, budget=0.8)
    protected = ~torch.tensor([block.droppable for block in handle.blocks])
    assert handle.survival[protected].tolist() == [1, 1]
    assert float(handle.survival.mean()) == pytest.approx(0.8, abs=1e-6)


def test_a_budget_weighs_blocks_by_cost_on_an_example():
    model = NETWORKS["torchvision-resnet"]()
    handle = sd.apply(model, budget=0.8, example=images("torchvision-resnet"))
    costs = torch.tensor([block.cost for block in handle.blocks], dtype=torch.float64)
    assert len(set(costs.tolist())) > 2
    assert float(costs @ handle.survival / costs.sum()) == pytest.approx(0.8, abs=1e-6)


def test_a_budget_out_of_reach_is_refused():
    with pytest.raises(sd.InfeasibleBudget, match=r"budget must be in \[0.33"):
        sd.apply(NETWORKS["torchvision-resnet"](), budget=0.2)


@pytest.mark.parametrize("put", [sd.apply, sd.plan])
def test_a_budget_that_protected_blocks_use_up_says_what_is_left(put):
    """Two of six always run: of 0.4 the others get (2.4 - 2) / 4, and of 0.5 (3 - 2) / 4."""
    message = "A budget of 0.4 leaves the 4 droppable blocks a survival of 0.100: 2 blocks always"
    with pytest.warns(UserWarning, match=message) as seen:
        put(NETWORKS["torchvision-resnet"](), budget=0.4)
    assert [Path(warning.filename) for warning in seen] == [Path(__file__)]
    put(NETWORKS["torchvision-resnet"](), budget=0.5)  # half of it, and no less
    put(NETWORKS["own-cifar"](), budget=0.1)  # as asked: nothing is protected


@pytest.mark.parametrize(
    ("number", "remedy"),
    [
        (0.2, r"drop rate of 0.2 pass schedules.linear\(0.8\); for a survival of 0.2 schedules.l"),
        (1, r"drop rate of 1 pass schedules.linear\(0\)"),
        (8, r"got 8. Example: schedules.linear\(0.8\)"),
    ],
)
def test_one_number_could_be_a_drop_rate_or_a_survival(number, remedy):
    with pytest.raises(sd.InvalidArgument, match=f"survival must be a schedule, or .*{remedy}"):
        sd.apply(NETWORKS["own-cifar"](), number)


def test_what_is_never_called_itself_names_what_is():
    """As a Lightning module, whose training step calls the network in it."""

    class Training(nn.Module):
        def __init__(self):
            super().__init__()
            self.net = NETWORKS["torchvision-resnet"]()

    message = r"Training must have a forward, .* what it trains: model.net \(ResNet\)"
    for look in (sd.find_blocks, lambda model: sd.apply(model, sd.schedules.linear(0.5))):
        with pytest.raises(sd.Unsupported, match=message):
            look(Training())


@pytest.mark.parametrize("granularity", ["block", "branch"])
def test_granularity(granularity):
    model = NETWORKS["timm-vit"]()
    handle = sd.apply(model, sd.schedules.linear(0.4), granularity=granularity)
    if granularity == "block":
        assert [str(block) for block in handle.blocks] == ["blocks.0", "blocks.1", "blocks.2"]
        assert handle.survival.tolist() == pytest.approx([0.8, 0.6, 0.4])
    else:
        assert [str(block) for block in handle.blocks][:2] == ["blocks.0 [attn]", "blocks.0 [mlp]"]
        assert handle.survival.tolist() == pytest.approx([0.8, 0.8, 0.6, 0.6, 0.4, 0.4])


def test_a_gate_of_a_branch_governs_that_branch_alone():
    model = NETWORKS["timm-vit"]()
    handle = sd.apply(model, sd.schedules.uniform(0.5), granularity="branch")
    x = images("timm-vit")
    with sd.gating(model, torch.tensor([1.0, 0.0, 1.0, 1.0, 1.0, 1.0])):
        actual = model(x)
    handle.remove()
    model.blocks[0].mlp = nn.Sequential()  # its output is then its input,
    model.blocks[0].ls2 = nn.Module()  # which this annuls
    model.blocks[0].ls2.forward = lambda x: 0 * x
    assert (actual - model(x)).abs().max() < 1e-12


@pytest.mark.parametrize("granularity", ["block", "branch"])
@pytest.mark.parametrize("name", ["torchvision-resnet", "timm-vit", "own-cifar"])
def test_dropped_parameters_get_no_gradient_or_zeros(name, granularity):
    x = images(name)
    for dropped_grads in ("none", "zero"):
        model = NETWORKS[name]().train()
        handle = sd.apply(
            model,
            sd.schedules.uniform(0.5),
            dropped_grads=dropped_grads,
            granularity=granularity,
            seed=1,
        )
        model(x).sum().backward()
        missing = {n for n, p in model.named_parameters() if p.grad is None}
        dropped = handle.gates == 0
        assert dropped.any()
        assert bool(missing) == (dropped_grads == "none")
        if dropped_grads == "zero":
            zero = [n for n, p in model.named_parameters() if not p.grad.any()]
            paths = {handle.blocks[i].path for i in dropped.nonzero().flatten().tolist()}
            assert all(any(n.startswith(f"{path}.") for n in zero) for path in paths)


def test_blocks_left_in_evaluation_mode_run_at_their_mean():
    model = NETWORKS["timm-vit"]()
    handle = sd.apply(model, sd.schedules.uniform(1e-6), rescale="none")
    model.train()
    model.blocks[0].eval()
    calls = []
    for block in model.blocks:
        block.attn.register_forward_hook(lambda *_: calls.append(1))
    model(images("timm-vit"))
    assert len(calls) == 1
    assert handle.step == 1


def test_a_training_block_in_a_model_in_evaluation_mode_is_drawn_for():
    model = NETWORKS["timm-vit"]()
    handle = sd.apply(model, sd.schedules.uniform(1e-6))
    model.blocks[2].train()
    model(images("timm-vit"))
    assert handle.step == 1
    assert handle.gates.tolist() == [0, 0, 0]


def test_another_method_of_the_model_opens_a_pass():
    model, x = NETWORKS["timm-vit"]().train(), images("timm-vit")
    handle = sd.apply(model, sd.schedules.uniform(0.6), seed=1)
    for step in range(5):
        features = model.forward_features(x)
        assert handle.step == step + 1
        with sd.gating(model, handle.gates):
            assert torch.equal(model.forward_features(x), features)
    with sd.gating(model, torch.ones(3)):
        model.forward_features(x)
    assert handle.step == 5


def test_after_a_failed_forward_the_next_one_works():
    model = NETWORKS["timm-vit"]().train()
    handle = sd.apply(model, sd.schedules.uniform(0.6))
    with pytest.raises(AssertionError, match="Input height"):
        model(torch.zeros(1, 3, 24, 24, dtype=torch.float64))
    assert handle.step == 1
    model.blocks[0](torch.zeros(1, 5, 16, dtype=torch.float64))
    model(images("timm-vit"))
    assert handle.step == 3


def test_applying_twice_is_refused(model):
    handle = sd.apply(model, sd.schedules.uniform(0.6))
    with pytest.raises(sd.AlreadyApplied, match="already has stochastic depth"):
        sd.apply(model, sd.schedules.uniform(0.6))
    with pytest.raises(sd.AlreadyApplied, match="already has stochastic depth"):
        sd.apply(nn.Sequential(model), sd.schedules.uniform(0.6))
    handle.remove()
    with pytest.raises(sd.InvalidArgument, match="must have stochastic depth"):
        handle.remove()


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"survival": [0.5, 0.5]}, sd.InvalidArgument, "survival must be a vector of 3 entries"),
        ({"survival": [0.5, 1.5, 1]}, sd.InvalidArgument, r"survival\[1\] must be in \[0, 1\]"),
        ({"survival": sd.gates.Bernoulli([0.5])}, sd.InvalidArgument, "law must be of 3 blocks"),
        ({"survival": sd.schedules.linear(0.5), "budget": 0.7}, sd.InvalidArgument, "a family"),
        ({"survival": 0.5}, sd.InvalidArgument, "survival must be"),
        ({"budget": 1.2}, sd.InvalidArgument, r"budget must be in"),
        ({"budget": 0.5, "per": "row"}, sd.InvalidArgument, "per must be one of batch, sample"),
        ({"budget": 0.5, "multiple": 8}, sd.InvalidArgument, "multiple must be 1 for per='batch'"),
        ({"budget": 0.5, "rescale": "no"}, sd.InvalidArgument, "rescale must be one of"),
        ({"budget": 0.5, "execution": "ship"}, sd.InvalidArgument, "Did you mean 'skip'"),
        ({"budget": 0.5, "dropped_grads": 0}, sd.InvalidArgument, "dropped_grads must be one of"),
        ({"budget": 0.5, "ranks": "all"}, sd.InvalidArgument, "ranks must be one of"),
        (
            {"budget": 0.5, "ranks": "equal-depth", "per": "sample"},
            sd.InvalidArgument,
            "ranks must be shared or independent for per='sample'; got equal-depth. Use",
        ),
        ({"budget": 0.5, "granularity": "head"}, sd.InvalidArgument, "granularity must be one of"),
        ({"budget": 0.5, "transitions": "keep"}, sd.InvalidArgument, "transitions must be one of"),
        ({"budget": 0.5, "seed": -1}, sd.InvalidArgument, "seed must be at least 0"),
    ],
)
def test_bad_arguments_leave_the_model_plain(arguments, error, message):
    model = NETWORKS["timm-vit"]()
    kinds = [type(module) for module in model.modules()]
    with pytest.raises(error, match=message):
        sd.apply(model, **arguments)
    assert [type(module) for module in model.modules()] == kinds


def test_a_law_must_leave_protected_blocks_alone():
    model = NETWORKS["torchvision-resnet"]()
    with pytest.raises(sd.InvalidArgument, match="for block 0, layer1.0, because its shortcut"):
        sd.apply(model, sd.gates.FixedDepth([0.5] * 6))
    sd.apply(model, sd.gates.FixedDepth([1, 0.5, 0.5, 1, 0.5, 0.5]))


def test_nothing_to_drop_lists_what_was_looked_at():
    class Plain(nn.Sequential):
        pass

    model = Plain(Plain(nn.Linear(3, 3)), Plain(nn.Linear(3, 3)))
    with pytest.raises(sd.NothingToDrop, match="none of which adds a branch to its input"):
        sd.apply(model, sd.schedules.uniform(0.6))
    with pytest.raises(sd.NothingToDrop, match="none of which adds a branch to its input"):
        sd.apply(nn.Linear(2, 2), sd.schedules.uniform(0.6))

    class Maps(nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.b = nn.Linear(3, 3), nn.Linear(3, 3)

        def forward(self, x):
            return self.a(x) + self.b(x)

    model = nn.Sequential(nn.Linear(3, 3), Maps(), Maps())
    with pytest.raises(sd.NothingToDrop, match="looked at 2 Maps: it adds up learned maps, with"):
        sd.apply(model, sd.schedules.uniform(0.6))


def test_compiled_models_are_refused():
    model = NETWORKS["timm-vit"]()
    with pytest.raises(sd.Unsupported, match="is compiled, and would run without its gates"):
        sd.apply(torch.compile(model), sd.schedules.uniform(0.6))
    model.blocks[1].compile()
    with pytest.raises(sd.Unsupported, match=r"blocks.1 is compiled.*then compile it"):
        sd.apply(model, sd.schedules.uniform(0.6))


def test_synchronised_statistics_need_shared_gates():
    model = nn.SyncBatchNorm.convert_sync_batchnorm(NETWORKS["timm-resnet"]())
    for arguments in ({"ranks": "independent"}, {"ranks": "equal-depth"}, {"per": "sample"}):
        with pytest.raises(sd.Unsupported, match="ranks must be 'shared' for a model with Sync"):
            sd.apply(model, sd.schedules.uniform(0.6), **arguments)
    sd.apply(model, sd.schedules.uniform(0.6), ranks="shared")

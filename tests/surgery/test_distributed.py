"""Two processes that train one model, against one process with the whole batch."""

import warnings
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor, distributed, nn
from torch.distributed.fsdp import FullyShardedDataParallel, fully_shard
from torch.distributed.fsdp.wrap import ModuleWrapPolicy
from torch.distributed.tensor import DTensor
from torch.nn.parallel import DistributedDataParallel

import stochastic_depth as sd

from .language_models import gpt2, llama
from .networks import images, timm_eva, torchvision_vit
from .processes import in_two_processes

STEPS, HALF = 6, 3
Gradients = dict[str, Tensor | None]


def sharded(model: nn.Module, blocks: Iterable[nn.Module]) -> nn.Module:
    """Shard every block, and what is around them."""
    for block in blocks:
        fully_shard(block)
    return fully_shard(model)


WRAPPERS: dict[str, Callable[[nn.Module], nn.Module]] = {
    "none": partial(DistributedDataParallel, find_unused_parameters=True),
    "zero": DistributedDataParallel,
    "zero, static graph": partial(DistributedDataParallel, static_graph=True),
    "none, sharded": lambda model: sharded(model, model.blocks),
    "zero, sharded": lambda model: sharded(model, model.blocks),
    "none, sharded as a whole": fully_shard,
    "none, sharded in pairs": lambda model: sharded(
        model, map(list, zip(model.blocks[::2], model.blocks[1::2], strict=True))
    ),
}
GATES = [("batch", "shared"), ("batch", "equal-depth"), ("batch", "independent"),
         ("sample", "shared"), ("sample", "independent")]  # fmt: skip
SETTINGS = [(wrapper, *gates) for wrapper in WRAPPERS for gates in GATES]


def network(per: str = "batch", ranks: str | None = None, **options: str) -> nn.Module:
    """Six blocks without batch statistics, the same in every process."""
    torch.manual_seed(0)
    model = sd.models.VanillaResNet(depth=6, width=8, inputs=4, outputs=3).double()
    sd.apply(model, sd.schedules.uniform(0.6), per=per, ranks=ranks, seed=3, **options)
    return model.train()


def batch(step: int) -> Tensor:
    """The batch of a step: each of two processes has one half of it."""
    noise = torch.Generator().manual_seed(step)
    return torch.randn(2 * HALF, 4, generator=noise, dtype=torch.float64)


def gradients(model: nn.Module) -> Gradients:
    copied = {n: None if p.grad is None else whole(p.grad) for n, p in model.named_parameters()}
    model.zero_grad()
    return copied


def whole(tensor: Tensor) -> Tensor:
    """Return a copy, put together of its shards."""
    return tensor.full_tensor() if isinstance(tensor, DTensor) else tensor.detach().clone()


def replicated(setting: tuple[str, str, str], rank: int) -> list[tuple[Tensor, Gradients]]:
    """Return the gates and the gradients of some steps, each process with half of a batch."""
    kind, per, ranks = setting
    model = network(per, ranks, dropped_grads=kind[:4])
    wrapped = WRAPPERS[kind](model)
    done = []
    for step in range(STEPS):
        wrapped(batch(step)[rank * HALF :][:HALF]).square().mean().backward()
        done.append((sd.surgery.handle(model).gates, gradients(model)))
    return done


def trained(kind: str, rank: int) -> tuple[list[Tensor], list[Tensor]]:
    """Return the weights and the gates of a training whose gates differ between processes."""
    model = network(ranks="independent", dropped_grads=kind[:4])
    wrapped = WRAPPERS[kind](model)
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.01, weight_decay=0.1)
    gates = []
    for step in range(20):
        optimizer.zero_grad()
        wrapped(batch(step)[rank * HALF :][:HALF]).square().mean().backward()
        optimizer.step()
        gates.append(sd.surgery.handle(model).gates)
    return [whole(weight) for weight in model.state_dict().values()], gates


class Block(nn.Module):
    """A block of somebody else's."""

    def __init__(self) -> None:
        super().__init__()
        self.f = nn.Linear(4, 4)

    def forward(self, x: Tensor) -> Tensor:
        return x + torch.tanh(self.f(x))


FOREIGN: dict[str, tuple[Callable[[], nn.Module], Callable[[], Tensor]]] = {
    "own code": (
        lambda: nn.Sequential(nn.Linear(4, 4), Block(), Block(), Block()).double(),
        lambda: batch(0),
    ),
    "torchvision": (torchvision_vit, lambda: images("torchvision-vit", 2)),
    "timm": (timm_eva, lambda: images("timm-eva", 2)),
    "transformers": (
        lambda: llama(use_cache=False),
        lambda: torch.arange(10).reshape(2, 5),
    ),
}
"""Models of others, and an input of each."""


def foreign(name: str) -> tuple[nn.Module, Tensor, list[nn.Module]]:
    """Return a gated model, an input and its blocks."""
    build, example = FOREIGN[name]
    torch.manual_seed(0)
    model = build()
    handle = sd.apply(model, sd.schedules.uniform(0.5), seed=4, example=example())
    blocks = [model.get_submodule(block.path) for block in handle.blocks]
    return model.train(), example(), blocks


def loss(output: Any) -> Tensor:
    return getattr(output, "logits", output).square().mean()


def sharded_foreign(name: str) -> list[tuple[Tensor, Gradients]]:
    """Return gates and gradients of a model of others, with every block sharded."""
    model, x, blocks = foreign(name)
    sharded(model, blocks)
    done = []
    for _ in range(3):
        loss(model(x)).backward()
        done.append((sd.surgery.handle(model).gates, gradients(model)))
    return done


LANGUAGE: dict[str, tuple[Callable[[], nn.Module], dict[str, Any]]] = {
    "gpt2, each sequence": (gpt2, {"per": "sample"}),
    "llama, each sequence": (llama, {"per": "sample"}),
    "llama, each sequence and branch": (llama, {"per": "sample", "granularity": "branch"}),
    "gpt2, each process": (gpt2, {"ranks": "independent"}),
    "llama, each process and branch": (llama, {"ranks": "independent", "granularity": "branch"}),
}
"""Decoders, and what `apply` is told."""
CHECKPOINTED = "llama, each sequence"
"""Whose layers are also run again in the backward pass, reentrant or not."""


def decoder(name: str, reentrant: bool | None = None) -> nn.Module:
    build, options = LANGUAGE[name]
    model = build(use_cache=False)
    sd.apply(model, sd.schedules.uniform(0.4), seed=5, **options)
    if reentrant is not None:
        model.activation_checkpointing_enable({"use_reentrant": reentrant})
    return model.train()


def sequences(step: int) -> Tensor:
    noise = torch.Generator().manual_seed(step)
    return torch.randint(3, 50, (4, 5), generator=noise)


def language(name: str, reentrant: bool | None, rank: int) -> tuple[list[Any], set[str]]:
    """Return gates and gradients of a decoder whose layers are sharded, and what is said."""
    model, done = decoder(name, reentrant), []
    handle = sd.surgery.handle(model)
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        layers = dict.fromkeys(block.path for block in handle.blocks)  # one of two branches twice
        sharded(model, map(model.get_submodule, layers))
        for step in range(STEPS):
            loss(model(sequences(step)[2 * rank :][:2])).backward()
            done.append((handle.gates, gradients(model)))
    return done, {str(warning.message) for warning in said}


def forced(rank: int) -> Gradients:
    """Return the gradients where each process is given gates of its own."""
    model = sharded(network(), [])
    with sd.gating(model, GIVEN[rank]):
        model(batch(0)[rank * HALF :][:HALF]).square().mean().backward()
    return gradients(model)


GIVEN = torch.tensor([[0.0, 1.5, 0.0, 1.0, 0.0, 2.0], [1.5, 0.0, 0.0, 1.0, 2.0, 0.0]])


def compiled(rank: int) -> tuple[list[Any], list[str]]:
    """Return gates and gradients of a compiled model that is sharded afterwards."""
    model, done = network(ranks="independent"), []
    handle = sd.surgery.handle(model)
    handle.compile(backend="eager")
    sharded(model, model.blocks)
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        for step in range(2):
            model(batch(step)[rank * HALF :][:HALF]).square().mean().backward()
            done.append((handle.gates, gradients(model)))
    return done, [str(warning.message) for warning in said]


def first_fsdp(model: nn.Module, block: type[nn.Module]) -> nn.Module:
    """Wrap a model, and each of its blocks, in the first FSDP."""
    policy = ModuleWrapPolicy({block})
    return FullyShardedDataParallel(
        model, auto_wrap_policy=policy, device_id=torch.device("cpu"), use_orig_params=True
    )


def first_sharded() -> list[float]:
    """Return the losses of a model wrapped by the first FSDP."""
    model, x, blocks = foreign("own code")
    wrapped = first_fsdp(model, type(blocks[0]))
    losses = []
    for _ in range(4):
        value = wrapped(x).square().mean()
        value.backward()
        losses.append(value.item())
    return losses


def diverged(rank: int, ranks: str) -> tuple[list[Tensor], list[str]]:
    """Return the gates, and what is said, where one process makes a forward of its own."""
    model = network(ranks=ranks, dropped_grads="zero")
    wrapped, gates = DistributedDataParallel(model), []
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        for step in range(4):
            if rank == 0 and step == 1:
                with torch.no_grad():
                    model(batch(step))
            wrapped(batch(step)).square().mean().backward()
            gates.append(sd.surgery.handle(model).gates)
    return gates, [str(warning.message) for warning in said]


def refused(wrap: Callable[[], nn.Module]) -> str:
    """Return in what words a training step is refused; the processes stay in step."""
    try:
        wrap()(batch(0))
    except sd.Unsupported as error:
        return str(error)
    return "it was not"


def cifar(**options: Any) -> nn.Module:
    model = sd.models.CifarResNet(8, num_classes=3, width=4)
    sd.apply(model, sd.schedules.uniform(0.6), **options)
    return model


def plain() -> nn.Module:
    return sd.models.VanillaResNet(depth=2, width=4, inputs=4, outputs=3)


def applied(model: nn.Module) -> nn.Module:
    sd.apply(model, sd.schedules.uniform(0.6))
    return model


def shard(model: nn.Module, path: str = "blocks.1") -> nn.Module:
    fully_shard(model.get_submodule(path))
    return model


def partitioned(model: nn.Module) -> nn.Module:
    """Mark parameters as DeepSpeed's `_convert_to_deepspeed_param` does; it is not installed.

    With stage 3 the data of a parameter is empty between its uses, and these attributes tell
    what it is and where.
    """
    for number, parameter in enumerate(model.blocks[1].parameters()):
        parameter.ds_id, parameter.ds_status = number, "NOT_AVAILABLE"
        parameter.ds_shape, parameter.ds_numel = parameter.shape, parameter.numel()
    return model


REFUSALS: dict[str, tuple[Callable[[], nn.Module], str]] = {
    "waits for every parameter": (
        lambda: DistributedDataParallel(network()),
        "find_unused_parameters=True to it, or dropped_grads='zero'",
    ),
    "static graph": (
        lambda: DistributedDataParallel(network(), static_graph=True),
        "dropped_grads must be 'zero' under DistributedDataParallel with static_graph=True",
    ),
    "converted after apply": (
        lambda: nn.SyncBatchNorm.convert_sync_batchnorm(cifar(ranks="independent")),
        "ranks must be 'shared' for a model with SyncBatchNorm (stem.1)",
    ),
    "sharded within a block": (
        lambda: shard(network(ranks="independent"), "blocks.1.branch"),
        "ranks must be 'shared' where a part of a block is sharded by itself (blocks.1.branch): a "
        "process whose block is dropped would not gather it, and the others would wait. Call "
        "fully_shard on the block, blocks.1, and not within it.",
    ),
    "the first fsdp": (
        lambda: first_fsdp(network(ranks="independent"), sd.blocks.Residual),
        "ranks must be 'shared' under FullyShardedDataParallel (blocks.0)",
    ),
    "partitioned by ZeRO-3": (
        lambda: partitioned(network()),
        "The parameters of a model with stochastic depth must be whole, and blocks.1.branch.1",
    ),
    "replicated before": (
        lambda: applied(DistributedDataParallel(plain())),
        "model is already wrapped or sharded for several devices (DistributedDataParallel). Apply",
    ),
    "sharded before": (
        lambda: applied(shard(plain())),
        "blocks.1 is already wrapped or sharded for several devices (FSDPResidual)",
    ),
}


def networks(rank: int) -> dict[Any, Any]:
    distributed.barrier()
    return {
        **{setting: replicated(setting, rank) for setting in SETTINGS},
        **{("trained", kind): trained(kind, rank) for kind in WRAPPERS},
        **{("diverged", ranks): diverged(rank, ranks) for ranks in ("shared", "equal-depth")},
        **{name: refused(wrap) for name, (wrap, _) in REFUSALS.items()},
    }


def models_of_others(rank: int) -> dict[Any, Any]:
    distributed.barrier()
    return {
        **{("foreign", name): sharded_foreign(name) for name in FOREIGN},
        **{("language", name): language(name, None, rank) for name in LANGUAGE},
        **{("again", again): language(CHECKPOINTED, again, rank) for again in (False, True)},
        "forced": forced(rank),
        "compiled": compiled(rank),
        "first": first_sharded(),
    }


@pytest.fixture(scope="module")
def processes(tmp_path_factory):
    return in_two_processes(networks, tmp_path_factory.mktemp("processes"))


@pytest.fixture(scope="module")
def others(tmp_path_factory):
    return in_two_processes(models_of_others, tmp_path_factory.mktemp("others"))


def under(gates: Tensor, x: Tensor, kind: str) -> Gradients:
    """Return the gradients of one process under given gates."""
    model = network(dropped_grads=kind)
    with sd.gating(model, gates):
        model(x).square().mean().backward()
    return gradients(model)


def mean(first: Gradients, second: Gradients) -> Gradients:
    """Return the mean; a process that has no gradient counts as one of zeros."""
    means = {}
    for name, a in first.items():
        there = [g for g in (a, second[name]) if g is not None]
        means[name] = sum(there) / 2 if there else None
    return means


def assert_same(
    measured: Gradients, expected: Gradients, rtol: float = 1e-12, atol: float = 1e-14
) -> None:
    assert measured.keys() == expected.keys()
    for name, gradient in expected.items():
        if gradient is None:
            assert measured[name] is None, name
        else:
            torch.testing.assert_close(measured[name], gradient, rtol=rtol, atol=atol)


@pytest.mark.parametrize("setting", SETTINGS, ids="-".join)
def test_gradients_are_those_of_one_process_with_the_whole_batch(setting, processes):
    kind, per, ranks = setting
    some_none = False
    for step, ((gates, measured), (other, second)) in enumerate(
        zip(*(results[setting] for results in processes), strict=True)
    ):
        if ranks != "equal-depth":  # whose sets are the same now and then
            assert torch.equal(gates, other) == (ranks == "shared")
        x = batch(step)
        if per == "sample":
            expected = under(torch.cat([gates, other], dim=1), x, kind[:4])
        elif ranks == "shared":
            expected = under(gates, x, kind[:4])
        else:
            halves = zip((gates, other), x.split(HALF), strict=True)
            expected = mean(*(under(own, half, kind[:4]) for own, half in halves))
        assert_same(measured, expected)
        assert_same(second, expected)
        some_none |= None in expected.values()
    none = kind.startswith("none")
    assert some_none or not none or per == "sample"
    assert none or not some_none


def test_gates_of_a_process_come_from_its_own_stream(processes):
    for rank, results in enumerate(processes):
        for step, (gates, _) in enumerate(results["none", "batch", "independent"]):
            law = sd.gates.Bernoulli([0.6] * 6, rescale="train")
            assert torch.equal(gates, law.sample(generator=sd.gates.stream(3, step, rank)))


@pytest.mark.parametrize("wrapper", WRAPPERS)
def test_processes_of_equal_depth_run_equally_many_blocks(wrapper, processes):
    first, second = (results[wrapper, "batch", "equal-depth"] for results in processes)
    depths = [[int(gates.count_nonzero()) for gates, _ in steps] for steps in (first, second)]
    assert depths[0] == depths[1]
    assert len(set(depths[0])) > 1
    assert any(not torch.equal(a, b) for (a, _), (b, _) in zip(first, second, strict=True))


@pytest.mark.parametrize("kind", WRAPPERS)
def test_replicas_stay_together_while_they_drop_different_blocks(kind, processes):
    (weights, gates), (others, other_gates) = (results["trained", kind] for results in processes)
    assert all(torch.equal(a, b) for a, b in zip(weights, others, strict=True))
    start = network().state_dict().values()
    assert not any(torch.equal(a, b) for a, b in zip(weights, start, strict=True))
    differ = [(a != b).any() for a, b in zip(gates, other_gates, strict=True)]
    assert sum(differ) > 15


@pytest.mark.parametrize("kind", ["none, sharded", "zero, sharded"])
def test_shards_are_trained_to_the_weights_of_replicas(kind, processes):
    (weights, gates), (replica, others) = (processes[0]["trained", k] for k in (kind, kind[:4]))
    assert all(map(torch.equal, gates, others))
    for ours, theirs in zip(weights, replica, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("case", [*(("language", name) for name in LANGUAGE),
                                  ("again", False), ("again", True)])  # fmt: skip
def test_sharded_decoders_with_gates_of_each_process(case, others):
    (first, said), (second, _) = (results[case] for results in others)
    name = case[1] if case[0] == "language" else CHECKPOINTED
    each_sample = LANGUAGE[name][1].get("per") == "sample"
    apart = 0
    for step, ((gates, measured), (other, _)) in enumerate(zip(first, second, strict=True)):
        apart += int(((gates != 0) != (other != 0)).sum())
        if each_sample:
            expected = under_gates(name, torch.cat([gates, other], dim=1), sequences(step))
        else:
            halves = zip((gates, other), sequences(step).split(2), strict=True)
            expected = mean(*(under_gates(name, own, half) for own, half in halves))
        assert_same(measured, expected, atol=1e-13)
    assert apart > 5
    assert not said


def under_gates(name: str, gates: Tensor, x: Tensor) -> Gradients:
    """Return the gradients of a decoder in one process."""
    model = decoder(name)
    with sd.gating(model, gates):
        loss(model(x)).backward()
    return gradients(model)


def test_gates_that_are_forced_in_one_process_alone(others):
    halves = zip(GIVEN, batch(0).split(HALF), strict=True)
    expected = mean(*(under(own, half, "none") for own, half in halves))
    assert expected["blocks.2.branch.1.weight"] is None
    for results in others:
        assert_same(results["forced"], expected)


def test_a_graph_gives_way_where_each_process_has_gates_of_its_own(others):
    (first, said), (second, _) = (results["compiled"] for results in others)
    for step, ((gates, measured), (other, _)) in enumerate(zip(first, second, strict=True)):
        halves = zip((gates, other), batch(step).split(HALF), strict=True)
        assert_same(measured, mean(*(under(own, half, "none") for own, half in halves)))
    assert any("shared out among processes with gates of their own" in text for text in said)


@pytest.mark.parametrize("name", FOREIGN)
def test_models_of_others_are_sharded_block_by_block(name, others):
    model, x, _ = foreign(name)
    for results in others:
        for step, (gates, measured) in enumerate(results["foreign", name]):
            sd.surgery.handle(model).step = step
            loss(model(x)).backward()
            assert torch.equal(gates, sd.surgery.handle(model).gates)
            assert_same(measured, gradients(model), rtol=1e-5, atol=1e-7)


def test_the_first_fsdp_wraps_gated_blocks(others):
    model, x, _ = foreign("own code")
    expected = [model(x).square().mean().item() for _ in range(4)]
    for results in others:
        assert results["first"] == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("ranks", ["shared", "equal-depth"])
def test_a_forward_of_one_process_alone_is_noticed_and_said(ranks, processes):
    (gates, said), (others, _) = (results["diverged", ranks] for results in processes)
    for a, b in zip(gates, others, strict=True):
        assert a.count_nonzero() == b.count_nonzero()
        assert torch.equal(a, b) or ranks == "equal-depth"
    assert any("has made a training forward that the others have not" in text for text in said)


@pytest.mark.parametrize("name", REFUSALS)
def test_what_would_hang_or_fork_is_refused_in_words(name, processes):
    _, words = REFUSALS[name]
    for results in processes:
        assert words in results[name]


def test_parameters_that_are_partitioned_before_are_refused():
    with pytest.raises(sd.Unsupported, match=r"must be whole, and blocks.1.*Use ZeRO stage 1"):
        applied(partitioned(plain()))


def test_a_model_in_several_threads_is_refused_before():
    with pytest.raises(sd.Unsupported, match=r"model is already wrapped.*\(DataParallel\)"):
        applied(nn.DataParallel(plain()))

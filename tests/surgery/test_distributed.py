"""Two processes that train one model, against one process with the whole batch."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, distributed, nn
from torch.distributed.fsdp import fully_shard
from torch.nn.parallel import DistributedDataParallel

import stochastic_depth as sd

from .processes import in_two_processes

STEPS, HALF = 6, 3
Gradients = dict[str, Tensor | None]

WRAPPERS = {
    "none": {"find_unused_parameters": True},
    "zero": {},
    "zero, static graph": {"static_graph": True},
}
GATES = [("batch", "shared"), ("batch", "independent"), ("sample", "shared"),
         ("sample", "independent")]  # fmt: skip
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
    copied = {n: None if p.grad is None else p.grad.clone() for n, p in model.named_parameters()}
    model.zero_grad()
    return copied


def replicated(setting: tuple[str, str, str], rank: int) -> list[tuple[Tensor, Gradients]]:
    """Return the gates and the gradients of some steps under DistributedDataParallel."""
    kind, per, ranks = setting
    model = network(per, ranks, dropped_grads=kind[:4])
    wrapped = DistributedDataParallel(model, **WRAPPERS[kind])
    done = []
    for step in range(STEPS):
        wrapped(batch(step)[rank * HALF :][:HALF]).square().mean().backward()
        done.append((sd.surgery.handle(model).gates, gradients(model)))
    return done


def trained(kind: str, rank: int) -> tuple[list[Tensor], list[Tensor]]:
    """Return the weights and the gates of a training whose gates differ between processes."""
    model = network(ranks="independent", dropped_grads=kind[:4])
    wrapped = DistributedDataParallel(model, **WRAPPERS[kind])
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.01, weight_decay=0.1)
    gates = []
    for step in range(20):
        optimizer.zero_grad()
        wrapped(batch(step)[rank * HALF :][:HALF]).square().mean().backward()
        optimizer.step()
        gates.append(sd.surgery.handle(model).gates)
    return list(model.state_dict().values()), gates


def sharded(kind: str, rank: int) -> list[Gradients]:
    """Return the gradients of some steps with every block sharded by FSDP."""
    model = network(dropped_grads=kind)
    for block in model.blocks:
        fully_shard(block)
    fully_shard(model)
    done = []
    for step in range(STEPS):
        model(batch(step)[rank * HALF :][:HALF]).square().mean().backward()
        found = gradients(model).items()
        done.append({name: None if g is None else g.full_tensor() for name, g in found})
    return done


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


def shard(model: nn.Module) -> nn.Module:
    fully_shard(model.blocks[1])
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
    "sharded": (
        lambda: shard(network(ranks="independent", dropped_grads="zero")),
        "ranks must be 'shared' for a model sharded by FSDP (blocks.1)",
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


def everything(rank: int) -> dict[Any, Any]:
    distributed.barrier()
    return {
        **{setting: replicated(setting, rank) for setting in SETTINGS},
        **{("trained", kind): trained(kind, rank) for kind in WRAPPERS},
        **{("sharded", kind): sharded(kind, rank) for kind in ("none", "zero")},
        **{name: refused(wrap) for name, (wrap, _) in REFUSALS.items()},
    }


@pytest.fixture(scope="module")
def processes(tmp_path_factory):
    return in_two_processes(everything, tmp_path_factory.mktemp("processes"))


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


def assert_same(measured: Gradients, expected: Gradients) -> None:
    assert measured.keys() == expected.keys()
    for name, gradient in expected.items():
        if gradient is None:
            assert measured[name] is None, name
        else:
            torch.testing.assert_close(measured[name], gradient, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("setting", SETTINGS, ids="-".join)
def test_gradients_are_those_of_one_process_with_the_whole_batch(setting, processes):
    kind, per, ranks = setting
    some_none = False
    for step, ((gates, measured), (other, second)) in enumerate(
        zip(*(results[setting] for results in processes), strict=True)
    ):
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
    assert some_none or kind != "none" or per == "sample"
    assert not (some_none and kind != "none")


def test_gates_of_a_process_come_from_its_own_stream(processes):
    for rank, results in enumerate(processes):
        for step, (gates, _) in enumerate(results["none", "batch", "independent"]):
            law = sd.gates.Bernoulli([0.6] * 6, rescale="train")
            assert torch.equal(gates, law.sample(generator=sd.gates.stream(3, step, rank)))


@pytest.mark.parametrize("kind", WRAPPERS)
def test_replicas_stay_together_while_they_drop_different_blocks(kind, processes):
    (weights, gates), (others, other_gates) = (results["trained", kind] for results in processes)
    assert all(torch.equal(a, b) for a, b in zip(weights, others, strict=True))
    start = network().state_dict().values()
    assert not any(torch.equal(a, b) for a, b in zip(weights, start, strict=True))
    differ = [(a != b).any() for a, b in zip(gates, other_gates, strict=True)]
    assert sum(differ) > 15


@pytest.mark.parametrize("kind", ["none", "zero"])
def test_sharded_blocks_under_shared_gates(kind, processes):
    for results in processes:
        for step, measured in enumerate(results["sharded", kind]):
            law = sd.gates.Bernoulli([0.6] * 6, rescale="train")
            gates = law.sample(generator=sd.gates.stream(3, step))
            assert_same(measured, under(gates, batch(step), kind))


@pytest.mark.parametrize("name", REFUSALS)
def test_what_would_hang_or_fork_is_refused_in_words(name, processes):
    _, words = REFUSALS[name]
    for results in processes:
        assert words in results[name]


def test_a_model_in_several_threads_is_refused_before():
    with pytest.raises(sd.Unsupported, match=r"model is already wrapped.*\(DataParallel\)"):
        applied(nn.DataParallel(plain()))

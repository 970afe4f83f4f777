"""Measure one model: what is found in it, and whether skipping equals its own masking."""

import copy
import time
from collections import Counter, defaultdict
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import Any

import torch
from census_models import RATE, Model
from stochastic_depth.surgery.finding import Anatomy
from stochastic_depth.surgery.translation import is_mask, masks
from torch import Tensor, nn

import stochastic_depth as sd

ROWS = 3

Places = dict[str, list[int | None]]
"""The gate of every call of every module that stands for a mask."""

# What a block of a library without masks computes last before its sum: where a mask
# would have to stand, read from the source of the library. One entry per branch.
LAST = {
    "BasicBlock": ("bn2",),
    "Bottleneck": ("bn3",),
    "ResBottleneckBlock": ("f",),
    "InvertedResidual": ("conv", "block"),
    "_InvertedResidual": ("layers",),
    "EncoderBlock": ("dropout", "mlp"),
    "BertLayer": ("attention.output.dropout", "output.dropout"),
    "RobertaLayer": ("attention.output.dropout", "output.dropout"),
    "GPT2Block": ("attn", "mlp"),
    "LlamaDecoderLayer": ("self_attn", "mlp"),
    "ViTLayer": ("attention", "mlp"),
    "Wav2Vec2EncoderLayer": ("attention", "feed_forward"),
    "GhostBottleneck": ("ghost2",),
    "RepGhostBottleneck": ("ghost2",),
    "SEResNetBlock": ("se_module",),
    "DlaBottleneck": ("bn3",),
    "Residual": ("fn",),
    "ResidualDrop": ("m",),
    "ResidualBlock": ("main",),
    "Block35": ("conv2d",),
    "Block17": ("conv2d",),
    "Block8": ("conv2d",),
}


def measure(model: Model) -> dict[str, Any]:
    """Return what the census says about one model."""
    started = time.perf_counter()
    torch.manual_seed(0)
    net, takes_rate = _built(model)
    randomise(net.double().eval())
    x = _input(net, model)
    built = time.perf_counter()
    anatomy = Anatomy.of(net, "branch", "drop", x)
    found = time.perf_counter()
    record = {
        "library": model.library,
        "family": model.family,
        "model": model.name,
        "takes_rate": takes_rate,
        "input": list(x.shape[1:]),
        **_describe(net, anatomy, x),
    }
    if any(block.droppable for block in anatomy.blocks):
        record |= _compare(net, x)
    record["seconds"] = {
        "build": round(built - started, 2),
        "find": round(found - built, 2),
        "compare": round(time.perf_counter() - found, 2),
    }
    return record


def _built(model: Model) -> tuple[nn.Module, bool]:
    """Build with a drop rate where one is taken; some accept one and mask nothing."""
    try:
        net = model.build(RATE)
    except TypeError:
        return model.build(0.0), False
    return net, any(map(is_mask, net.modules()))


def randomise(net: nn.Module) -> None:
    """Make random what is as good as zero, and statistics that nothing has filled."""
    noise = torch.Generator().manual_seed(0)
    for weight in net.parameters():
        if weight.is_floating_point() and weight.numel() and weight.abs().max() < 0.01:
            weight.data += 0.2 * torch.randn(weight.shape, generator=noise, dtype=weight.dtype)
    for module in net.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm) and module.running_var is not None:
            module.running_var.uniform_(0.8, 1.2, generator=noise)
            module.running_mean.uniform_(-0.2, 0.2, generator=noise)


def _input(net: nn.Module, model: Model) -> Tensor:
    tried = []
    for build in model.inputs:
        x = build(ROWS)
        try:
            with torch.no_grad():
                net(x)
        except Exception as error:
            tried.append(f"{tuple(x.shape)}: {error}")
        else:
            return x
    raise ValueError("; ".join(tried))


def _describe(net: nn.Module, anatomy: Anatomy, x: Tensor) -> dict[str, Any]:
    """Say what was found beside the masks that the library made."""
    made = {path for path, module in net.named_modules() if is_mask(module)}
    called = _called(net, x)
    at_sites = {
        f"{unit.path}.{site}" if unit.path else site
        for unit in anatomy.survey.units
        for branch in unit.branches
        for site in branch.sites
    }
    refused = Counter(
        (unit.kind, unit.obstacle) for unit in anatomy.survey.units if unit.translation is None
    )
    branches = [branch for unit in anatomy.survey.units for branch in unit.branches]
    return {
        "masks": len(made),
        "masks_called": len(made & called),
        "masks_at_gates": len(made & at_sites),
        "blocks": len(anatomy.survey.units),
        "branches": len(branches),
        "projections": sum(branch.kind == "projection" for branch in branches),
        "cost_share": None if anatomy.share is None else round(anatomy.share, 3),
        "refused": [
            {"class": kind, "reason": why, "blocks": n} for (kind, why), n in refused.items()
        ],
    }


def _called(net: nn.Module, x: Tensor) -> set[str]:
    called: set[str] = set()
    with ExitStack() as stack, torch.no_grad():
        for path, module in net.named_modules():
            if is_mask(module):
                note = partial(lambda path, *_: called.add(path), path)
                stack.callback(module.register_forward_pre_hook(note).remove)
        net(x)
    return called


def _compare(net: nn.Module, x: Tensor) -> dict[str, Any]:
    """Force equal gates on the library's masks and on ours."""
    theirs = copy.deepcopy(net)
    for path, name, _ in list(masks(theirs)):
        setattr(theirs.get_submodule(path), name, 0.0)
    handle = sd.apply(
        net, sd.schedules.uniform(0.5), granularity="branch", transitions="drop", example=x
    )
    places = _places(net, handle)
    if places is None:
        return {"reference": None}
    noise = torch.Generator().manual_seed(1)
    coins = torch.rand(len(handle.blocks), ROWS, generator=noise) < 0.5
    fixed = torch.tensor([not block.droppable for block in handle.blocks])
    per_sample = (2.0 * coins.double()).masked_fill(fixed[:, None], 1.0)
    outputs, gradients = _difference(theirs, net, places, per_sample[:, 0], x)
    with torch.no_grad():
        plain = _tensor(theirs(x))
        with sd.gating(net, per_sample[:, 0]):
            moved = float((_tensor(net(x)) - plain).abs().max() / plain.abs().max().clamp(min=1.0))
    record = {
        "reference": "the masks of the library" if _has_sites(net) else "the last layer times gate",
        "live_gates": f"{int((per_sample[:, 0] != 0).sum())} of {len(per_sample)}",
        "effect": moved,  # of the gates on the outputs: not nothing is compared with nothing
        "difference_per_batch": outputs,
        "difference_gradients": gradients,
    }
    try:
        record["difference_per_sample"] = _difference(theirs, net, places, per_sample, x)[0]
    except sd.Unsupported as error:
        record["difference_per_sample"] = None
        record["per_sample"] = str(error)
    return record


def _has_sites(net: nn.Module) -> bool:
    return any(branch.sites for branch in _branches(net))


def _branches(net: nn.Module) -> list[Any]:
    governed = sd.surgery.handle(net)._controller.anatomy.governed
    return [branches[0] if branches else None for _, branches in governed if branches]


def _places(net: nn.Module, handle: sd.surgery.Handle) -> Places | None:
    """Return the gate of every call of every module that stands for a mask."""
    places: Places = defaultdict(list)
    used: Counter[str] = Counter()
    governed = handle._controller.anatomy.governed
    for index, (unit, branches) in enumerate(governed):
        for branch in branches:
            block = net.get_submodule(unit.path)
            names = branch.sites[:1] or _last(unit.kind, block, used[unit.path])
            if not names:
                return None
            used[unit.path] += 1
            # A mask within a branch that is masked as a whole is not masked again.
            inner = [None] * (len(branch.sites) - 1)
            places[f"{unit.path}.{names[0]}" if unit.path else names[0]] += [*inner, index]
    return dict(places)


def _last(kind: str, block: nn.Module, branch: int) -> tuple[str, ...]:
    names = LAST.get(kind, ())
    present = [name for name in names if _has(block, name)]
    return tuple(present[branch : branch + 1])


def _has(block: nn.Module, name: str) -> bool:
    try:
        block.get_submodule(name)
    except AttributeError:
        return False
    return True


def _difference(
    theirs: nn.Module, ours: nn.Module, places: Places, gates: Tensor, x: Tensor
) -> tuple[float, float]:
    """Return the largest differences of outputs and, relative to the largest, of gradients."""
    with sd.gating(ours, gates):
        actual = _tensor(ours(x))
        _backward(ours, actual)
    with _masked(theirs, places, gates):
        expected = _tensor(theirs(x))
        _backward(theirs, expected)
    pairs = zip(theirs.parameters(), ours.parameters(), strict=True)
    off = [_gradient(p) - _gradient(q) for p, q in pairs]
    largest = max(float(_gradient(p).abs().max()) for p in theirs.parameters() if p.numel())
    gradients = max(float(d.abs().max()) for d in off if d.numel()) / max(largest, 1e-300)
    scale = max(1.0, float(expected.detach().abs().max()))
    return float((actual - expected).detach().abs().max()) / scale, gradients


def _backward(net: nn.Module, output: Tensor) -> None:
    net.zero_grad()
    output.square().mean().backward()


def _gradient(parameter: nn.Parameter) -> Tensor:
    return torch.zeros_like(parameter) if parameter.grad is None else parameter.grad


@contextmanager
def _masked(net: nn.Module, places: Places, gates: Tensor) -> Iterator[None]:
    """Have the modules at `places` multiply by their gates, as masks do."""
    with ExitStack() as stack:
        for path, indices in places.items():
            calls = iter(indices)

            def multiply(_: nn.Module, __: Any, output: Any, calls: Any = calls) -> Any:
                index = next(calls, None)
                return output if index is None else _times(gates[index], output)

            owner, _, name = path.rpartition(".")
            parent = net.get_submodule(owner)
            if getattr(parent, name) is None:  # timm's ResNets, built without a rate
                setattr(parent, name, nn.Identity())
            stack.callback(getattr(parent, name).register_forward_hook(multiply).remove)
        yield


def _times(gate: Tensor, output: Any) -> Any:
    if isinstance(output, tuple):
        return (_times(gate, output[0]), *output[1:])
    return output * (gate if gate.ndim == 0 else gate.view(-1, *[1] * (output.ndim - 1)))


def _tensor(output: Any) -> Tensor:
    if isinstance(output, Tensor):
        return output
    if isinstance(output, dict) or hasattr(output, "logits"):
        return output["logits"]
    return _tensor(output[0])

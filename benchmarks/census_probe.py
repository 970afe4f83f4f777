"""Measure one model: what is found in it, and whether skipping equals its own masking."""

import copy
import time
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import Any

import numpy
import torch
from census_families import ROWS
from census_models import RATE, Model
from torch import Tensor, nn
from torch.utils import _pytree as pytree

import stochastic_depth as sd
from stochastic_depth.surgery.following import Anatomy, Branch, Unit, is_mask, masks

Places = dict[str, list[tuple[int, int] | None]]
"""Of every call of every module that stands for a mask: its gate, and which of its tensors."""

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
    anatomy = Anatomy.of(net, "branch", "drop", x, samples=True)
    found = time.perf_counter()
    record = {
        "library": model.library,
        "family": model.family,
        "model": model.name,
        "takes_rate": takes_rate,
        "input": _shapes(x),
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


def _input(net: nn.Module, model: Model) -> dict[str, Any]:
    """Return arguments that a model takes, by keyword."""
    tried = []
    for given in model.inputs(net):
        try:
            with torch.no_grad():
                net(**given)
        except Exception as error:
            tried.append(f"{_shapes(given)}: {error}")
        else:
            return given
    raise ValueError("; ".join(tried))


def _shapes(given: dict[str, Any]) -> dict[str, list[int]]:
    return {name: list(x.shape[1:]) for name, x in given.items()}


def _describe(net: nn.Module, anatomy: Anatomy, x: dict[str, Any]) -> dict[str, Any]:
    """Say what was found beside the masks that the library made."""
    made = {path for path, module in net.named_modules() if is_mask(module)}
    called = _called(net, x)
    at_sites = {
        f"{unit.path}.{site}" if unit.path else site
        for unit in anatomy.survey.units
        for branch in unit.branches
        for site in branch.sites
    }
    blocks = anatomy.blocks
    refused = Counter((block.kind, block.reason) for block in blocks if block.reason)
    masked = Counter((block.kind, block.masked) for block in blocks if block.masked)
    branches = [branch for unit in anatomy.survey.units for branch in unit.branches]
    return {
        "masks": len(made),
        "masks_called": len(made & called),
        "masks_at_gates": len(made & at_sites),
        "blocks": len(anatomy.survey.units),
        "branches": len(branches),
        "projections": sum(branch.kind == "projection" for branch in branches),
        "cost_share": None if anatomy.share is None else round(anatomy.share, 3),
        "refused": _listed(refused),
        "masked": _listed(masked),
        "named": _listed(Counter((other.kind, other.reason) for other in anatomy.survey.others)),
    }


def _listed(counts: Counter[tuple[str, str]]) -> list[dict[str, Any]]:
    return [{"class": kind, "reason": why, "blocks": n} for (kind, why), n in counts.items()]


def _called(net: nn.Module, x: dict[str, Any]) -> set[str]:
    called: set[str] = set()
    with ExitStack() as stack, torch.no_grad():
        for path, module in net.named_modules():
            if is_mask(module):
                note = partial(lambda path, *_: called.add(path), path)
                stack.callback(module.register_forward_pre_hook(note).remove)
        net(**x)
    return called


def _compare(net: nn.Module, x: dict[str, Any]) -> dict[str, Any]:
    """Force equal gates on the library's masks and on ours."""
    theirs = copy.deepcopy(net)
    for path, name, _ in list(masks(theirs)):
        setattr(theirs.get_submodule(path), name, 0.0)
    law = sd.schedules.uniform(0.5)
    handle = sd.apply(net, law, granularity="branch", transitions="drop", example=x)
    reference, places = _places(net, handle)
    noise = torch.Generator().manual_seed(1)
    coins = torch.rand(len(handle.blocks), ROWS, generator=noise) < 0.5
    # A block whose branch leaves in no child has no other way of masking it to compare with.
    compared = {entry[0] for calls in places.values() for entry in calls if entry is not None}
    fixed = torch.tensor(
        [not block.droppable or n not in compared for n, block in enumerate(handle.blocks)]
    )
    if fixed.all():
        return {"reference": "", "compared_gates": 0}
    per_sample = (2.0 * coins.double()).masked_fill(fixed[:, None], 1.0)
    gates = per_sample[:, 0]
    outputs, gradients = _difference(theirs, net, places, gates, x)
    record = {
        "reference": reference,
        "compared_gates": int((~fixed).sum()),
        "live_gates": f"{int((gates != 0).sum())} of {len(gates)}",
        "effect": _effect(theirs, net, gates, x),
        "difference_per_batch": outputs,
        "difference_gradients": gradients,
    }
    try:
        record["difference_per_sample"] = _difference(theirs, net, places, per_sample, x)[0]
    except sd.Unsupported as error:
        record |= {"difference_per_sample": None, "per_sample": str(error)}
    with seeded_dropout(), _training(theirs), _training(net):
        trained = _difference(theirs, net, places, gates, x)
    record["difference_training"], record["difference_training_gradients"] = trained
    return record


def _effect(theirs: nn.Module, ours: nn.Module, gates: Tensor, x: dict[str, Any]) -> float:
    """Return how much the gates change the outputs: not nothing is compared with nothing."""
    with torch.no_grad():
        plain = _tensor(theirs(**x))
        with sd.gating(ours, gates):
            moved = _tensor(ours(**x)) - plain
    return float(moved.abs().max() / plain.abs().max().clamp(min=1.0))


@contextmanager
def _training(net: nn.Module) -> Iterator[None]:
    net.train()
    try:
        yield
    finally:
        net.eval()


@contextmanager
def seeded_dropout() -> Iterator[None]:
    """Have every dropout draw the same mask for the same shape, whatever was drawn before."""
    functions = nn.functional
    plain, attention = functions.dropout, functions.scaled_dot_product_attention

    def seeded(function: Any) -> Any:
        def call(*args: Any, **kwargs: Any) -> Any:
            torch.manual_seed(0)
            return function(*args, **kwargs)

        return call

    functions.dropout = seeded(plain)
    functions.scaled_dot_product_attention = seeded(attention)
    try:
        yield
    finally:
        functions.dropout, functions.scaled_dot_product_attention = plain, attention


def _places(net: nn.Module, handle: sd.surgery.Handle) -> tuple[str, Places]:
    """Return what stands for masks, and the gate of every call of every such module."""
    found: dict[str, dict[int, tuple[int, int]]] = defaultdict(dict)
    kinds: Counter[str] = Counter()
    used: Counter[str] = Counter()
    for index, (unit, use, branches) in enumerate(handle._controller.anatomy.governed):
        for branch in branches:
            if branch.obstacle or unit.obstacle:
                continue
            kind, calls = _mask_of(net, unit, use, branch, used)
            kinds[kind] += 1
            for path, nth, leaf in calls:
                found[path][nth] = (index, leaf)
    places: Places = {
        path: [calls.get(nth) for nth in range(max(calls) + 1)] for path, calls in found.items()
    }
    return ", ".join(sorted(kinds)), places


def _mask_of(
    net: nn.Module, unit: Unit, use: int, branch: Branch, used: Counter[str]
) -> tuple[str, list[tuple[str, int, int]]]:
    """Return where a branch is to be multiplied: module, number of its call, and tensor."""
    inside = f"{unit.path}." if unit.path else ""
    if unit.form == "branch":
        return "what the parent adds", [(unit.path, use, unit.leaf)]
    if branch.sites:
        path = f"{inside}{branch.sites[0]}"
        used[path] += 1
        exits = [e for e in branch.exits if e.path == branch.sites[0]]
        if exits and unit.uses == 1:
            return "the masks of the library", [(path, e.nth, e.leaf) for e in exits]
        # A mask within a branch that is masked as a whole is not masked again.
        return "the masks of the library", [(path, used[path] - 1 + len(branch.sites) - 1, 0)]
    names = _last(unit.kind, net.get_submodule(unit.path), unit.branches.index(branch))
    if names:
        path = f"{inside}{names[0]}"
        used[path] += 1
        return "the last layer times gate", [(path, used[path] - 1, 0)]
    each = Counter(path for other in unit.branches for path, _ in other.roles)
    calls = [(inside + e.path, e.nth + use * each[e.path], e.leaf) for e in branch.exits]
    return "where the branch was found to leave", calls


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
    theirs: nn.Module, ours: nn.Module, places: Places, gates: Tensor, x: dict[str, Any]
) -> tuple[float, float]:
    """Return the largest differences of outputs and, relative to the largest, of gradients."""
    before = [buffer.clone() for buffer in ours.buffers()]
    _seed()
    with sd.gating(ours, gates):
        actual = _tensor(ours(**x))
        _backward(ours, actual)
    _seed()
    with _masked(theirs, places, gates):
        expected = _tensor(theirs(**x))
        _backward(theirs, expected)
    for net in (theirs, ours):  # statistics that a training step has moved
        for buffer, value in zip(net.buffers(), before, strict=True):
            buffer.data.copy_(value)
    pairs = zip(theirs.parameters(), ours.parameters(), strict=True)
    off = [_gradient(p) - _gradient(q) for p, q in pairs]
    largest = max(float(_gradient(p).abs().max()) for p in theirs.parameters() if p.numel())
    gradients = max(float(d.abs().max()) for d in off if d.numel()) / max(largest, 1e-300)
    scale = max(1.0, float(expected.detach().abs().max()))
    return float((actual - expected).detach().abs().max()) / scale, gradients


def _seed() -> None:
    """Have both draw alike what is drawn before the blocks: speech is masked by numpy."""
    torch.manual_seed(0)
    numpy.random.seed(0)  # the generator that transformers draws from


def _backward(net: nn.Module, output: Tensor) -> None:
    net.zero_grad()
    output.square().mean().backward()


def _gradient(parameter: nn.Parameter) -> Tensor:
    return torch.zeros_like(parameter) if parameter.grad is None else parameter.grad


@contextmanager
def _masked(net: nn.Module, places: Places, gates: Tensor) -> Iterator[None]:
    """Have the modules at `places` multiply by their gates, as masks do."""
    with ExitStack() as stack:
        for path, entries in places.items():
            calls = iter(entries)

            def multiply(_: nn.Module, __: Any, output: Any, calls: Any = calls) -> Any:
                entry = next(calls, None)
                return output if entry is None else _times(gates[entry[0]], output, entry[1])

            owner, _, name = path.rpartition(".")
            parent = net.get_submodule(owner)
            if getattr(parent, name) is None:  # timm's ResNets, built without a rate
                setattr(parent, name, nn.Identity())
            stack.callback(getattr(parent, name).register_forward_hook(multiply).remove)
        yield


def _times(gate: Tensor, output: Any, leaf: int) -> Any:
    leaves, form = pytree.tree_flatten(output)
    tensors = [position for position, value in enumerate(leaves) if isinstance(value, Tensor)]
    y = leaves[tensors[leaf]]
    # Without the factor's gradient nothing is lost: gates are constants here.
    leaves[tensors[leaf]] = y * (gate if gate.ndim == 0 else gate.view(-1, *[1] * (y.ndim - 1)))
    return pytree.tree_unflatten(leaves, form)


def _tensor(output: Any) -> Tensor:
    """Return the first floating output of a model."""
    if isinstance(output, Tensor):
        return output
    leaves = [output["logits"]] if "logits" in output else pytree.tree_leaves(_plain(output))
    floating = [x for x in leaves if isinstance(x, Tensor) and x.is_floating_point()]
    return next((x for x in floating if x.requires_grad), floating[0])


def _plain(output: Any) -> Any:
    return dict(output) if isinstance(output, Mapping) else output

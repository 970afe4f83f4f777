"""The calls of the API that `hostile.py` makes, and the values that it makes them with."""

import itertools
import signal
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

import stochastic_depth as sd
from stochastic_depth.surgery import handle

Maker = Callable[[], Any]


class Unprintable:
    """Nothing can be said of it."""

    def __repr__(self) -> str:
        raise RuntimeError("no words")


class Unfloatable:
    """Looks like a number until it is asked."""

    def __float__(self) -> float:
        raise RuntimeError("no number")


# Label: how it is made, and the kinds of argument for which it has a meaning.
VALUES: dict[str, tuple[Maker, str]] = {
    "None": (lambda: None, "optional"),
    "True": (lambda: True, "flag"),
    "False": (lambda: False, "flag"),
    "text": (lambda: "0.5", "text"),
    "empty text": (lambda: "", "text"),
    "bytes": (lambda: b"1", ""),
    "bytearray": (lambda: bytearray(b"\x01\x01\x01"), ""),
    "complex": (lambda: 1j, ""),
    "nan": (lambda: float("nan"), ""),
    "inf": (lambda: float("inf"), ""),
    "-inf": (lambda: float("-inf"), ""),
    "-1": (lambda: -1, "number"),
    "-0.5": (lambda: -0.5, "number"),
    "0": (lambda: 0, "probability number natural"),
    "1": (lambda: 1, "probability number natural count positive budget beta"),
    "2": (lambda: 2, "number natural count positive"),
    "half": (lambda: 0.5, "probability number positive budget open"),
    "1e308": (lambda: 1e308, "number positive"),
    "5e-324": (lambda: 5e-324, "probability number positive budget open"),
    "Fraction": (lambda: Fraction(1, 2), "probability number positive budget open"),
    "Decimal": (lambda: Decimal("0.5"), ""),
    "2^53": (lambda: 2**53, "number positive seed beta"),
    "2^63": (lambda: 2**63, "number positive"),
    "10^30": (lambda: 10**30, "number positive"),
    "-10^30": (lambda: -(10**30), "number"),
    "10^400": (lambda: 10**400, ""),
    "10^5000": (lambda: 10**5000, ""),
    "-10^5000": (lambda: -(10**5000), ""),
    "empty list": (lambda: [], "empty"),
    "empty tuple": (lambda: (), "empty"),
    "empty dict": (lambda: {}, ""),
    "empty set": (set, ""),
    "set": (lambda: {0.5, 0.25, 0.75}, ""),
    "frozenset": (lambda: frozenset({0.5, 0.25, 0.75}), ""),
    "dict": (lambda: {0.5: 1, 0.25: 2, 0.75: 3}, ""),
    "list of None": (lambda: [None] * 3, ""),
    "list of text": (lambda: ["0.5"] * 3, ""),
    "list of bool": (lambda: [True, False, True], "mask"),
    "list of 10^400": (lambda: [10**400] * 3, ""),
    "list of 10^5000": (lambda: [10**5000] * 3, ""),
    "list of complex": (lambda: [1j] * 3, ""),
    "list of nan": (lambda: [float("nan")] * 3, ""),
    "list of inf": (lambda: [float("inf")] * 3, ""),
    "list of lists": (lambda: [[0.5], [0.5], [0.5]], ""),
    "list of halves": (lambda: [0.5, 0.5, 0.5], "vector"),
    "list too short": (lambda: [0.5], "anylength"),
    "negative list": (lambda: [-0.5, 0.5, 0.5], "gates"),
    "ragged list": (lambda: [0.5, [0.5], 0.5], ""),
    "generator": (lambda: (0.5 for _ in range(3)), "vector"),
    "without end": (lambda: itertools.repeat(0.5), ""),
    "range": (lambda: range(3), "gates"),
    "object": (object, ""),
    "type": (lambda: int, ""),
    "function of nothing": (lambda: lambda: None, ""),
    "function to text": (lambda: lambda *_: "text", ""),
    "function that fails": (lambda: {}.__getitem__, ""),
    "unprintable": (Unprintable, ""),
    "unfloatable": (Unfloatable, ""),
    "path": (lambda: Path("/"), ""),
    "module class": (lambda: nn.Linear, ""),
    "module": (lambda: nn.Linear(2, 2), "model"),
    "tensor 0-d": (lambda: torch.tensor(0.5), "probability number positive budget open"),
    "tensor 0-d int": (lambda: torch.tensor(1), "probability number positive budget natural count"),
    "tensor 0-d bool": (lambda: torch.tensor(True), ""),
    "tensor 0-d complex": (lambda: torch.tensor(0.5 + 1j), ""),
    "tensor 0-d meta": (lambda: torch.tensor(0.5, device="meta"), ""),
    "tensor of one": (lambda: torch.tensor([0.5]), "anylength"),
    "tensor int of one": (lambda: torch.tensor([1]), "anylength"),
    "tensor": (lambda: torch.full((3,), 0.5), "vector tensor"),
    "tensor half": (lambda: torch.full((3,), 0.5, dtype=torch.float16), "vector tensor"),
    "tensor int": (lambda: torch.tensor([1, 0, 1]), "vector gates tensor"),
    "tensor bool": (lambda: torch.tensor([True, False, True]), "mask"),
    "tensor empty": (lambda: torch.zeros(0), ""),
    "tensor 2-d": (lambda: torch.full((3, 3), 0.5), ""),
    "tensor nan": (lambda: torch.full((3,), torch.nan), ""),
    "tensor complex": (lambda: torch.full((3,), 0.5 + 1j), ""),
    "tensor meta": (lambda: torch.full((3,), 0.5, device="meta"), ""),
    "tensor sparse": (lambda: torch.full((3,), 0.5).to_sparse(), ""),
    "tensor on a graph": (lambda: torch.full((3,), 0.5, requires_grad=True), "vector tensor"),
    "array 0-d": (lambda: np.array(0.5), "probability number positive budget open"),
    "array": (lambda: np.full(3, 0.5), "vector"),
    "array of one": (lambda: np.array([0.5]), "anylength"),
    "array bool": (lambda: np.array([True, False, True]), "mask"),
    "array complex": (lambda: np.full(3, 0.5 + 1j), ""),
    "array text": (lambda: np.array(["0.5"] * 3), ""),
    "array object": (lambda: np.array([None] * 3, dtype=object), ""),
    "array 2-d": (lambda: np.full((3, 3), 0.5), ""),
    "numpy bool": (lambda: np.bool_(True), ""),
    "numpy text": (lambda: np.str_("0.5"), "text"),
    "numpy complex": (lambda: np.complex128(0.5 + 1j), ""),
    "numpy float32": (lambda: np.float32(0.5), "probability number positive budget open"),
    "numpy int": (lambda: np.int64(1), "probability number positive budget natural count"),
}

# What a kind of argument takes beside the values that name it.
WIDER = {
    "beta": {"number", "positive"},
    "gates": {"vector"},
    "survival": {"vector", "anylength", "probability"},
    "nonempty": {"vector", "anylength"},
    "seed": {"natural"},
    "tensor": set(),
}


@dataclass(frozen=True)
class Call:
    """A function, a maker of its good arguments, and the kind of each."""

    function: Callable[..., Any]
    arguments: dict[str, tuple[Maker, str]]


def _given(value: Any) -> Maker:
    return lambda: value


def _vanilla() -> nn.Module:
    torch.manual_seed(0)
    return sd.models.VanillaResNet(depth=3, width=4, inputs=2, outputs=1).eval()


def _applied(**arguments: Any) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return sd.apply(**arguments)


def _run_gating(model: Any, gates: Any) -> None:
    with sd.gating(model, gates):
        model(torch.ones(2, 2))


def _set(name: str) -> Callable[[Any], None]:
    def set_on_handle(value: Any) -> None:
        setattr(sd.apply(_vanilla(), sd.schedules.uniform(0.5), seed=0), name, value)

    return set_on_handle


@cache
def calls() -> dict[str, Call]:
    """Return the calls that are tried, by name."""
    half = (_given(0.5), "probability")
    vector = (_given([0.5, 0.4, 0.3]), "nonempty")
    budget = (_given(0.5), "budget")
    costs = (_given(None), "optional gates")
    mask = (_given(None), "optional mask")
    model = (_vanilla, "model")
    seed = (_given(0), "seed")
    generator = (lambda: sd.gates.stream(0, 0), "generator")
    law = (lambda: sd.gates.Bernoulli([0.5, 0.4, 0.3]), "law")
    mse = (_given(nn.functional.mse_loss), "function")
    x, y = (lambda: torch.ones(2, 2), "data"), (lambda: torch.ones(2, 1), "fixed")
    rescale = (_given("train"), "choice")
    theory = {"f": (_vanilla, "network"), "x": x}
    cifar = {"depth": (_given(8), "depth"), "num_classes": (_given(2), "count")}
    cifar |= {"width": (_given(2), "count"), "in_channels": (_given(3), "count")}
    names: dict[str, Call] = {}

    def add(name: str, function: Callable[..., Any], **arguments: tuple[Maker, str]) -> None:
        names[name] = Call(function, arguments)

    ask = lambda make: lambda num_blocks=3, **a: make(**a)(num_blocks)  # noqa: E731
    blocks = {"num_blocks": (_given(3), "count")}
    add("uniform", ask(sd.schedules.uniform), p=half, **blocks)
    add("linear", ask(sd.schedules.linear), last=half, rule=(_given("huang"), "choice"), **blocks)
    exponent = (_given(2.0), "positive")
    add("power", ask(sd.schedules.power), last=half, exponent=exponent, **blocks)
    add("cosine", ask(sd.schedules.cosine), last=half, **blocks)
    add("fixed", sd.schedules.fixed, probabilities=vector)
    stages = (_given([1, 2]), "counts")
    add(
        "stagewise",
        ask(sd.schedules.stagewise),
        schedule=(lambda: sd.schedules.uniform(0.5), "schedule"),
        blocks_per_stage=stages,
    )
    move = lambda make: lambda progress=0.3, **a: make(**a)(progress)  # noqa: E731
    when = {"progress": half}
    p = (_given(0.5), "survival")
    add("constant", move(sd.curricula.constant), p=p, **when)
    for name, extra in {"warmup": "until", "early": "until", "late": "start"}.items():
        add(name, move(getattr(sd.curricula, name)), p=p, **{extra: budget}, **when)
    sharp = (_given(5.0), "positive")
    add("progressive", move(sd.curricula.progressive), p=p, sharpness=sharp, **when)
    points = (_given([(0.0, 0.0), (1.0, 1.0)]), "points")
    add("piecewise", move(sd.curricula.piecewise), p=p, points=points, **when)
    piece = (lambda: (1.0, sd.curricula.constant(0.5)), "piece")
    add("sequential", lambda piece: sd.curricula.sequential(piece)(0.5), piece=piece)
    for name in ("expected_depth", "depth_variance", "depth_distribution"):
        add(name, getattr(sd.budgets, name), p=vector)
    add("depth_interval", sd.budgets.depth_interval, p=vector, beta=(_given(0.1), "open"))
    add("active_share", sd.budgets.active_share, p=vector, costs=costs)
    family = (_given(sd.schedules.uniform), "family")
    add("fit", sd.budgets.fit, family=family, budget=budget, costs=costs, protected=mask, **blocks)
    spent = {"budget": budget, "costs": costs, "protected": mask}
    add("project", sd.budgets.project, p=vector, **spent)
    sensitive = {"sensitivities": (_given([0.5, -0.4, 0.3]), "gates nonempty")}
    add("sense", sd.budgets.sense, **sensitive, minimum=(_given(0.0), "probability"), **spent)
    add("max_regularization", sd.budgets.max_regularization, g=vector, budget=budget)
    add("Bernoulli", sd.gates.Bernoulli, survival=vector, rescale=rescale)
    add("FixedDepth", sd.gates.FixedDepth, survival=vector, rescale=rescale)
    add("Deterministic", sd.gates.Deterministic, gates=(_given([1.0, 0.0]), "gates nonempty"))
    size = (_given(4), "optional natural")
    step = (_given(0), "seed")
    purpose = (_given(""), "text")
    add("stream", sd.gates.stream, seed=seed, step=step, rank=(_given(None), "optional seed"))
    add("stream purpose", lambda purpose: sd.gates.stream(0, 0, purpose=purpose), purpose=purpose)
    per = (_given("batch"), "choice")
    add("draw", sd.gates.draw, law=law, per=per, batch_size=size, generator=generator)
    sample = lambda law, **a: law.sample(**a)  # noqa: E731
    add("sample", sample, law=(law[0], "fixed"), batch_size=size, generator=generator)
    subset = lambda batch_size, generator: law[0]().sample_subset(batch_size, generator=generator)  # noqa: E731
    add("sample_subset", subset, batch_size=(_given(4), "natural"), generator=generator)
    surgery = {
        "granularity": (_given("block"), "choice"),
        "transitions": (_given("protect"), "choice"),
        "example": (lambda: torch.ones(2, 2), "optional data"),
    }
    asked = {"survival": (lambda: sd.schedules.uniform(0.5), "survival schedule")}
    add("find_blocks", sd.find_blocks, model=model, **surgery)
    add("plan", sd.plan, model=model, **asked, budget=(_given(None), "optional"), **surgery)
    add(
        "apply",
        _applied,
        model=model,
        **asked,
        per=per,
        rescale=rescale,
        scale=(_given("block"), "choice"),
        dropped_grads=(_given("none"), "choice"),
        ranks=(_given("shared"), "optional choice"),
        seed=(_given(0), "optional seed"),
        execution=(_given("auto"), "choice"),
        **surgery,
    )
    budgeted = {"survival": (_given(sd.schedules.uniform), "optional family"), "budget": budget}
    add("apply budget", _applied, model=model, **budgeted)
    add("extract", sd.extract, model=model, gates=(lambda: torch.ones(3), "gates"))
    add("gating", _run_gating, model=model, gates=(lambda: torch.ones(3), "tensor"))
    add("gated", sd.gated, model=model)
    add("handle", handle, model=(lambda: sd.apply(_vanilla(), [0.5] * 3).model, "model"))
    for name, kind in {"survival": "vector probability", "seed": "seed", "step": "seed"}.items():
        add(f"handle.{name}", _set(name), value=(_given(1), kind))
    add("handle.law", _set("law"), value=(lambda: sd.gates.Bernoulli([0.5] * 3), "law"))
    add("mask", sd.stochastic_depth, x=(x[0], "fixed"), p=half, mode=(_given("batch"), "choice"))
    add("StochasticDepth", sd.StochasticDepth, p=half, mode=(_given("batch"), "choice"))
    add("DropPath", sd.DropPath, drop_prob=half, scale_by_keep=(_given(True), "flag"))
    at = {"at": (_given(None), "optional gates")}
    add("sensitivities", sd.theory.sensitivities, **theory, **at, y=y, loss=mse)
    add("discrepancies", sd.theory.discrepancies, **theory, **at)
    add("regularizer", sd.theory.regularizer, **theory, **at, y=y, loss=mse)
    estimate = {"law": law, "method": (_given("exact"), "choice")}
    add("expected_loss", sd.theory.expected_loss, **theory, y=y, loss=mse, **estimate)
    add("CifarResNet", sd.models.CifarResNet, **cifar)
    sizes = {name: (_given(2), "count") for name in ("depth", "width", "inputs", "outputs")}
    add("VanillaResNet", sd.models.VanillaResNet, **sizes, stable=(_given(True), "flag"))
    beta = (_given(0.5), "beta")
    add("depth_scale", sd.models.depth_scale, beta=beta, depth=(_given(3), "count"))
    return names


@contextmanager
def in_time(seconds: int = 20) -> Iterator[None]:
    """Raise where something takes longer: it would not have come to an end."""

    def late(*_: object) -> None:
        raise TimeoutError(f"no answer in {seconds} s")

    before = signal.signal(signal.SIGALRM, late)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


@dataclass(frozen=True)
class Trial:
    """One call with one hostile value."""

    call: str
    argument: str
    value: str

    def __str__(self) -> str:
        return f"{self.call}({self.argument}={self.value})"

    def run(self) -> tuple[str, str]:
        """Return how it ended: refused, accepted, foreign, or nonsense; and what was said."""
        call = calls()[self.call]
        arguments = {name: make() for name, (make, _) in call.arguments.items()}
        arguments[self.argument] = VALUES[self.value][0]()
        try:
            with warnings.catch_warnings(), in_time():
                warnings.simplefilter("error")
                call.function(**arguments)
        except sd.StochasticDepthError as error:
            return "refused", str(error)
        except Exception as error:  # what is counted
            return "foreign", f"{type(error).__name__}: {error}"[:300]
        return ("accepted", "") if self.has_meaning() else ("nonsense", "")

    def has_meaning(self) -> bool:
        """Return whether the value means something as this argument."""
        kinds = set(calls()[self.call].arguments[self.argument][1].split())
        for kind in list(kinds):
            kinds |= WIDER.get(kind, set())
        return bool(kinds & set(VALUES[self.value][1].split()))


def trials() -> Iterator[Trial]:
    """Yield every hostile value in place of every argument."""
    for name, call in calls().items():
        for (argument, (_, kind)), value in itertools.product(call.arguments.items(), VALUES):
            if not _is_theirs(kind, value):
                yield Trial(name, argument, value)


def _is_theirs(kind: str, value: str) -> bool:
    """Return whether what is raised comes from a function of the user, or from the network."""
    made = VALUES[value][0]()
    if kind == "fixed" or ("data" in kind and isinstance(made, torch.Tensor)):
        return True
    functions = {"schedule", "family", "function", "network", "piece", "beta"}
    return bool(functions & set(kind.split())) and callable(made)

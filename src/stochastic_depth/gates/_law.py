"""What all laws of gates share, and the three rescalings."""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, Self, get_args

import torch
from jaxtyping import Bool, Float
from torch import Generator, Tensor

from .._checks import count, fail, instance, one_of, probabilities, same_length
from .._typing import Gates, Probabilities

Rescale = Literal["train", "test", "none"]
"""Where the mean of the gate is corrected.

`"train"`: d is 0 or 1/p, evaluated at 1 (inverted scaling: torchvision, timm).
`"test"`: d is 0 or 1, evaluated at p (Huang et al. 2016).
`"none"`: d is 0 or 1, evaluated at 1, so not at the mean.
"""

STATE_REMEDY = "Use the law that the state was saved under."


def require_generator(generator: Generator) -> Generator:
    """Return the generator of a draw; None would be the global one, which nothing reads."""
    requirement = "a torch.Generator, such as gates.stream(seed, step)"
    return instance("generator", generator, Generator, requirement)


class Law(ABC):
    """Abstract law of a gate vector of L blocks.

    Attributes:
        survival: P(d_l != 0), float64, shape (L,).
        mean: E d_l, float64, shape (L,).
        covariance: Cov(d_l, d_k), float64, shape (L, L).
        variance: Var d_l, float64, shape (L,).
        evaluation: the gates in evaluation mode, float64, shape (L,).

    Example:
        >>> import stochastic_depth as sd
        >>> law = sd.gates.Bernoulli([0.8, 0.5], rescale="test")
        >>> isinstance(law, sd.gates.Law), len(law)
        (True, 2)
        >>> law.evaluation
        tensor([0.8000, 0.5000], dtype=torch.float64)
    """

    survival: Probabilities

    def __len__(self) -> int:
        return len(self.survival)

    @property
    @abstractmethod
    def mean(self) -> Float[Tensor, " L"]: ...

    @property
    @abstractmethod
    def covariance(self) -> Float[Tensor, "L L"]: ...

    @property
    def variance(self) -> Float[Tensor, " L"]:
        return self.covariance.diagonal()

    @property
    @abstractmethod
    def evaluation(self) -> Float[Tensor, " L"]: ...

    @abstractmethod
    def sample(self, batch_size: int | None = None, *, generator: Generator) -> Gates:
        """Draw one gate vector, or an independent one per sample.

        Args:
            batch_size: N, at least 0, for one draw per sample; None for one draw.
            generator: a CPU generator, such as `gates.stream(seed, step)`.

        Returns:
            float32 tensor on the CPU, shape (L,) or (L, N). Cast it afterwards:
            comparisons in half precision are biased.

        Raises:
            InvalidArgument: `batch_size` below 0.
        """

    def state(self) -> dict[str, Any]:
        """Describe the law for a checkpoint, in strings and tensors only.

        Returns:
            `"kind"`, the name of the class, and what distinguishes the law from others of its
            kind; by default its survival probabilities and evaluation gates.
        """
        kind = type(self).__name__
        survival, evaluation = self.survival.clone(), self.evaluation.clone()
        return {"kind": kind, "survival": survival, "evaluation": evaluation}

    def with_state(self, state: Mapping[str, Any]) -> Self:
        """Return the law of this kind that `state` describes; this one does not change.

        By default a subclass only accepts its own state, and returns itself. If its laws
        change during training, define `state` and `with_state`.

        Args:
            state: from `state` of a law of the same kind and number of blocks.

        Raises:
            InvalidArgument: not a state, or that of another law.

        Example:
            >>> import stochastic_depth as sd
            >>> saved = sd.gates.Bernoulli([0.9, 0.5]).state()
            >>> sd.gates.Bernoulli([1.0, 1.0]).with_state(saved)
            Bernoulli(2 blocks, survival 0.50..0.90 (drop 0.10..0.50), rescale='train')
        """
        own = self.state()
        self._require(state, own.keys())
        for name, value in own.items():
            given = state[name]
            if not (torch.equal(value, given) if isinstance(value, Tensor) else value == given):
                raise fail(f"state[{name!r}]", f"{value} for {self}", given, STATE_REMEDY)
        return self

    def _require(self, state: Mapping[str, Any], names: Iterable[str]) -> None:
        """Refuse the state of another kind of law, and anything that is not a state."""
        kind = state.get("kind")
        if kind != type(self).__name__:
            raise fail("state", f"of a law {type(self).__name__}", f"kind {kind!r}", STATE_REMEDY)
        if missing := set(names) - state.keys():
            raise fail("state", "one of Law.state()", f"no {', '.join(sorted(missing))}")


@dataclass(frozen=True, eq=False, repr=False)
class SurvivalLaw(Law):
    """Abstract law given by survival probabilities: a gate is 0, or its block's one value.

    Args:
        survival: P(block l runs), shape (L,), in [0, 1].
        rescale: where the mean is corrected, see `Rescale`.

    Raises:
        InvalidArgument: a probability outside [0, 1] or NaN, unknown `rescale`.

    Example:
        >>> import stochastic_depth as sd
        >>> sd.gates.FixedDepth([0.8, 0.2], rescale="train").value
        tensor([1.2500, 5.0000], dtype=torch.float64)
    """

    survival: Probabilities
    rescale: Rescale = "train"

    def __init__(self, survival: Tensor | Iterable[float], rescale: Rescale = "train") -> None:
        object.__setattr__(self, "survival", probabilities("survival", survival))
        object.__setattr__(self, "rescale", one_of("rescale", rescale, get_args(Rescale)))

    def state(self) -> dict[str, Any]:
        """Describe the law by its probabilities and rescaling; see `Law.state`."""
        kind = type(self).__name__
        return {"kind": kind, "survival": self.survival.clone(), "rescale": self.rescale}

    def with_state(self, state: Mapping[str, Any]) -> Self:
        """Return this law with the probabilities of `state`; see `Law.with_state`.

        The rescaling must be the same: under another, the trained weights are another
        network.
        """
        self._require(state, ("survival", "rescale"))
        if state["rescale"] != self.rescale:
            given = repr(state["rescale"])
            raise fail("state['rescale']", f"{self.rescale!r} as in {self}", given, STATE_REMEDY)
        survival = probabilities("state['survival']", state["survival"])
        same_length("state['survival']", survival, len(self))
        return type(self)(survival, self.rescale)

    @property
    def value(self) -> Float[Tensor, " L"]:
        """The gate of a block that runs: 1, or 1/p under `rescale="train"`."""
        if self.rescale != "train":
            return torch.ones_like(self.survival)
        # A block that never runs has no value; 1 keeps the arithmetic finite.
        return 1 / torch.where(self.survival > 0, self.survival, 1.0)

    @property
    def mean(self) -> Float[Tensor, " L"]:
        # Not p * (1/p), which is 1 only up to rounding.
        return (self.survival > 0).double() if self.rescale == "train" else self.survival.clone()

    @property
    def evaluation(self) -> Float[Tensor, " L"]:
        return torch.ones_like(self.survival) if self.rescale == "none" else self.mean

    def sample(self, batch_size: int | None = None, *, generator: Generator) -> Gates:
        """Draw gates; see `Law.sample`."""
        size = 1 if batch_size is None else count("batch_size", batch_size, least=0)
        gates = self._scaled(self._active(size, require_generator(generator)))
        return gates[:, 0] if batch_size is None else gates

    @abstractmethod
    def probability(self, active: Bool[Tensor, "L N"]) -> Float[Tensor, " N"]:
        """Return the probability that exactly the blocks marked in a column run."""

    @abstractmethod
    def _active(self, batch_size: int, generator: Generator) -> Tensor:
        """Draw which blocks run: bool (L, N)."""

    def _scaled(self, active: Tensor) -> Tensor:
        # Not a product: 1/p may be infinite in float32, and 0 * inf is NaN.
        return torch.where(active, self.value.to(torch.float32)[:, None], 0.0)

    def __repr__(self) -> str:
        p = self.survival
        survival = f"{p.min():.2f}" if p.min() == p.max() else f"{p.min():.2f}..{p.max():.2f}"
        drop = (
            f"{1 - p.max():.2f}" if p.min() == p.max() else f"{1 - p.max():.2f}..{1 - p.min():.2f}"
        )
        name = type(self).__name__
        return (
            f"{name}({len(p)} blocks, survival {survival} (drop {drop}), rescale={self.rescale!r})"
        )

"""The one place that turns `per` into a draw."""

from typing import Literal, get_args

from torch import Generator

from .._checks import count, fail, instance, one_of
from .._errors import Unsupported
from .._typing import Gates
from ._bernoulli import Bernoulli
from ._conditional import ConditionalBernoulli
from ._fixed_depth import FixedDepth
from ._law import Law, require_generator

Per = Literal["batch", "sample", "subset"]
"""What shares a draw: `"batch"`, the whole batch; `"sample"`, nothing, since each sample has
its own; `"subset"`, the same with a fixed number of samples per block."""


def draw(
    law: Law,
    per: Per,
    batch_size: int | None,
    *,
    multiple: int = 1,
    depth: Generator | None = None,
    generator: Generator,
) -> Gates:
    """Draw the gates of one step.

    Args:
        law: law of the gates of L blocks.
        per: `"batch"`, `"sample"` or `"subset"`, see `Per`.
        batch_size: N; needed unless `per="batch"`.
        multiple: for `"subset"`, what the number of samples of a block is a multiple of
            (unless it is N), at least 1; see `Bernoulli.sample_subset`.
        depth: for `"batch"`, a second generator, the same in every process, that alone
            decides how many blocks run: K, the depth of the gates it would draw. The other
            one decides which: it draws a set S from the law given K. As P(K = |S|) P(S | K)
            = P(S), each process draws from exactly the law; all have equal depth.
        generator: a CPU generator, such as `gates.stream(seed, step)`.

    Returns:
        float32 tensor on the CPU, (L,) for `"batch"`, otherwise (L, N).

    Raises:
        InvalidArgument: unknown `per`, no batch size where one is needed, a multiple where
            there are no subsets, or a depth where each sample has its own.
        Unsupported: `per="subset"` for a law whose gates are not independent; `depth` for
            one that is neither Bernoulli nor FixedDepth.

    Example:
        >>> import stochastic_depth as sd
        >>> law = sd.gates.Bernoulli([0.75, 0.5], rescale="test")
        >>> gates = sd.gates.draw(law, "subset", 4, generator=sd.gates.stream(0, 0))
        >>> gates.sum(dim=1)
        tensor([3., 2.])
    """
    require_subset(one_of("per", per, get_args(Per)), multiple)
    instance("law", law, Law, "a law of gates")
    if batch_size is not None:
        count("batch_size", batch_size, least=0)
    if depth is not None:
        return _at_equal_depth(law, per, depth, generator)
    if per == "batch":
        return law.sample(generator=generator)
    if batch_size is None:
        raise fail("batch_size", f"given for per={per!r}", None)
    if per == "sample":
        return law.sample(batch_size, generator=generator)
    if not isinstance(law, Bernoulli):
        raise Unsupported(
            f"per='subset' must have a Bernoulli law, whose blocks are independent; got {law}. "
            "Use per='batch' or per='sample'."
        )
    return law.sample_subset(batch_size, multiple=multiple, generator=generator)


def _at_equal_depth(law: Law, per: Per, depth: Generator, generator: Generator) -> Gates:
    if per != "batch":
        raise fail("depth", f"None for per={per!r}", depth, "Use per='batch'.")
    if not isinstance(law, Bernoulli | FixedDepth):
        raise Unsupported(
            f"Equal depth must have a Bernoulli or FixedDepth law; got {law}. Use ranks='shared' "
            "or ranks='independent'."
        )
    size = int(law.sample(generator=depth).count_nonzero())
    coins = ConditionalBernoulli(law._log_odds, size)
    return law._scaled(coins.sample(1, require_generator(generator)))[:, 0]


def require_subset(per: Per, multiple: int) -> None:
    """Refuse a multiple where no subset has a size."""
    if count("multiple", multiple) > 1 and per != "subset":
        raise fail("multiple", f"1 for per={per!r}", multiple, "Use per='subset'.")

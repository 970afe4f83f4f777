"""The second derivative of the loss in the gates, its diagonal, and the budget that lowers it."""

import math
from collections.abc import Iterable
from typing import Literal, get_args

import torch
from jaxtyping import Float
from torch import Tensor

from .._checks import fail, finite, function, interval, one_of, positive
from .._errors import Unsupported
from .._typing import Probabilities
from ..budgets import sense
from ..gates import Rescale
from ._gate_derivatives import discrepancies
from ._gated_network import Loss, Network, differentiable, gate_gradient, gate_point, masks_per_pass

Curvature = Literal["gauss-newton", "full"]
"""`"gauss-newton"` keeps zeta^T H zeta, which is never negative for a convex loss;
`"full"` adds the curvature of the network itself."""


def regularizer(
    f: Network,
    x: Tensor,
    y: Tensor,
    loss: Loss,
    at: Tensor | Iterable[float] | None = None,
    part: Curvature = "gauss-newton",
) -> Float[Tensor, " L"]:
    """Return the weight with which the variance of each gate enters the expected loss.

        g_l = mean over samples of zeta_l^T H zeta_l,   H = Hessian of the loss in f(x; d)
        E loss ~ loss(E d) + 1/2 sum_l Var(d_l) g_l

    With `part="full"`, g_l is the second derivative of the loss in d_l.

    Args:
        f: f(x, gates), in evaluation mode.
        x: input, N samples.
        y: targets.
        loss: scalar mean over samples, twice differentiable in the outputs.
        at: gates at which to differentiate, shape (L,); all ones by default.
        part: which part of the Hessian, see `Curvature`.

    Returns:
        Tensor of shape (L,), in the precision of x.

    Raises:
        InvalidArgument: an unknown `part`, or `at` of another length.
        Unsupported: a loss whose Hessian is zero or cannot be taken, batch statistics or
            randomness in f.

    Example:
        >>> import torch, stochastic_depth as sd
        >>> model = sd.models.VanillaResNet(depth=20, width=32, inputs=8, outputs=3)
        >>> x, y = torch.randn(5, 8), torch.tensor([0, 1, 2, 0, 1])
        >>> g = sd.theory.regularizer(model, x, y, torch.nn.functional.cross_entropy)
        >>> g.shape, bool((g >= 0).all())
        (torch.Size([20]), True)

    References:
        Hayou & Ayed 2021, equations 4 to 6. Under a = 1/sqrt(L) their g_l is L times this
        one, and their 1/(2L) is the 1/2 above.
    """
    if one_of("part", part, get_args(Curvature)) == "full":
        return _full(f, x, y, loss, at).diagonal()
    zeta, curved = _directions(f, x, y, loss, at)
    return (zeta * curved).sum(-1).mean(-1)


def curvature(
    f: Network,
    x: Tensor,
    y: Tensor,
    loss: Loss,
    at: Tensor | Iterable[float] | None = None,
    part: Curvature = "gauss-newton",
) -> Float[Tensor, "L L"]:
    """Return the second derivative of the loss in all pairs of gates.

        G_lk = mean over samples of zeta_l^T H zeta_k   (+ the network's own curvature)
        E loss ~ loss(E d) + 1/2 sum_lk Cov(d_l, d_k) G_lk

    `regularizer` is its diagonal, which is all that independent gates need. Arguments and
    errors are those of `regularizer`.

    Returns:
        Symmetric tensor of shape (L, L), in the precision of x.

    Example:
        >>> import torch, stochastic_depth as sd
        >>> def f(x, gates):
        ...     return gates[0][..., None] * x + gates[1][..., None] * x**2
        >>> x, y = torch.tensor([[3.0]]), torch.zeros(1, 1)
        >>> sd.theory.curvature(f, x, y, torch.nn.functional.mse_loss, at=[1.0, 1.0])
        tensor([[ 18.,  54.],
                [ 54., 162.]])
    """
    if one_of("part", part, get_args(Curvature)) == "full":
        return _full(f, x, y, loss, at)
    zeta, curved = _directions(f, x, y, loss, at)
    return torch.einsum("lno,kno->lk", zeta, curved) / len(x)


def _directions(
    f: Network, x: Tensor, y: Tensor, loss: Loss, at: Tensor | Iterable[float] | None
) -> tuple[Tensor, Tensor]:
    """Return zeta and H zeta, both (L, N, outputs); H belongs to the loss of one sample."""
    function("loss", loss, "a function of outputs and targets")
    gates = gate_point(f, x, at)
    zeta = discrepancies(f, x, gates)
    with torch.no_grad():
        outputs = f(x, gates)
    try:
        curved = _hessian_times(loss, outputs, y, zeta.unflatten(2, outputs.shape[1:])).flatten(2)
    except RuntimeError as error:
        raise Unsupported(
            "loss must be twice differentiable by torch.func; its Hessian failed "
            f"({str(error).splitlines()[0]}). Write it in operations that torch.func supports."
        ) from error
    if zeta.any() and not curved.any():
        raise Unsupported(
            "loss must have a Hessian in the outputs; it is zero for every sample, as for an "
            "absolute error or a count of mistakes. Use a squared error or a cross-entropy."
        )
    return zeta, curved


def _hessian_times(loss: Loss, outputs: Tensor, y: Tensor, directions: Tensor) -> Tensor:
    """Return H v for each block's direction of each sample, without forming H."""

    def one(output: Tensor, target: Tensor, direction: Tensor) -> Tensor:
        def slope(point: Tensor) -> Tensor:
            gradient = torch.func.grad(lambda o: loss(o[None], target[None]))(point)
            return (gradient * direction).sum()

        return torch.func.grad(slope)(output)

    over_samples = torch.vmap(one)
    return torch.vmap(over_samples, in_dims=(None, None, 0))(outputs, y, directions)


def _full(
    f: Network, x: Tensor, y: Tensor, loss: Loss, at: Tensor | Iterable[float] | None
) -> Float[Tensor, "L L"]:
    """Differentiate twice in gates that all samples share; rows of the Hessian run together."""
    function("loss", loss, "a function of outputs and targets")
    gates = differentiable(gate_point(f, x, at), x)
    slope = gate_gradient(loss(f(x, gates), y), gates, create_graph=True)
    if not slope.requires_grad:  # linear in the gates
        return gates.new_zeros(len(gates), len(gates))
    rows = torch.eye(len(gates), dtype=gates.dtype, device=x.device).split(masks_per_pass(x))
    parts = [_second(slope, gates, chunk) for chunk in rows]
    return torch.cat(parts)


def _second(slope: Tensor, gates: Tensor, rows: Tensor) -> Tensor:
    return torch.autograd.grad(
        slope, gates, rows, is_grads_batched=True, retain_graph=True, materialize_grads=True
    )[0]


def min_regularization(
    g: Tensor | Iterable[float], budget: float, rescale: Rescale = "train"
) -> Probabilities:
    """Return the probabilities that minimise the regulariser at a fixed budget.

        min sum_l Var(d_l) g_l   s.t.  sum_l p_l = budget L,  0 <= p_l <= 1

    Under `rescale="train"` the variance is (1-p)/p and the problem is convex: p_l =
    min(1, c sqrt(g_l)), which is optimal because g_l / p_l^2 is the same for all blocks
    with p_l < 1 and at least as large for those with p_l = 1.

    For gates of 0 and 1 the variance p(1-p) is concave, so the minimum lies in a corner:
    every p_l is 0 or 1, except for one block of smallest g, which takes the rest of a budget
    that is not a whole number of blocks. The objective does not depend on which blocks are
    at 1; those of largest g are kept, because without them the loss would change most.

    Args:
        g: regularisation weights g_l, shape (L,), positive; see `regularizer`.
        budget: expected share of active blocks, in (0, 1].
        rescale: of the law, see `gates.Rescale`.

    Returns:
        float64 tensor of shape (L,).

    Raises:
        InvalidArgument: an entry of `g` not positive and finite, or budget out of range.

    Example:
        >>> import stochastic_depth as sd
        >>> sd.theory.min_regularization([1.0, 4.0, 9.0], budget=0.5)
        tensor([0.2500, 0.5000, 0.7500], dtype=torch.float64)
        >>> sd.theory.min_regularization([1.0, 4.0, 9.0], budget=0.5, rescale="test")
        tensor([0.5000, 0.0000, 1.0000], dtype=torch.float64)

    References:
        Counterpart of Hayou & Ayed 2021, Lemma 2 (`budgets.max_regularization`).
    """
    g = finite("g", g)
    if not (g > 0).all():
        index = int((g <= 0).nonzero()[0])
        raise fail(f"g[{index}]", "positive", f"{float(g[index]):g}", "Leave this block out.")
    if one_of("rescale", rescale, get_args(Rescale)) == "train":
        return sense(g.sqrt(), budget)
    whole, rest = _split(positive("budget", interval("budget", budget, 0.0, 1.0)) * len(g))
    p, order = torch.zeros_like(g), g.argsort(descending=True)
    p[order[:whole]] = 1.0
    if rest:
        p[order[-1]] = rest
    return p


def _split(depth: float) -> tuple[int, float]:
    """Return the whole blocks and the rest; a rest within rounding error counts as 0."""
    if math.isclose(depth, round(depth), abs_tol=1e-9):
        return round(depth), 0.0
    return math.floor(depth), depth - math.floor(depth)

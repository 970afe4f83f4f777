"""Networks converge to their limits: an SDE for independent weights, an ODE for smooth ones."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import altair as alt
import polars as pl
import torch
from torch import Tensor

from ... import theory
from ...gates import stream
from ...models import scaled_states, weights
from ...reports import Figure
from .._artefact import Artefact, Claim, Context, Measurement, Outcome
from ._limits import (
    brownian_increments,
    coarsened,
    convergence_order,
    res1_diffusion,
    solve_ode,
    solve_sde,
)

SOURCE = "Marion et al. 2022, section 3"
STRONG = "strong order, res-1 to the SDE"
WEAK = "weak order, res-1 to the SDE"
EXACT = "weak order of the mean square, res-3, closed form"
SMOOTH = "order, res-3 with smooth weights to the ODE"
PATHS_AT_A_TIME = 500


@dataclass(frozen=True)
class Settings:
    """Depths of the networks, and the much finer grid of the reference.

    The weak error is small beside its noise: it is measured on more, shallower networks.
    """

    depths: tuple[int, ...] = (8, 16, 32, 64, 128, 256)
    weak_depths: tuple[int, ...] = (2, 4, 8, 16)
    steps: int = 4096
    weak_steps: int = 256
    width: int = 10
    paths: int = 500
    weak_paths: int = 40_000


def run(settings: Settings, context: Context) -> Outcome:
    """Measure the errors of networks against their limits on the same paths."""
    strong, _ = _sde_errors(settings.depths, settings.steps, settings.paths, settings, context)
    _, weak = _sde_errors(
        settings.weak_depths, settings.weak_steps, settings.weak_paths, settings, context
    )
    smooth = _ode_errors(settings, context.seed)
    measurements = {
        STRONG: _order(settings.depths, strong),
        WEAK: _order(settings.weak_depths, weak),
        EXACT: _exact_order(settings.depths),
        SMOOTH: _order(settings.depths, smooth),
    }
    data = pl.concat(
        [
            _table(STRONG, settings.depths, strong),
            _table(WEAK, settings.weak_depths, weak),
            _table(SMOOTH, settings.depths, smooth),
        ]
    )
    return Outcome(measurements, data, _figure(data, settings))


def _sde_errors(
    depths: Sequence[int], steps: int, paths: int, settings: Settings, context: Context
) -> tuple[list[Tensor], list[Tensor]]:
    """Return for each depth the distances to the limit, and the differences in ||h||^2."""
    distances: list[list[Tensor]] = [[] for _ in depths]
    differences: list[list[Tensor]] = [[] for _ in depths]
    chunks = range(math.ceil(paths / PATHS_AT_A_TIME))
    for chunk in context.track(chunks, f"paths of {steps} steps"):
        generator = stream(context.seed, chunk * steps)
        shape = (min(paths, PATHS_AT_A_TIME), settings.width, settings.width)
        noise = brownian_increments(steps, shape, generator=generator)
        hidden = torch.randn(shape[:2], generator=generator)
        hidden /= hidden.norm(dim=-1, keepdim=True)
        limit = solve_sde(res1_diffusion, hidden, noise)
        for index, depth in enumerate(depths):
            end = _network(hidden, coarsened(noise, depth))
            distances[index].append((end - limit).norm(dim=-1))
            differences[index].append(end.square().sum(-1) - limit.square().sum(-1))
    return [torch.cat(d) for d in distances], [torch.cat(d) for d in differences]


def _network(hidden: Tensor, increments: Tensor) -> Tensor:
    """Return h_L of the res-1 networks at beta = 1/2 whose weights are these increments."""
    depth, width = len(increments), hidden.shape[-1]
    layers = (increments * math.sqrt(depth / width))[:, None]
    *_, end = scaled_states(hidden[:, None], layers, 1 / math.sqrt(depth))
    return end[:, 0]


def _ode_errors(settings: Settings, seed: int) -> list[Tensor]:
    """Return for each depth the distances of res-3 networks at beta = 1 to their ODE."""
    steps = settings.steps
    networks = min(settings.paths, 50)
    fine = weights.draw(
        weights.smooth(0.1),
        steps + 1,
        settings.width,
        networks=networks,
        dtype=torch.float64,
        seed=seed,
    )
    hidden = torch.randn(
        networks, 1, settings.width, generator=stream(seed, 1), dtype=torch.float64
    )

    def field(t: float, h: Tensor) -> Tensor:
        outer, inner = fine[round(t * steps)]
        return torch.relu(h @ inner.mT) @ outer.mT

    limit = solve_ode(field, hidden, steps // 2)
    errors = []
    for depth in settings.depths:
        stride = steps // depth
        *_, end = scaled_states(hidden, fine[stride::stride], 1 / depth)
        errors.append((end - limit).norm(dim=-1).flatten() / hidden.norm(dim=-1).flatten())
    return errors


def _exact_order(depths: Sequence[int]) -> Measurement:
    """Return the order of E||h_L||^2 towards e^(1/2) ||h_0||^2, from the closed form."""
    limit = math.exp(0.5) - 1
    errors = [limit - theory.expected_change(1 / math.sqrt(depth), depth) for depth in depths]
    logs = [-math.log(error) for error in errors]
    fitted = theory.fit_slope([math.log(d) for d in depths], logs, [0.0] * len(depths))
    return Measurement(fitted.value)


def _order(depths: Sequence[int], errors: Sequence[Tensor]) -> Measurement:
    order = convergence_order(depths, errors)
    return Measurement(order.value, order.standard_error, len(errors[0]))


def _table(name: str, depths: Sequence[int], errors: Sequence[Tensor]) -> pl.DataFrame:
    means = [abs(float(sample.double().mean())) for sample in errors]
    noise = [float(sample.double().std()) / math.sqrt(len(sample)) for sample in errors]
    columns = {"depth": list(depths), "error": means, "standard_error": noise}
    return pl.DataFrame(columns).with_columns(kind=pl.lit(name))


def _figure(data: pl.DataFrame, settings: Settings) -> Figure:
    scale = alt.Scale(domain=["", STRONG, WEAK, SMOOTH])
    key = alt.Legend(symbolType="stroke", values=[STRONG, WEAK, SMOOTH], columns=2, labelLimit=400)
    no_grid = alt.Axis(grid=False)  # it would draw nine lines per decade
    chart = (
        alt.Chart(data)
        .mark_line(point=True)
        .encode(
            x=alt.X("depth:Q", title="depth L", scale=alt.Scale(type="log", base=2)),
            y=alt.Y("error:Q", title="error", scale=alt.Scale(type="log"), axis=no_grid),
            color=alt.Color("kind:N", scale=scale, legend=key),
        )
    )
    caption = (
        f"Distance of networks of width {settings.width} to the end of their limit equation on the "
        f"same path: strong, over {settings.paths} paths of {settings.steps} steps; weak, the mean "
        f"difference of ||h||^2 over {settings.weak_paths:,} paths; smooth weights against an ODE."
    )
    return Figure("convergence", "Convergence to the limits of depth", caption, caption, chart)


convergence = Artefact(
    name="marion2022/convergence",
    source=SOURCE,
    claims=(
        Claim(STRONG, 0.5, "order of Euler-Maruyama, Kloeden & Platen 1992", tolerance=0.1),
        Claim(WEAK, 1.0, "order of Euler-Maruyama, Kloeden & Platen 1992", tolerance=0.2),
        Claim(EXACT, 1.0, "(1 + 1/(2L))^L against e^(1/2), derived", tolerance=0.05),
        Claim(SMOOTH, 1.0, "order of Euler", tolerance=0.1),
    ),
    profiles={
        "smoke": Settings((4, 8), (2, 4), 64, 16, 4, 20, 20),
        "cpu": Settings(steps=2048, paths=250),
        "paper": Settings(),
    },
    run=run,
)
"""Networks converge to their limits: an SDE for independent weights, an ODE for smooth ones."""

from stochastic_depth.papers import Context
from stochastic_depth.papers.hayou2021.regularizer import (
    WeightSettings,
    level,
    weights_at_initialisation,
)


def test_mean_weight_in_closed_form():
    """60 networks of width 128: mean over layers within five standard errors of Theorem 1's
    value, plus 3 % for the finite width."""
    settings = WeightSettings(depth=6, width=128, draws=60, samples=8, inputs=32, outputs=2)
    g = weights_at_initialisation(settings, Context())
    assert g.shape == (60, 6)
    mean = g.mean(1)
    error = float(mean.std()) / 60**0.5
    assert error < 0.1 * level(settings)
    assert abs(float(mean.mean()) - level(settings)) < 5 * error + 0.03 * level(settings)

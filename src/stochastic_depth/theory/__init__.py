"""Theory: what random depth does to a network, for any callable `f(x, gates)`.

    y_out = f(x; d),   h_l = s_l(h_{l-1}) + a d_l F_l(h_{l-1})

Everything here is a derivative in the gates, or an average over them. Derivatives are
taken in d_l itself, whatever the depth scaling a inside f, so that

    E loss(f(x; d)) ~ loss(f(x; E d)) + 1/2 sum_l Var(d_l) g_l

holds as it stands for every network and every law of independent gates. Hayou & Ayed
2021 write the same for a = 1/sqrt(L) with the branches' outputs z_l = F_l in place of
a F_l; their quantities are ours times a power of sqrt(L):

| here                | theirs                        | defined as                          |
|---------------------|-------------------------------|-------------------------------------|
| `sensitivities` S_l | S_l                           | d loss / d d_l                      |
| `discrepancies` zeta_l | zeta_l = sqrt(L) x ours    | d y_out / d d_l                     |
| `regularizer` g_l   | g_l = L x ours                | zeta_l^T H zeta_l, mean over samples|

`at` is the gate vector at which derivatives are taken, shape (L,); the default is all ones
if f has `blocks`, which tell their number. Networks are analysed in evaluation mode: with
batch statistics a sample's output would depend on the others. `loss(outputs, y)` is a
scalar, the mean over samples.
"""

from ._diagnose import Diagnosis, OutputNoise, diagnose
from ._estimates import Estimate, Slope, fit_slope
from ._expected_loss import expected_loss
from ._gate_derivatives import discrepancies, leave_one_out, sensitivities
from ._gated_network import Loss, Network
from ._gradients import (
    Growth,
    gradient_norms,
    growth_rate,
    hidden_states,
    loss_gradient,
    measured_growth,
    predicted_growth,
)
from ._noise import Normality, Test, adjust, lindeberg_ratio, noise, noise_variance, normality
from ._regularizer import Curvature, curvature, min_regularization, regularizer
from ._relative_change import Classification, RelativeChange, classify, relative_change
from ._scaling_limits import (
    Regime,
    critical_exponent,
    expected_change,
    first_order_change,
    limit_law,
    log_norm_growth,
    regime,
)
from ._weight_regularity import holder_exponent, hurst_exponent, total_variation
from ._wide_limit import WideLimit, wide_limit

__all__ = [
    # first order
    "discrepancies",
    "leave_one_out",
    "sensitivities",
    # second order
    "Curvature",
    "Estimate",
    "curvature",
    "expected_loss",
    "min_regularization",
    "regularizer",
    # gradients at initialisation
    "Growth",
    "gradient_norms",
    "growth_rate",
    "hidden_states",
    "measured_growth",
    "predicted_growth",
    # large depth
    "Normality",
    "adjust",
    "lindeberg_ratio",
    "loss_gradient",
    "noise",
    "noise_variance",
    "normality",
    # scaling with depth
    "Classification",
    "Regime",
    "RelativeChange",
    "WideLimit",
    "classify",
    "critical_exponent",
    "expected_change",
    "first_order_change",
    "limit_law",
    "log_norm_growth",
    "regime",
    "relative_change",
    "wide_limit",
    # all at once
    "Diagnosis",
    "OutputNoise",
    "diagnose",
    # regularity of weights over depth
    "Slope",
    "fit_slope",
    "holder_exponent",
    "hurst_exponent",
    "total_variation",
    # types
    "Loss",
    "Network",
    "Test",
]

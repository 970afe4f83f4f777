"""Figure 5: with smooth weights gradients are stable at beta = 1."""

from functools import partial

from ...models import weights
from .._artefact import Artefact
from . import _by_depth

SOURCE = "Marion et al. 2022, figure 5"
BETAS = (2.0, 1.0, 0.5)

ARTEFACT = Artefact(
    name="marion2022/figure5",
    source=SOURCE,
    claims=_by_depth.claims(BETAS, hurst=1.0, source=SOURCE),
    profiles=_by_depth.profiles(BETAS),
    run=partial(_by_depth.run, weights.smooth(0.1), "gradients"),
)

"""Figure 1: independent weights, hidden states explode, are stable or do not move."""

from functools import partial

from ...models import weights
from .._artefact import Artefact
from . import _by_depth

SOURCE = "Marion et al. 2022, figure 1"
BETAS = (1.0, 0.5, 0.25)

ARTEFACT = Artefact(
    name="marion2022/figure1",
    source=SOURCE,
    claims=_by_depth.claims(BETAS, hurst=0.5, source=SOURCE),
    profiles=_by_depth.profiles(BETAS),
    run=partial(_by_depth.run, weights.uniform(), "hidden states"),
)

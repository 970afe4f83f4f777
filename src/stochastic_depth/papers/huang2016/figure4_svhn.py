"""Figure 4, left: test error of ResNet-152 on SVHN, constant and stochastic depth."""

from ._against_constant import against_constant
from ._profiles import CPU, profiles

PROFILES = profiles("svhn", "huang2016_svhn", CPU | {"epochs": 50, "evaluate_every_steps": None})
PRINTED = {"constant": 1.80, "stochastic": 1.75}

ARTEFACT = against_constant("figure4_svhn", "Huang et al. 2016, figure 4, left", PROFILES, PRINTED)

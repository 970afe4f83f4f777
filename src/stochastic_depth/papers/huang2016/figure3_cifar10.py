"""Figure 3, left: test error of ResNet-110 on CIFAR-10, constant and stochastic depth."""

from ._against_constant import against_constant
from ._profiles import CPU, SHIFTED, profiles

PROFILES = profiles("cifar10", "huang2016_cifar10", CPU | SHIFTED)
PRINTED = {"constant": 6.41, "stochastic": 5.25}

ARTEFACT = against_constant(
    "figure3_cifar10", "Huang et al. 2016, figure 3, left", PROFILES, PRINTED
)

"""Figure 3, right: test error of ResNet-110 on CIFAR-100, constant and stochastic depth."""

from ._against_constant import against_constant
from ._profiles import CPU, SHIFTED, profiles

PROFILES = profiles("cifar100", "huang2016_cifar100", CPU | SHIFTED)
# Table 1; the text of section 4 has 27.22 for constant depth.
PRINTED = {"constant": 27.76, "stochastic": 24.98}

ARTEFACT = against_constant(
    "figure3_cifar100", "Huang et al. 2016, figure 3, right", PROFILES, PRINTED
)

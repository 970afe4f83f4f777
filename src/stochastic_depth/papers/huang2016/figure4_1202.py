"""Figure 4, right: test error of ResNet-1202 on CIFAR-10, constant and stochastic depth."""

from ._against_constant import against_constant
from ._profiles import CPU, SHIFTED, profiles

# As deep as an hour on two cores allows: 110 layers, half as wide, 30 epochs.
DEEP = {"model.init_args.depth": 110, "model.init_args.width": 8, "epochs": 30}

PROFILES = profiles("cifar10-1202", "huang2016_cifar10_1202", CPU | SHIFTED | DEEP)
PRINTED = {"constant": 6.67, "stochastic": 4.91}

ARTEFACT = against_constant("figure4_1202", "Huang et al. 2016, figure 4, right", PROFILES, PRINTED)

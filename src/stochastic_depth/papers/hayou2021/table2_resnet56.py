"""Appendix A4: test error of Stable ResNet-56 on CIFAR-10; its numbers were not available."""

from ._budget_table import budget_table
from ._cifar_profiles import cifar_profiles

ARTEFACT = budget_table(
    "table2_resnet56",
    "Hayou & Ayed 2021, appendix A4",
    cifar_profiles("cifar10", depth=56, cpu_depth=20),
)

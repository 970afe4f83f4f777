"""Table 2b: test error of Stable ResNet-110 on CIFAR-100; its numbers were not available."""

from ._budget_table import budget_table
from ._cifar_profiles import cifar_profiles

ARTEFACT = budget_table(
    "table2_cifar100",
    "Hayou & Ayed 2021, Table 2b",
    cifar_profiles("cifar100", depth=110, cpu_depth=32),
)

"""Table 2a: test error of Stable ResNet-110 on CIFAR-10, by mode and budget."""

from ._budget_table import budget_table
from ._cifar_profiles import BUDGETS, cifar_profiles

ERRORS = {
    "sense": (15.4, 9.3, 7.0, 7.3, 7.3, 6.9, 7.3, 6.6, 6.2),
    "uniform": (17.2, 10.3, 7.7, 7.4, 6.8, 6.3, 5.9, 5.7, 5.7),
    "linear": (9.1, 7.5, 6.4, 6.1, 6.0),  # from budget 0.5
}
PRINTED = {"standard": 6.37} | {
    f"{mode} {budget:g}": error
    for mode, errors in ERRORS.items()
    for budget, error in zip(BUDGETS[-len(errors) :], errors, strict=True)
}

ARTEFACT = budget_table(
    "table2_cifar10",
    "Hayou & Ayed 2021, Table 2a",
    cifar_profiles("cifar10", depth=110, cpu_depth=32),
    PRINTED,
)

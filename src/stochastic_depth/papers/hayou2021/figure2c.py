"""Figure 2c: growth of the gradient in the stable ResNet at budget 0.7."""

from ._growth_figure import growth_figure

ARTEFACT = growth_figure("c", budget=0.7, stable=True)

"""Figure 2b: growth of the gradient in the standard ResNet at budget 0.7."""

from ._growth_figure import growth_figure

ARTEFACT = growth_figure("b", budget=0.7, stable=False)

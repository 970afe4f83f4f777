"""Figure 2a: growth of the gradient in the standard ResNet at budget 0.5."""

from ._growth_figure import growth_figure

ARTEFACT = growth_figure("a", budget=0.5, stable=False)

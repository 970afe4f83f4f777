from stochastic_depth.papers import Context
from stochastic_depth.papers.hayou2021._growth import GrowthSettings, measure
from stochastic_depth.papers.hayou2021._modes import MODES


def test_every_mode_grows_by_its_own_product():
    """Width 128, 60 draws of weights with 16 masks: log growth of each mode within five
    standard errors of Proposition 1 at every layer."""
    settings = GrowthSettings(budget=0.6, depth=6, width=128, draws=60)
    data = measure(settings, Context())
    assert data.height == 7 * len(MODES)
    gap = (data["log"] - data["predicted"]).abs()
    assert (gap <= 5 * data["standard_error"] + 0.02).all()
    ends = data.filter(layer=0)["predicted"].to_list()
    assert ends[0] > ends[1] > ends[2]

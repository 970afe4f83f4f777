"""The critical exponent from the slope in depth."""

import pytest
import torch

from stochastic_depth.papers.marion2022.critical_exponent import (
    Sizes,
    Survival,
    critical_beta,
    first_order_exponent,
    masks,
)


def test_it_is_one_half_for_independent_weights_and_does_not_move_under_masks():
    sizes, betas = Sizes(depths=(30, 300), width=10, draws=60, inputs=2), [0.3, 0.4, 0.5, 0.6, 0.7]
    for survival in (None, Survival(0.7, "test"), Survival(0.7, "train")):
        found = critical_beta(0.5, betas, sizes, 1, survival)
        # Four of its standard errors, which are near 0.02, and 0.02 for the finite depth.
        assert abs(found.value - 0.5) < 4 * found.standard_error + 0.02
        assert found.standard_error < 0.04


def test_none_where_the_exponent_does_not_cross_zero():
    assert critical_beta(0.5, [1.0, 1.1], Sizes((10, 40), 6, 4, 1), 0) is None


def test_masks_have_their_survival():
    drawn = masks(Survival(0.8, "train"), 500, 40, seed=2)
    assert set(drawn.unique().tolist()) == {0.0, 1.25}
    # n = 20,000: standard error 0.0028; four of them.
    assert abs(float((drawn > 0).float().mean()) - 0.8) < 0.012
    assert masks(None, 500, 40, seed=2) is None
    assert torch.equal(drawn, masks(Survival(0.8, "train"), 500, 40, seed=2))


def test_the_exponent_to_first_order_falls_short_of_its_limit_and_more_so_under_masks():
    sizes = Sizes(depths=(100, 800))
    plain = first_order_exponent(0.7, sizes)
    masked = first_order_exponent(0.7, sizes, Survival(0.5, "test"))
    assert masked < plain < 0.7
    assert first_order_exponent(0.5, sizes, Survival(0.3, "train")) == pytest.approx(0.5)

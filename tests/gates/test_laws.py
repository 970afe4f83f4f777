import copy
import pickle
from itertools import pairwise, product

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from torch.testing import assert_close

import stochastic_depth as sd
from stochastic_depth.gates._bernoulli import _rounded
from stochastic_depth.gates._conditional import ConditionalBernoulli
from tests.helpers import ALL_GATES, LAWS, RESCALES, P, probabilities

BERNOULLI = {rescale: sd.gates.Bernoulli(P, rescale) for rescale in RESCALES}
FIXED = {rescale: sd.gates.FixedDepth(P, rescale) for rescale in RESCALES}


def draws(law, n, seed=0):
    """n draws of the gate vector, one per row, float64."""
    return law.sample(n, generator=sd.gates.stream(seed, 0)).T.double()


@pytest.mark.parametrize("law", LAWS.values(), ids=LAWS)
def test_draws_have_the_moments_of_the_law(law):
    # n = 40,000 draws; every entry of mean and covariance within 5 standard errors:
    # at most 42 statistics per law, false-alarm rate below 42 * 6e-7 = 3e-5.
    n = 40_000
    sample = draws(law, n)
    error = (law.variance / n).sqrt()
    assert ((sample.mean(0) - law.mean).abs() <= 5 * error + 1e-6).all()
    centred = sample - law.mean
    products = centred[:, :, None] * centred[:, None, :]
    spread = products.std(0) / n**0.5
    assert ((products.mean(0) - law.covariance).abs() <= 5 * spread + 1e-6).all()
    active = (sample != 0).double().mean(0)
    binomial = (law.survival * (1 - law.survival) / n).sqrt()
    assert ((active - law.survival).abs() <= 5 * binomial).all()


SURVIVAL_LAWS = {name: law for name, law in LAWS.items() if name != "deterministic"}


@pytest.mark.parametrize("law", SURVIVAL_LAWS.values(), ids=SURVIVAL_LAWS)
def test_probabilities_of_all_draws_give_the_moments_back(law):
    active = ALL_GATES[len(law)].T.bool()
    probability = law.probability(active)
    assert_close(probability.sum(), torch.tensor(1.0, dtype=torch.float64))
    gates = active * law.value[:, None]
    assert_close(gates @ probability, law.mean)
    centred = gates - law.mean[:, None]
    assert_close(centred * probability @ centred.T, law.covariance)


@pytest.mark.parametrize("law", LAWS.values(), ids=LAWS)
def test_shapes_and_types(law):
    L = len(law)
    one, many = (law.sample(n, generator=sd.gates.stream(1, 2)) for n in (None, 7))
    assert one.shape == (L,)
    assert many.shape == (L, 7)
    assert one.dtype == many.dtype == torch.float32
    for moment in (law.survival, law.mean, law.variance, law.evaluation):
        assert moment.shape == (L,)
        assert moment.dtype == torch.float64
    assert law.covariance.shape == (L, L)
    assert_close(law.covariance.diagonal(), law.variance)


@pytest.mark.parametrize("law", LAWS.values(), ids=LAWS)
def test_laws_leave_the_global_generator_alone(law):
    before = torch.get_rng_state()
    law.sample(5, generator=sd.gates.stream(0, 0))
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("law", LAWS.values(), ids=LAWS)
@pytest.mark.parametrize("duplicate", [copy.deepcopy, lambda law: pickle.loads(pickle.dumps(law))])
def test_copies_draw_the_same(law, duplicate):
    law.sample(generator=sd.gates.stream(0, 0))
    again = duplicate(law)
    assert_close(draws(again, 5, seed=3), draws(law, 5, seed=3))


@pytest.mark.parametrize("law", LAWS.values(), ids=LAWS)
@pytest.mark.parametrize("bad", [-1, 2.5, True])
def test_the_size_of_a_batch_is_a_count(law, bad):
    with pytest.raises(sd.InvalidArgument, match="batch_size must be"):
        law.sample(bad, generator=sd.gates.stream(0, 0))


@pytest.mark.parametrize("family", [BERNOULLI, FIXED])
def test_the_three_rescalings(family):
    p = torch.tensor(P, dtype=torch.float64)
    runs = (p > 0).double()
    assert_close(family["train"].mean, runs)
    assert_close(family["test"].mean, p)
    assert_close(family["none"].mean, p)
    assert_close(family["train"].evaluation, runs)
    assert_close(family["test"].evaluation, p)
    assert_close(family["none"].evaluation, torch.ones(6, dtype=torch.float64))
    assert_close(family["test"].variance, p * (1 - p))
    assert_close(family["train"].variance[p > 0], ((1 - p) / p)[p > 0])
    assert family["train"].variance.isfinite().all()


@pytest.mark.parametrize("family", [BERNOULLI, FIXED])
def test_gates_take_their_two_values_only(family):
    for rescale, law in family.items():
        sample = draws(law, 200)
        for block, survival in enumerate(P):
            value = 1 / survival if rescale == "train" and survival else 1.0
            column = sample[:, block]
            assert_close(column[column != 0], torch.full_like(column[column != 0], value))
        assert (sample[:, 0] != 0).all(), "survival 1 always runs"
        assert (sample[:, 4] == 0).all(), "survival 0 never runs"


@pytest.mark.parametrize("make", [sd.gates.Bernoulli, sd.gates.FixedDepth])
@pytest.mark.parametrize(
    ("survival", "message"),
    [
        ([0.5, 1.01], r"survival\[1\] must be in \[0, 1\]; got 1\.01"),
        ([float("nan")], r"survival\[0\] must be in \[0, 1\]; got nan"),
        ([[0.5]], "one entry per block"),
        ([], "one entry per block"),
    ],
)
def test_survival_is_checked_at_birth(make, survival, message):
    with pytest.raises(sd.InvalidArgument, match=message):
        make(survival)


@pytest.mark.parametrize("make", [sd.gates.Bernoulli, sd.gates.FixedDepth])
def test_unknown_rescale_names_the_nearest(make):
    with pytest.raises(sd.InvalidArgument, match="rescale must be one of .* Did you mean 'train'"):
        make([0.5], rescale="training")


def test_reprs_show_survival_and_drop():
    assert "survival 0.80 (drop 0.20)" in repr(sd.gates.Bernoulli([0.8, 0.8]))
    assert "survival 0.00..1.00 (drop 0.00..1.00)" in repr(FIXED["test"])


def test_bernoulli_blocks_are_independent():
    # Chi-squared test of the 16 cells of four blocks, n = 20,000, false-alarm rate 1e-4.
    p = [0.9, 0.35, 0.2, 0.75]
    n = 20_000
    sample = draws(sd.gates.Bernoulli(p, "test"), n).long()
    cell = sample @ torch.tensor([8, 4, 2, 1])
    chance = [
        float(torch.tensor([q if g else 1 - q for q, g in zip(p, gates, strict=True)]).prod())
        for gates in product([0, 1], repeat=4)
    ]
    observed = torch.bincount(cell, minlength=16).numpy()
    expected = torch.tensor(chance, dtype=torch.float64)
    expected = (expected / expected.sum() * n).numpy()
    assert stats.chisquare(observed, expected).pvalue > 1e-4


@given(probabilities)
def test_fixed_depth_has_exactly_the_marginals(survival):
    law = sd.gates.FixedDepth(survival, "test")
    coins = law._coins
    if coins is None:
        return
    random = torch.tensor(survival, dtype=torch.float64)[law._random]
    assert_close(coins.marginals[: len(random)], random, atol=1e-7, rtol=0)


@given(st.lists(st.floats(0.01, 0.99), min_size=2, max_size=40))
def test_fixed_depth_has_the_marginals_to_rounding(survival):
    law = sd.gates.FixedDepth(survival, "test")
    expected = torch.tensor(survival, dtype=torch.float64)
    assert_close(law._coins.marginals[: len(survival)], expected, atol=1e-12, rtol=0)


@given(probabilities, st.integers(0, 1000))
def test_every_draw_of_fixed_depth_has_the_floor_or_the_ceiling(survival, step):
    law = sd.gates.FixedDepth(survival, "test")
    depth = law.sample(20, generator=sd.gates.stream(0, step)).sum(0).double()
    mean = float(law.survival.sum())
    assert ((depth - mean).abs() < 1 + 1e-7).all()


def test_fixed_depth_removes_the_variance_of_the_depth():
    p = sd.schedules.linear(0.5)(54)  # 40.25 blocks
    law = sd.gates.FixedDepth(p, "test")
    assert float(law.covariance.sum()) == pytest.approx(0.25 * 0.75, abs=1e-10)
    assert sd.budgets.depth_variance(p) > 8


def test_conditional_coins_are_the_enumeration():
    logits, size = torch.tensor([0.5, -2.0, 1.5, 0.1, -0.7], dtype=torch.float64), 2
    coins = ConditionalBernoulli(logits, size)
    mean, second, total = torch.zeros(5).double(), torch.zeros(5, 5).double(), 0.0
    for outcome in product([0.0, 1.0], repeat=5):
        heads = torch.tensor(outcome, dtype=torch.float64)
        if heads.sum() == size:
            weight = float((heads @ logits).exp())
            total += weight
            mean += weight * heads
            second += weight * torch.outer(heads, heads)
    mean, second = mean / total, second / total
    assert_close(coins.marginals, mean, atol=1e-14, rtol=0)
    assert_close(coins.covariance, second - torch.outer(mean, mean), atol=1e-14, rtol=0)


def test_conditional_coins_are_drawn_exactly():
    # Chi-squared test of the 10 outcomes of 2 heads in 5, n = 20,000, false-alarm rate 1e-4.
    logits, n = torch.tensor([0.5, -2.0, 1.5, 0.1, -0.7], dtype=torch.float64), 20_000
    coins = ConditionalBernoulli(logits, 2)
    outcome = coins.sample(n, sd.gates.stream(5, 0)).T.long() @ (2 ** torch.arange(5))
    pairs = [(i, j) for i in range(5) for j in range(i)]
    weight = torch.stack([(logits[i] + logits[j]).exp() for i, j in pairs])
    observed = torch.stack([(outcome == 2**i + 2**j).sum() for i, j in pairs])
    assert observed.sum() == n
    expected = weight / weight.sum() * n
    assert stats.chisquare(observed.numpy(), expected.numpy()).pvalue > 1e-4


def test_fixed_depth_of_a_network_of_600_blocks():
    p = sd.schedules.linear(0.5)(600)
    law = sd.gates.FixedDepth(p, "test")
    assert_close(law._coins.marginals[:600], p, atol=1e-12, rtol=0)


def test_deterministic_ignores_the_generator():
    law = sd.gates.Deterministic([1.0, 0.0, 0.5])
    generator = sd.gates.stream(0, 0)
    state = generator.get_state()
    assert law.sample(generator=generator).tolist() == [1.0, 0.0, 0.5]
    assert torch.equal(generator.get_state(), state)
    assert law.survival.tolist() == [1.0, 0.0, 1.0]
    with pytest.raises(sd.InvalidArgument, match=r"gates\[1\] must be finite"):
        sd.gates.Deterministic([1.0, float("inf")])


@given(probabilities, st.integers(1, 40), st.integers(0, 10_000))
def test_subsets_have_the_wanted_size_rounded_up_or_down(survival, batch_size, step):
    law = sd.gates.Bernoulli(survival, "test")
    gates = sd.gates.draw(law, "subset", batch_size, generator=sd.gates.stream(0, step))
    wanted = law.survival * batch_size
    assert ((gates.sum(1) - wanted).abs() < 1 + 1e-5).all()


@pytest.mark.parametrize("batch_size", [1, 3, 8])
def test_subsets_are_unbiased(batch_size):
    # Share of (sample, step) pairs that run; n = 4000 steps. The samples of one step are
    # at most independent, so 5 binomial standard errors with 4000 * batch_size / batch_size
    # trials have a false-alarm rate below 3e-6 over the 5 blocks.
    survival = [0.9, 0.35, 0.2, 0.75, 0.07]
    law, n = sd.gates.Bernoulli(survival, "test"), 4000
    total = sum(
        sd.gates.draw(law, "subset", batch_size, generator=sd.gates.stream(1, step))
        for step in range(n)
    )
    expected = law.survival[:, None].expand(-1, batch_size)
    error = (expected * (1 - expected) / n).sqrt()
    assert ((total / n - expected).abs() <= 5 * error).all()


@pytest.mark.parametrize(("size", "multiple"), [(40, 16), (32, 8), (5, 8), (7, 1), (0, 4)])
def test_sizes_in_multiples_average_to_what_is_wanted(size, multiple):
    # Exhaustive: `wanted` lies at 64ths between its neighbours, so that the mean over the 64
    # offsets i/64 is the mean over the uniform one, and exact in binary.
    allowed = [*range(0, size, multiple), size]
    offsets = torch.arange(64, dtype=torch.float64) / 64
    for low, high in pairwise([*allowed, size]):
        for wanted in torch.linspace(low, high, 65, dtype=torch.float64):
            kept = _rounded(wanted.expand(64), size, multiple, offsets)
            assert kept.mean() == wanted
            assert set(kept.tolist()) <= {low, high}


def test_subsets_in_multiples_are_unbiased_for_each_sample():
    # n = 4000 steps, 5 blocks of 20 samples, each within 5 binomial standard errors: a
    # false-alarm rate below 100 * 6e-7 = 6e-5. At p = 0.97 the neighbours are 16 and 20.
    law, n = sd.gates.Bernoulli([0.97, 0.35, 0.2, 0.75, 0.07], "test"), 4000
    drawn = [
        sd.gates.draw(law, "subset", 20, multiple=8, generator=sd.gates.stream(4, step))
        for step in range(n)
    ]
    sizes = torch.stack(drawn).sum(2)
    assert [set(block.tolist()) for block in sizes.T] == [{16, 20}, {0, 8}, {0, 8}, {8, 16}, {0, 8}]
    p = law.survival[:, None]
    assert (abs(sum(drawn) / n - p) <= 5 * (p * (1 - p) / n).sqrt()).all()


@given(probabilities, st.integers(0, 40), st.integers(0, 10_000))
def test_a_multiple_of_one_is_the_former_rounding_to_the_bit(survival, batch_size, step):
    law = sd.gates.Bernoulli(survival, "test")
    gates = law.sample_subset(batch_size, generator=sd.gates.stream(0, step))
    offset = torch.rand(len(law), generator=sd.gates.stream(0, step))
    former = (law.survival * batch_size + offset).floor()
    assert torch.equal(gates.sum(1).double(), former)


def test_certain_blocks_have_no_size_to_round():
    law = sd.gates.Bernoulli([1.0, 0.0], "test")
    gates = law.sample_subset(20, multiple=16, generator=sd.gates.stream(0, 0))
    assert gates.sum(1).tolist() == [20.0, 0.0]


@pytest.mark.parametrize("per", ["batch", "sample"])
def test_only_subsets_come_in_multiples(per):
    with pytest.raises(sd.InvalidArgument, match=f"must be 1 for per='{per}'; got 16. Use per="):
        sd.gates.draw(BERNOULLI["test"], per, 4, multiple=16, generator=sd.gates.stream(0, 0))
    for bad, message in ((0, "at least 1"), (1.5, "an integer")):
        with pytest.raises(sd.InvalidArgument, match=f"multiple must be {message}"):
            BERNOULLI["test"].sample_subset(4, multiple=bad, generator=sd.gates.stream(0, 0))


EQUAL_DEPTH = {
    "bernoulli": sd.gates.Bernoulli([0.9, 0.35, 1.0, 0.6, 0.07, 0.0], "test"),
    "fixed depth": sd.gates.FixedDepth([0.9, 0.35, 1.0, 0.6, 0.07, 0.0], "test"),
    "whole depth": sd.gates.FixedDepth([0.9, 0.3, 0.8, 1.0], "test"),
    "nothing random": sd.gates.FixedDepth([1.0, 0.0, 1.0], "test"),
}


@pytest.mark.parametrize("law", EQUAL_DEPTH.values(), ids=EQUAL_DEPTH)
def test_a_set_given_the_depth_has_the_probability_of_the_law(law):
    # Exhaustive: P(S) = P(K = |S|) P(S | K) for each of the 2^L sets S, where the law itself
    # gives P(K) and P(S), and the coins that are tossed give P(S | K).
    sets = ALL_GATES[len(law)].T.bool()
    probability, size = law.probability(sets), sets.sum(0)
    for depth in range(len(law) + 1):
        mass = probability[size == depth].sum()
        if mass > 0:
            given_depth = ConditionalBernoulli(law._log_odds, depth).probability(sets)
            assert_close(mass * given_depth, torch.where(size == depth, probability, 0.0))


@pytest.mark.parametrize("law", EQUAL_DEPTH.values(), ids=EQUAL_DEPTH)
def test_processes_of_equal_depth_draw_from_the_law(law):
    # n = 1000 steps in two processes: marginals and pairs of blocks within 5 standard errors,
    # at most 2 * 21 statistics a law, false-alarm rate below 42 * 6e-7 = 3e-5.
    n = 1000
    shared = [law.sample(generator=sd.gates.stream(6, step)) for step in range(n)]
    depth = torch.stack(shared).sum(1)
    moment = law.covariance + torch.outer(law.mean, law.mean)
    drawn = [
        torch.stack([equal_depth(law, step, rank) for step in range(n)]).double() for rank in (0, 1)
    ]
    for gates in drawn:
        assert torch.equal(gates.sum(1).float(), depth)
        error = (moment * (1 - moment)).clamp(min=0).div(n).sqrt()
        assert ((gates.T @ gates / n - moment).abs() <= 5 * error + 1e-9).all()
    assert torch.equal(*drawn) == bool((law.covariance == 0).all())


def equal_depth(law, step, rank):
    streams = {"depth": sd.gates.stream(6, step), "generator": sd.gates.stream(6, step, rank)}
    return sd.gates.draw(law, "batch", None, **streams)


def test_equal_depth_is_of_a_batch_and_of_two_laws():
    streams = {"depth": sd.gates.stream(0, 0), "generator": sd.gates.stream(0, 0, 0)}
    with pytest.raises(sd.InvalidArgument, match="depth must be None for per='sample'"):
        sd.gates.draw(BERNOULLI["test"], "sample", 3, **streams)
    with pytest.raises(sd.Unsupported, match="Equal depth must have a Bernoulli or FixedDepth law"):
        sd.gates.draw(sd.gates.Deterministic([1.0, 0.0]), "batch", None, **streams)


def test_subsets_rescale_like_their_law():
    law = sd.gates.Bernoulli([0.75], "train")
    gates = sd.gates.draw(law, "subset", 4, generator=sd.gates.stream(0, 0))
    assert sorted(gates[0].tolist()) == [0.0, *[pytest.approx(4 / 3)] * 3]


def test_draw_maps_per_to_shapes():
    law = BERNOULLI["test"]
    stream = sd.gates.stream(0, 0)
    assert sd.gates.draw(law, "batch", None, generator=stream).shape == (6,)
    assert sd.gates.draw(law, "sample", 3, generator=stream).shape == (6, 3)
    assert sd.gates.draw(law, "subset", 3, generator=stream).shape == (6, 3)


def test_draw_refuses_what_has_no_meaning():
    stream = sd.gates.stream(0, 0)
    with pytest.raises(sd.InvalidArgument, match="per must be one of .* Did you mean 'batch'"):
        sd.gates.draw(BERNOULLI["test"], "batches", 3, generator=stream)
    with pytest.raises(sd.InvalidArgument, match="batch_size must be given for per='sample'"):
        sd.gates.draw(BERNOULLI["test"], "sample", None, generator=stream)
    with pytest.raises(sd.Unsupported, match="per='subset' must have a Bernoulli law"):
        sd.gates.draw(FIXED["test"], "subset", 3, generator=stream)


@given(probabilities)
@pytest.mark.parametrize("make", [sd.gates.Bernoulli, sd.gates.FixedDepth])
def test_inverted_scaling_is_evaluated_at_one_exactly(make, survival):
    law = make(survival, "train")
    assert torch.equal(law.evaluation, (law.survival > 0).double())
    assert not law.sample(3, generator=sd.gates.stream(0, 0)).isnan().any()


def test_a_survival_beyond_float32_draws_zeros_and_no_nan():
    law = sd.gates.Bernoulli([1e-39, 1e-200], "train")
    assert law.sample(4, generator=sd.gates.stream(0, 0)).tolist() == [[0.0] * 4] * 2
    assert law.variance.tolist() == pytest.approx([1e39, 1e200])


def test_fixed_depth_counts_as_whole_what_it_says():
    law = sd.gates.FixedDepth([1e-10, 1 - 1e-10, 0.3, 1e-8], "train")
    assert law.survival.tolist() == [0.0, 1.0, 0.3, 1e-8]
    assert law.mean.tolist() == [0.0, 1.0, 1.0, 1.0]
    assert (law.covariance.diagonal() > 0).tolist() == [False, False, True, True]


@pytest.mark.parametrize(
    "survival", [[5e-9], [1 - 5e-9], [2e-9, 0.4], [1e-6, 1e-8, 1 - 1e-7, 0.9, 0.3], [1e-8] * 9]
)
def test_fixed_depth_has_the_marginals_of_rare_blocks(survival):
    law = sd.gates.FixedDepth(survival, "test")
    expected = torch.tensor(survival, dtype=torch.float64)
    assert_close(law._coins.marginals[: len(survival)], expected, rtol=1e-3, atol=0)


def test_subsets_of_different_blocks_are_independent():
    # Blocks of survival 1/4 and N = 4, or 0.3 and N = 1: one sample, or a coin, each. Two
    # blocks agree in 1/4 of 4000 steps, and run together in 0.09 of them; 5 binomial
    # standard errors, false-alarm rate 1e-6.
    n = 4000
    for p, size, chance in [(0.25, 4, 0.25), (0.3, 1, 0.09)]:
        law = sd.gates.Bernoulli([p, p], "test")
        draws = [law.sample_subset(size, generator=sd.gates.stream(2, step)) for step in range(n)]
        together = sum(float((gates[0] * gates[1]).sum()) for gates in draws) / n
        assert abs(together - chance) < 5 * (chance * (1 - chance) / n) ** 0.5


def test_draws_are_fine_enough_for_rare_blocks():
    # p = 0.001, n = 2,000,000 coins: 5 standard errors (1.1e-4), false-alarm rate 6e-7.
    law, n = sd.gates.Bernoulli([0.001] * 20, "test"), 100_000
    share = float(law.sample(n, generator=sd.gates.stream(4, 0)).mean())
    assert abs(share - 0.001) < 5 * (0.001 / (20 * n)) ** 0.5


@pytest.mark.parametrize("make", [sd.gates.Bernoulli, sd.gates.FixedDepth])
@pytest.mark.parametrize("coin", [0.0, 1 - 2**-24])
def test_the_extreme_coins_keep_what_never_or_always_runs(monkeypatch, make, coin):
    monkeypatch.setattr(torch, "rand", lambda *shape, **_: torch.zeros(*shape) + coin)
    active = make([0.0, 1.0], "test").sample(generator=sd.gates.stream(0, 0))
    assert active.tolist() == [0.0, 1.0]
    subset = sd.gates.Bernoulli([0.0, 1.0, 0.5], "test").sample_subset(
        4, generator=sd.gates.stream(0, 0)
    )
    assert subset.sum(1).tolist() == [0.0, 4.0, 2.0]
    quarter = sd.gates.FixedDepth([0.25] * 4, "test")
    assert quarter.sample(generator=sd.gates.stream(0, 0)).sum() == 1


@pytest.mark.parametrize("law", LAWS.values(), ids=LAWS)
def test_a_batch_may_be_empty(law):
    gates = law.sample(0, generator=sd.gates.stream(0, 0))
    assert gates.shape == (len(law), 0)
    assert gates.dtype == torch.float32
    for per in ("sample", "subset") if isinstance(law, sd.gates.Bernoulli) else ("sample",):
        drawn = sd.gates.draw(law, per, 0, generator=sd.gates.stream(0, 0))
        assert drawn.shape == (len(law), 0)
    assert sd.gates.draw(law, "batch", 0, generator=sd.gates.stream(0, 0)).shape == (len(law),)


def everything_of(law):
    """Draws and moments of a law made anew, and so without anything computed before."""
    law = law.with_state(law.state())
    tensors = [law.survival, law.mean, law.variance, law.covariance, law.evaluation]
    tensors += [law.sample(n, generator=sd.gates.stream(3, 1)) for n in (None, 5, 0)]
    if isinstance(law, sd.gates.SurvivalLaw):
        tensors.append(law.probability(torch.ones(len(law), 2, dtype=torch.bool, device="cpu")))
    if isinstance(law, sd.gates.Bernoulli):
        tensors.append(sd.gates.draw(law, "subset", 4, generator=sd.gates.stream(3, 1)))
    return tensors


@pytest.mark.parametrize("law", LAWS.values(), ids=LAWS)
def test_laws_are_the_same_under_another_default_device(law):
    expected = everything_of(law)
    with torch.device("meta"):
        found = everything_of(law)
    assert_close(found, expected, rtol=0, atol=0)


def test_laws_are_made_under_another_default_device():
    with torch.device("meta"):
        laws = [sd.gates.Bernoulli(P), sd.gates.FixedDepth(P), sd.gates.Deterministic(P)]
    for law in laws:
        assert law.survival.tolist() == [1.0, *(law.survival[1:]).tolist()]
        assert law.survival.device.type == "cpu"


@pytest.mark.parametrize("law", LAWS.values(), ids=LAWS)
def test_a_law_is_what_its_state_says(law, tmp_path):
    torch.save(law.state(), tmp_path / "law.pt")
    state = torch.load(tmp_path / "law.pt", weights_only=True)
    # Any law of the kind will do to read it.
    other = (
        sd.gates.Deterministic(torch.zeros(len(law)))
        if isinstance(law, sd.gates.Deterministic)
        else type(law)([0.5] * len(law), law.rescale)
    )
    again = other.with_state(state)
    assert type(again) is type(law)
    assert repr(again) == repr(law)
    assert torch.equal(draws(again, 20), draws(law, 20))
    assert torch.equal(again.evaluation, law.evaluation)
    state["kind"] = "changed"
    assert law.state()["kind"] == type(law).__name__, "a state is nobody else's"


def test_the_state_of_another_law_is_refused():
    bernoulli, fixed, deterministic = (
        sd.gates.Bernoulli([0.5, 0.9], "test"),
        sd.gates.FixedDepth([0.5, 0.9], "test"),
        sd.gates.Deterministic([1.0, 0.0]),
    )
    for law in (bernoulli, fixed, deterministic):
        for other in {bernoulli, fixed, deterministic} - {law}:
            with pytest.raises(
                sd.InvalidArgument, match=f"state must be of a law {type(law).__name__}"
            ):
                law.with_state(other.state())
        with pytest.raises(sd.InvalidArgument, match="state must be of a law .*; got kind None"):
            law.with_state({})
    with pytest.raises(sd.InvalidArgument, match=r"\['rescale'\] must be 'train' as in"):
        sd.gates.Bernoulli([0.5, 0.9], "train").with_state(bernoulli.state())
    with pytest.raises(
        sd.InvalidArgument, match=r"state\['survival'\] must be a vector of 3 entries"
    ):
        sd.gates.Bernoulli([0.5] * 3, "test").with_state(bernoulli.state())
    with pytest.raises(sd.InvalidArgument, match=r"state\['gates'\] must be a vector of 1 entries"):
        sd.gates.Deterministic([1.0]).with_state(deterministic.state())
    with pytest.raises(sd.InvalidArgument, match=r"state\['survival'\]\[0\] must be in \[0, 1\]"):
        bernoulli.with_state(bernoulli.state() | {"survival": torch.tensor([1.5, 0.0])})
    incomplete = {"kind": "Bernoulli", "survival": bernoulli.survival}
    with pytest.raises(sd.InvalidArgument, match=r"must be one of Law.state\(\); got no rescale"):
        bernoulli.with_state(incomplete)


class Ternary(sd.gates.Law):
    """A law of one's own: -1, 0 or 1 with equal probability."""

    def __init__(self, length):
        self.survival = torch.full((length,), 2 / 3, dtype=torch.float64)

    @property
    def mean(self):
        return torch.zeros_like(self.survival)

    @property
    def covariance(self):
        return self.survival.diag()

    @property
    def evaluation(self):
        return self.mean

    def sample(self, batch_size=None, *, generator):
        shape = (len(self),) if batch_size is None else (len(self), batch_size)
        return torch.randint(-1, 2, shape, generator=generator).float()


def test_a_law_of_ones_own_knows_its_own_state():
    law = Ternary(3)
    assert law.with_state(Ternary(3).state()) is law
    with pytest.raises(sd.InvalidArgument, match=r"state\['survival'\] must be .* for .*Ternary"):
        law.with_state(Ternary(2).state())
    with pytest.raises(
        sd.InvalidArgument, match="state must be of a law Ternary; got kind 'Determ"
    ):
        law.with_state(sd.gates.Deterministic([0.0] * 3).state())


def test_deterministic_gates_may_be_negative():
    law = sd.gates.Deterministic([-1.0, 0.0, -0.5, 2.0])
    assert law.survival.tolist() == [1.0, 0.0, 1.0, 1.0]
    for gates in (law.mean, law.evaluation, law.sample(generator=sd.gates.stream(0, 0))):
        assert gates.tolist() == [-1.0, 0.0, -0.5, 2.0]
    assert law.variance.tolist() == [0.0] * 4
    assert law.sample(2, generator=sd.gates.stream(0, 0)).tolist() == [
        [-1.0] * 2,
        [0.0] * 2,
        [-0.5] * 2,
        [2.0] * 2,
    ]


@pytest.mark.parametrize("law", LAWS.values(), ids=LAWS)
@pytest.mark.parametrize("batch_size", [None, 4])
def test_a_draw_for_each_that_vmap_maps_over(law, batch_size):
    # n = 2000 draws; 5 binomial standard errors per block, false-alarm rate below 4e-6.
    def drawn(x):
        return law.sample(batch_size, generator=generator) + 0 * x

    generator, n = sd.gates.stream(6, 0), 2000
    gates = torch.vmap(drawn, randomness="different")(torch.zeros(n))
    first = gates.reshape(n, len(law), -1)[..., 0]
    share = (first != 0).double().mean(0)
    spread = (law.survival * (1 - law.survival) / n).sqrt()
    assert ((share - law.survival).abs() <= 5 * spread).all()
    if isinstance(law, sd.gates.FixedDepth):
        depth = (gates != 0).sum(1).double()
        assert ((depth - law.survival.sum()).abs() < 1 + 1e-7).all()
    same = torch.vmap(drawn, randomness="same")(torch.zeros(3))
    assert torch.equal(same, same[:1].expand_as(same))

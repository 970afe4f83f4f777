"""The replication at its smallest size, and what is said of subsets of blocks."""

import polars as pl
import pytest
import torch
from torch.nn.functional import cross_entropy

import stochastic_depth as sd
from stochastic_depth import papers
from stochastic_depth.papers.elhoushi2026 import _subsets, digits
from stochastic_depth.papers.elhoushi2026._subsets import SCHEMA, subset_losses

NAMES = ("elhoushi2026/digits", "elhoushi2026/shakespeare")


def test_they_are_all_here():
    assert {name for name in papers.titles() if name.startswith("elhoushi2026/")} == set(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_it_runs_and_can_be_written(name, tmp_path):
    pytest.importorskip("transformers")
    result = papers.reproduce(papers.load(name), "smoke")
    result.write(tmp_path)
    assert (tmp_path / "figure.png").stat().st_size > 10_000
    assert {claim["verdict"] for claim in result.claims} == {"not measured"}
    data = result.outcome.data
    rows = data.group_by("variant", "seed").agg(pl.len()).rows()
    assert {number for variant, seed, number in rows if "," not in variant} == {63}
    assert data["loss"].is_finite().all()
    assert (data["seconds"] > 0).all()


@torch.no_grad()
def test_a_subset_is_the_network_with_the_other_blocks_left_out():
    torch.manual_seed(0)
    model = digits.Classifier(3).eval()
    x, y = torch.randn(5, 64), torch.arange(5)
    f = sd.gated(model)
    rows = {
        row["subset"]: row["loss"]
        for row in subset_losses(lambda gates: cross_entropy(f(x, gates), y), 3)
    }
    assert len(rows) == 7
    for subset, loss in rows.items():
        h = model.embed(x)
        for block, runs in zip(model.blocks, subset, strict=True):
            h = block(h) if runs == "1" else h
        expected = float(cross_entropy(model.head(model.norm(h)), y))
        assert loss == pytest.approx(expected, rel=1e-5), subset


def test_excess_is_paired_by_seed():
    losses = {
        ("dense", 1): (1.0, 1.5),
        ("dense", 2): (2.0, 2.7),
        ("constant", 1): (1.1, 1.2),
        ("constant", 2): (2.1, 2.4),
    }
    rows = [
        {
            "variant": variant,
            "seed": seed,
            "subset": "1" * kept + "0" * (6 - kept),
            "kept": kept,
            "prefix": True,
            "loss": loss,
            "seconds": 1.0,
        }
        for (variant, seed), pair in losses.items()
        for kept, loss in zip((6, 4), pair, strict=True)
    ]
    found = _subsets.measured(pl.DataFrame(rows, schema=SCHEMA), ["constant"], 6)
    excess = found["excess loss of the first 4 blocks, constant less dense, nats"]
    assert excess.value == pytest.approx(((0.1 - 0.5) + (0.3 - 0.7)) / 2)
    whole = found["loss of the whole network, constant less dense, nats"]
    assert whole.value == pytest.approx(0.1)


def test_networks_of_one_seed_begin_alike_and_keep_their_first_blocks():
    whole, small = (
        (torch.manual_seed(3), digits.Classifier(blocks))[1].state_dict() for blocks in (6, 3)
    )
    assert all(torch.equal(value, whole[name]) for name, value in small.items())


def test_the_split_of_the_replication():
    splits = digits._splits()
    assert {name: len(y) for name, (_, y) in splits.items()} == {"train": 1078, "test": 360}
    assert splits["train"][0].mean(0).abs().max() < 1e-5
